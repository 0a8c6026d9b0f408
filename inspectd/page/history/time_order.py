"""Tells verdicts that a wrong clock dated back from those that are only read late. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_SLACK_MS: Final = 300_000
"""A clock that is put right by so little was not wrong, and verdicts overtake each other."""
_FIRST_MS: Final = 1_735_689_600_000
"""2025: no verdict was decided before there was this program."""


class TimeOrder:
    """The times of one line's verdicts, in the line's order.

    That a verdict is old when it comes shows nothing: a line's journal is read from weeks back by a page that
    begins, and sent by a forwarder that begins. But then times go on from one to the next. One that is older
    than is kept, and than what came before it, was dated by a clock that had been set back. A clock that is
    behind from the first verdict on shows only where its time is older than this program.
    """

    def __init__(self, kept_ms: float, newest_ms: int | None) -> None:
        """Begin.

        Args:
            kept_ms: so long verdicts are kept.
            newest_ms: when the newest of those that came before was decided; None: none came.
        """
        self._kept_ms = kept_ms
        self.newest_ms = newest_ms
        """When the newest so far was decided, but not later than it came; None: none came."""

    def dated_back(self, times: Iterable[tuple[int, int]]) -> int:
        """How many of the next verdicts are such; `times`: when each was decided, and when it came."""
        found = 0
        for decided_ms, came_ms in times:
            before_ms = _FIRST_MS if self.newest_ms is None else max(_FIRST_MS, self.newest_ms - _SLACK_MS)
            found += decided_ms < min(came_ms - self._kept_ms, before_ms)
            # One that is dated ahead must not make all that come after it look old.
            self.newest_ms = max(self.newest_ms or 0, min(decided_ms, came_ms))
        return found
