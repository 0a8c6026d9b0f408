"""The ledger of triggered parts: open ones, results of their views, and trigger ids used. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from inspectd.records import Outcome, PendingView, Trigger
from inspectd.wire import Reason, RefusalReason, ViewVerdict

MAX_REMEMBERED: Final = 65_536
"""Ids of closed parts; beyond that the oldest is forgotten, whatever the settings say: the line goes on."""


class ClosedView(NamedTuple):
    """One view's end."""

    verdict: ViewVerdict
    outcome: Outcome


class Part(msgspec.Struct):
    """An open triggered part, from its trigger to its verdict."""

    trigger: Trigger
    deadline_ns: int
    views: list[PendingView]
    """Its views; they are judged together when the last one is closed."""
    closed: dict[int, ClosedView] = msgspec.field(default_factory=dict)
    """By inspection id."""


class Parts:
    """Open parts; `accepted = closed + open`, always."""

    def __init__(self, max_open: int, id_memory_ns: int) -> None:
        """Hold at most `max_open` parts open, and refuse a closed one's trigger id for `id_memory_ns`.

        Of closed ones the last `MAX_REMEMBERED` are known.
        """
        self._max_open = max_open
        self._id_memory_ns = id_memory_ns
        self._open: dict[str, Part] = {}
        self._used: dict[str, int] = {}  # trigger id to when its part was closed, oldest first
        self.accepted = 0
        self.closed = 0

    @property
    def open(self) -> int:
        """Parts that have no verdict yet."""
        return len(self._open)

    def open_views(self) -> list[PendingView]:
        """Views of open parts that have no verdict yet."""
        return [
            view
            for part in self._open.values()
            for view in part.views
            if view.inspection_id not in part.closed
        ]

    def refusal(self, trigger_id: str, now_ns: int) -> RefusalReason | None:
        """Reason for opening no part of that trigger id; None when it can be opened."""
        self._forget(now_ns)
        if trigger_id in self._open or trigger_id in self._used:
            return RefusalReason.DUPLICATE_ID
        return RefusalReason.OVERLOAD if len(self._open) >= self._max_open else None

    def add(self, part: Part) -> None:
        """Open a part that `refusal` does not refuse."""
        self.accepted += 1
        self._open[part.trigger.trigger_id] = part

    def close_view(self, trigger_id: str, inspection_id: int, closed: ClosedView) -> Part | None:
        """Record a view's end. Returns the part, now closed, if it was the last one."""
        part = self._open[trigger_id]
        part.closed[inspection_id] = closed
        if len(part.closed) < len(part.views):
            return None
        del self._open[trigger_id]
        self._used[trigger_id] = max(view.outcome.decided_ns for view in part.closed.values())
        if len(self._used) > MAX_REMEMBERED:
            del self._used[next(iter(self._used))]
        self.closed += 1
        return part

    def is_shed(self, trigger_id: str) -> bool:
        """Whether a view of an open part was refused because scoring has no time for it."""
        return any(view.outcome.reason == Reason.OVERLOAD for view in self._open[trigger_id].closed.values())

    def _forget(self, now_ns: int) -> None:
        while self._used:
            oldest = next(iter(self._used))
            if now_ns - self._used[oldest] < self._id_memory_ns:
                return
            del self._used[oldest]
