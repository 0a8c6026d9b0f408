"""How the hub's reading goes, for its page and its metrics. Nothing in it is older than it says."""

from __future__ import annotations

import time
from enum import StrEnum

import msgspec

from inspectd.fleet.names import LineNames


class HubTrouble(StrEnum):
    """Why nothing is read now. A closed set: it is a metric label."""

    SERVERS = "servers"
    """The plant's servers do not answer."""
    DENIED = "denied"
    """They do not know the hub's user, or its permissions do not have what it needs."""
    DATABASE = "database"
    """The database does not answer, or does not take what is written."""


class LineReading(msgspec.Struct):
    """How the reading of one line goes.

    Attributes:
        trouble: why its stream is not read though others are, in words; empty: it is.
        behind: messages of its stream that are not in the database yet; None: not known.
        stored: verdicts that were added since the start.
        foreign: messages that are no verdicts, likewise.
        passed_over: messages that were gone before they could be read, likewise.
        misdated: verdicts whose own time cannot be right, by when the servers got them, likewise.
        received_ms: when the servers got the newest verdict that was read and no repair; None: none was.
        late_ms: so long before that it had been decided, by the line's clock.
        arrived: when that was read since the start, in seconds on a clock that never goes back.
    """

    trouble: str = ""
    behind: int | None = None
    stored: int = 0
    foreign: int = 0
    passed_over: int = 0
    misdated: int = 0
    received_ms: int | None = None
    late_ms: int = 0
    arrived: float | None = None


def utc_ms() -> int:
    """Now: milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class ReadingState:
    """What holds now.

    Attributes:
        trouble: why nothing is read; None: all is read.
        detail: of it, in words.
        since_ms: since when it is so.
        troubles: how often it came, by kind.
        lines: how each line's reading goes.
    """

    def __init__(self, now_ms: int) -> None:
        self.trouble: HubTrouble | None = HubTrouble.SERVERS
        self.detail = "the hub has just started"
        self.since_ms = now_ms
        self.troubles = dict.fromkeys(HubTrouble, 0)
        self.lines: dict[LineNames, LineReading] = {}

    def of(self, names: LineNames) -> LineReading:
        """A line's."""
        return self.lines.setdefault(names, LineReading())

    def reads(self, now_ms: int) -> None:
        """All goes well."""
        if self.trouble is not None:
            self.trouble, self.detail, self.since_ms = None, "", now_ms

    def fails(self, trouble: HubTrouble, detail: str, now_ms: int) -> bool:
        """Something does not; whether that is new."""
        self.troubles[trouble] += 1
        is_new = self.trouble is not trouble or self.detail != detail
        if self.trouble is not trouble:
            self.since_ms = now_ms
        self.trouble, self.detail = trouble, detail
        for line in self.lines.values():
            line.behind = None
        return is_new
