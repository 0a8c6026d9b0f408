"""Records of inspections and parts that are open, for the next start to close if this one is killed."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from inspectd.log import event
from inspectd.records import Inspection, PendingView, Trigger
from inspectd.wire import Reason

_log: Final = logging.getLogger("inspectd.publish")

REASON: Final = Reason.RESTARTED


class OpenPart(msgspec.Struct, frozen=True, array_like=True):
    """A triggered part that has no verdict yet."""

    trigger: Trigger
    deadline_ns: int


class Unfinished(msgspec.Struct, frozen=True):
    """One of an inspection, a view that waits for its frame, or a triggered part."""

    inspection: Inspection | None = None
    view: PendingView | None = None
    part: OpenPart | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Unfinished)


def encode(unfinished: Unfinished) -> bytes:
    """The record's bytes in the journal."""
    return _encoder.encode(unfinished)


def readable(records: list[tuple[str, bytes]]) -> list[tuple[str, Unfinished]]:
    """Decode keyed records; what another version wrote and this one cannot read is left, and logged."""
    found = []
    for key, record in records:
        try:
            found.append((key, _decoder.decode(record)))
        except ValueError as error:
            event(_log, logging.ERROR, "unfinished_unreadable", key=key, detail=str(error))
    return found


def view_key(inspection_id: int) -> str:
    """The key of an inspection, or of the view it will be."""
    return f"i{inspection_id}"


def part_key(trigger_id: str) -> str:
    """The key of a triggered part; in order, it comes after those of its views."""
    return f"t{trigger_id}"
