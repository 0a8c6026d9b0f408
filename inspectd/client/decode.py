"""Decodes published messages into types. Pure; `docs/wire.md` is the contract it implements."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd import wire
from inspectd.wire import Event, Heartbeat, HeatmapHeader, Late, PartVerdict, PreviewHeader, Verdict
from inspectd.wire.golden import GoldenRecord
from inspectd.wire.shadow import ShadowScore

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_VALUE_BYTES: Final = {"float16": 2, "float32": 4}


class Heatmap(msgspec.Struct, frozen=True):
    """One heatmap; `values` are `(height, width)` of the header's dtype, little endian, row by row."""

    plant: str
    line: str
    header: HeatmapHeader
    values: bytes


class Preview(msgspec.Struct, frozen=True):
    """One preview: a JPEG of `(header.height, header.width)` pixels, and its heat.

    Attributes:
        plant: plant name.
        line: line name.
        header: what it shows.
        jpeg: grey or colour.
        heat: `(header.heat.height, header.heat.width)` bytes, row by row; empty where `header.heat` is None.
    """

    plant: str
    line: str
    header: PreviewHeader
    jpeg: bytes
    heat: bytes


Message = Verdict | PartVerdict | Late | Heartbeat | Event | GoldenRecord | ShadowScore | Heatmap | Preview


def decode(parts: list[bytes]) -> Message:
    """One message from its parts.

    Raises:
        ValueError: the parts are not a message of this format.
    """
    if not 2 <= len(parts) <= 4:
        raise ValueError(f"got {len(parts)} parts, expected topic, header and perhaps payloads")
    header = wire.decode(parts[1])
    if isinstance(header, HeatmapHeader):
        return _heatmap(header, parts)
    if isinstance(header, PreviewHeader):
        return _preview(header, parts)
    return header


def _heatmap(header: HeatmapHeader, parts: list[bytes]) -> Heatmap:
    names = parts[0].decode().split("/")
    if len(names) != 6 or len(parts) != 3:
        raise ValueError(f"heatmap with topic {parts[0]!r} and {len(parts)} parts")
    size = header.height * header.width * _VALUE_BYTES.get(header.dtype, 0)
    if min(header.height, header.width) < 1 or size != len(parts[2]) or not size:
        raise ValueError(
            f"heatmap of {len(parts[2])} bytes, expected {header.height} x {header.width} {header.dtype}"
        )
    return Heatmap(names[1], names[2], header, parts[2])


def _preview(header: PreviewHeader, parts: list[bytes]) -> Preview:
    names = parts[0].decode().split("/")
    if len(names) != 6 or len(parts) != 4:
        raise ValueError(f"preview with topic {parts[0]!r} and {len(parts)} parts")
    jpeg, heat = parts[2:]
    if min(header.height, header.width) < 1 or not jpeg or len(jpeg) != header.jpeg_bytes:
        raise ValueError(
            f"preview of {header.height} x {header.width} pixels with {len(jpeg)} bytes, "
            f"expected {header.jpeg_bytes}"
        )
    size = 0 if header.heat is None else header.heat.height * header.heat.width
    if len(heat) != size or (header.heat is not None and min(header.heat.height, header.heat.width) < 1):
        raise ValueError(f"preview with {len(heat)} bytes of heat, expected {header.heat}")
    return Preview(names[1], names[2], header, jpeg, heat)
