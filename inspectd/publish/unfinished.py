"""What was under way when a daemon ended without a word; the next start closes it. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd.records import Inspection, Reason, Trigger, View

REASON: Final = Reason.RESTARTED


class OpenPart(msgspec.Struct, frozen=True, array_like=True):
    """A triggered part under way."""

    trigger: Trigger
    deadline_ns: int


class Unfinished(msgspec.Struct, frozen=True):
    """One of an inspection, a view that waits for its frame, or a triggered part."""

    inspection: Inspection | None = None
    view: View | None = None
    part: OpenPart | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Unfinished)


def encode(unfinished: Unfinished) -> bytes:
    """What the journal keeps of it."""
    return _encoder.encode(unfinished)


def decode(record: bytes) -> Unfinished:
    """Read it back.

    Raises:
        ValueError: it is none, or of a version this one cannot read.
    """
    return _decoder.decode(record)


def view_key(inspection_id: int) -> str:
    """The key of an inspection, or of the view it will be."""
    return f"i{inspection_id}"


def part_key(trigger_id: str) -> str:
    """The key of a triggered part; behind those of its views in the order of keys."""
    return f"t{trigger_id}"
