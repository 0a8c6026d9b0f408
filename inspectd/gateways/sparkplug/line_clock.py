"""The line's clock, as its heartbeats tell it: a part is news, or not, by the clock that dated it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from inspectd.client import Heartbeat

_NEWS_NS: Final = 2_000_000_000
"""A part that was judged longer ago is told as history, and so is one that is dated further ahead: the clock
was set back since it was judged, and how long ago that was nobody knows."""


class LineClock:
    """Dates what a reader receives.

    Args:
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heartbeat: Heartbeat | None = None
        self._arrived_at = 0.0
        self._news_from_ns: int | None = None

    def see(self, heartbeat: Heartbeat | None) -> None:
        """Take in the last heartbeat received, a new one or the same again."""
        before = self._heartbeat
        if heartbeat is before:
            return
        self._heartbeat, self._arrived_at = heartbeat, self._clock()
        if heartbeat is None or before is None or self._news_from_ns is None:
            return
        if heartbeat.utc_ns < before.utc_ns:
            # By that clock the beginning may lie ahead: no part would be news until then.
            self._news_from_ns = min(self._news_from_ns, heartbeat.utc_ns)

    def begin(self) -> None:
        """Somebody listens from now on: what was judged before is history to them."""
        self._news_from_ns = self._now_ns()

    def is_history(self, decided_utc_ns: int) -> bool:
        """Whether a part is told late; what cannot be known to be news is history."""
        now_ns = self._now_ns()
        if now_ns is None or self._news_from_ns is None:
            return True
        return not max(self._news_from_ns, now_ns - _NEWS_NS) <= decided_utc_ns <= now_ns + _NEWS_NS

    def _now_ns(self) -> int | None:
        if self._heartbeat is None:
            return None
        return self._heartbeat.utc_ns + round((self._clock() - self._arrived_at) * 1e9)
