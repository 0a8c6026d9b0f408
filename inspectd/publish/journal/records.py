"""Records that go into the journal and come back from it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inspectd.wire.sync import Position


class Row(msgspec.Struct, frozen=True):
    """One published verdict, with the very bytes of its message."""

    seq: int
    topic: bytes
    header: bytes
    closes: str | None = None
    """Key of the open record that this verdict closes."""
    closes_earlier: str | None = None
    """The same for a record that an earlier start left open: the key as it is in the file."""


class Group(msgspec.Struct, frozen=True):
    """Rows and open records that are committed together."""

    rows: Sequence[Row] = ()
    opened: Sequence[tuple[str, bytes]] = ()
    """Inspections and parts that have begun and are open: key and record. A row of the group may close one of
    the same key that was open before."""
    all_open: bool = False
    """`opened` is all that is open in this epoch, and takes the place of what the file has of it."""


class Opened(msgspec.Struct, frozen=True):
    """The file is open."""

    epoch: int
    unfinished: list[tuple[str, bytes]]
    """Keys and records that an earlier start left open."""
    newest_utc_ns: int | None = None
    """Wall clock at the last commit before; None: there was none."""


class Levels(msgspec.Struct, frozen=True):
    """The journal's size and age, and the disk's free space."""

    size_bytes: int
    free_bytes: int
    """Free on the disk."""
    oldest_utc_ns: int | None
    clock_ahead_ns: int = 0
    """Leap of the wall clock ahead of the verdicts; nothing grows old by it for a day."""


class Stored(msgspec.Struct, frozen=True):
    """A verdict read back."""

    position: Position
    topic: bytes
    header: bytes


class ReplayChunk(msgspec.Struct, frozen=True):
    """Consecutive verdicts, read back."""

    verdicts: list[Stored]
    truncated: bool
    """Verdicts before the first of them are no longer kept, or may never have been."""
    oldest: Position | None
    """The oldest stored verdict at or after the position asked for, else the oldest of all."""
