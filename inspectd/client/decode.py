"""Decodes published messages into types. Pure; `docs/wire.md` is the contract it implements."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd import wire
from inspectd.wire import Event, Heartbeat, HeatmapHeader, Late, PartVerdict, Verdict
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


Message = Verdict | PartVerdict | Late | Heartbeat | Event | GoldenRecord | ShadowScore | Heatmap


def decode(parts: list[bytes]) -> Message:
    """One message from its parts.

    Raises:
        ValueError: the parts are not a message of this format.
    """
    if not 2 <= len(parts) <= 3:
        raise ValueError(f"got {len(parts)} parts, expected topic, header and perhaps a payload")
    header = wire.decode(parts[1])
    if not isinstance(header, HeatmapHeader):
        return header
    names = parts[0].decode().split("/")
    if len(names) != 6 or len(parts) != 3:
        raise ValueError(f"heatmap with topic {parts[0]!r} and {len(parts)} parts")
    size = header.height * header.width * _VALUE_BYTES.get(header.dtype, 0)
    if min(header.height, header.width) < 1 or size != len(parts[2]) or not size:
        raise ValueError(
            f"heatmap of {len(parts[2])} bytes, expected {header.height} x {header.width} {header.dtype}"
        )
    return Heatmap(names[1], names[2], header, parts[2])
