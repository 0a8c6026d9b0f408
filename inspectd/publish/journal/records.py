"""What goes into the journal and what comes back from it: plain records, no file."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inspectd.wire.sync import Position


class Row(msgspec.Struct, frozen=True):
    """One published verdict: the very bytes of its message."""

    seq: int
    topic: bytes
    header: bytes
    closes: str | None = None
    """Key of what was open until this verdict."""
    closes_earlier: str | None = None
    """Whole key of what an earlier start left open, and this verdict closes."""


class Group(msgspec.Struct, frozen=True):
    """What is committed together."""

    rows: Sequence[Row] = ()
    opened: Sequence[tuple[str, bytes]] = ()
    """What is under way from now on: key and record."""
    all_open: bool = False
    """`opened` is all that is under way in this epoch; forget what was written of it before."""


class Opened(msgspec.Struct, frozen=True):
    """What a start found."""

    epoch: int
    unfinished: list[tuple[str, bytes]]
    """Keys and records that an earlier start left open."""


class Levels(msgspec.Struct, frozen=True):
    """How full the journal is."""

    size_bytes: int
    free_bytes: int
    """Left on the disk."""
    oldest_utc_ns: int | None
    clock_ahead_ns: int = 0
    """So far did the wall clock leap ahead of the verdicts; nothing grows old by it for a day."""


class Stored(msgspec.Struct, frozen=True):
    """A verdict read back."""

    position: Position
    topic: bytes
    header: bytes


class ReplayChunk(msgspec.Struct, frozen=True):
    """Verdicts read back, in order."""

    verdicts: list[Stored]
    truncated: bool
    """Something before the first of them was there once, or may have been."""
    oldest: Position | None
    """The oldest verdict there is at or behind the place asked for; or the oldest of all."""
