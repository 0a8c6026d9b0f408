"""Sparkplug B payloads: as much of their protobuf as an edge node needs. Pure.

Field numbers and data types are those of the Sparkplug 3.0 specification, section 6.4 (`sparkplug_b.proto`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

import msgspec

MAX_COMMAND_BYTES: Final = 64 * 1024
"""Longer commands are malformed: this node has one that takes a few bytes."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES: Final = 10
_UINT32: Final = 0xFFFF_FFFF
_UINT64: Final = 0xFFFF_FFFF_FFFF_FFFF


class DataType(IntEnum):
    """Data types of metrics; a part of the specification's."""

    INT32 = 3
    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13
    """Milliseconds since 1970, UTC."""


Value = bool | int | float | str | None


class Metric(msgspec.Struct, frozen=True):
    """One value as it is sent. In births it has a name, in data an alias instead."""

    datatype: DataType
    value: Value
    timestamp_ms: int
    """When the value was so, UTC."""
    name: str | None = None
    alias: int | None = None
    is_historical: bool = False
    """It is told late, and is not what holds now."""


class Command(msgspec.Struct, frozen=True):
    """One metric of a command that a host application sent."""

    name: str | None
    alias: int | None
    value: Value


def encode(
    timestamp_ms: int, metrics: Sequence[Metric], seq: int | None, *, with_datatypes: bool = True
) -> bytes:
    """A payload.

    Args:
        timestamp_ms: when it is sent, UTC.
        metrics: what it holds.
        seq: 0 to 255; None for a death of the node, which has none.
        with_datatypes: say the data type of each metric; births must.
    """
    body = b"".join(_bytes(2, _encode_metric(metric, with_datatypes=with_datatypes)) for metric in metrics)
    return _integer(1, timestamp_ms) + body + (b"" if seq is None else _integer(3, seq))


def decode_commands(data: bytes) -> list[Command]:
    """The metrics of a command; fields that this node has no use for are skipped.

    Raises:
        ValueError: it is not a payload.
    """
    if len(data) > MAX_COMMAND_BYTES:
        raise ValueError(f"got {len(data)} bytes, expected at most {MAX_COMMAND_BYTES}")
    return [_decode_metric(body) for number, body in _fields(data) if number == 2 and isinstance(body, bytes)]


def _encode_metric(metric: Metric, *, with_datatypes: bool) -> bytes:
    out = b"" if metric.name is None else _bytes(1, metric.name.encode())
    if metric.alias is not None:
        out += _integer(2, metric.alias)
    out += _integer(3, metric.timestamp_ms)
    if with_datatypes:
        out += _integer(4, metric.datatype)
    if metric.is_historical:
        out += _integer(5, 1)
    if metric.value is None:
        return out + _integer(7, 1)
    match metric.datatype:
        case DataType.INT32:
            return out + _integer(10, int(metric.value) & _UINT32)
        case DataType.INT64 | DataType.DATE_TIME:
            return out + _integer(11, int(metric.value) & _UINT64)
        case DataType.DOUBLE:
            return out + _varint(13 << 3 | _FIXED64) + struct.pack("<d", metric.value)
        case DataType.BOOLEAN:
            return out + _integer(14, int(bool(metric.value)))
        case DataType.STRING:
            return out + _bytes(15, str(metric.value).encode(errors="backslashreplace"))


def _decode_metric(data: bytes) -> Command:
    name: str | None = None
    alias: int | None = None
    value: Value = None
    for number, body in _fields(data):
        match number, body:
            case 1, bytes():
                name = body.decode()
            case 2, int():
                alias = body
            case ((10 | 11), int()):
                value = body
            case 14, int():
                value = body != 0
            case 15, bytes():
                value = body.decode()
    return Command(name, alias, value)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field: an int of a varint, else its bytes."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if kind == _LENGTH:
            size, at = _read_varint(data, at)
        elif kind in {_FIXED64, _FIXED32}:
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field {number} has the wire type {kind}, expected 0, 1, 2 or 5")
        if at + size > len(data):
            raise ValueError(f"field {number} has {size} bytes, and only {len(data) - at} follow")
        yield number, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value > _UINT64:
                break
            return value, at + index + 1
    raise ValueError(f"no number of at most 64 bits at byte {at}")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _integer(field: int, number: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(number & _UINT64)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(data)) + data
