"""How far the clock of another host is ahead of this one's: known within bounds, or not at all. Pure."""

from __future__ import annotations

from typing import Final

_DRIFT: Final = 0.0005
"""Share by which two clocks may run apart: ten times what those of computers do."""
_KNOWN_SECONDS: Final = 60.0
"""So long after the last answer the bounds still hold."""


class OtherClock:
    """The clock of another host, beside this program's, which never goes back.

    A message only says that the other clock had come so far, however long it was under way: by messages alone
    what is old looks fresh when their host's clock is ahead. An answer to a question was written after the
    question was asked, so it bounds the other clock from above as well (Cristian's algorithm: F. Cristian,
    "Probabilistic clock synchronization", Distributed Computing 3, 1989).
    """

    def __init__(self) -> None:
        self._low = self._high = 0.0
        self._answered_at: float | None = None

    def answered(self, asked_at: float, answered_at: float, other: float) -> None:
        """An answer in which the other host wrote its time.

        Args:
            asked_at: when it was asked, in seconds on this program's clock.
            answered_at: when the answer was here.
            other: the other clock's time in it, in seconds.
        """
        low, high = other - answered_at, other - asked_at
        if self._answered_at is not None:
            wider = _DRIFT * max(0.0, answered_at - self._answered_at)
            before_low, before_high = self._low - wider, self._high + wider
            if low <= before_high and before_low <= high:  # else one of the clocks was set
                low, high = max(low, before_low), min(high, before_high)
        self._low, self._high, self._answered_at = low, high, answered_at

    def heard(self, at: float, other: float) -> None:
        """A message with the other host's time came; one beyond the bounds shows that a clock was set."""
        if self._answered_at is not None and other - at > self._most(at):
            self._answered_at = None

    def ahead(self, at: float) -> float | None:
        """What to add to this program's clock for the latest time the other may show; None: not known."""
        if self._answered_at is None or at - self._answered_at > _KNOWN_SECONDS:
            return None
        return self._most(at)

    def age(self, other: float, at: float) -> float | None:
        """How long ago, at the longest, the other clock showed this; None: not known, or it never did."""
        ahead = self.ahead(at)
        age = None if ahead is None else at + ahead - other
        return age if age is not None and age >= 0 else None

    def _most(self, at: float) -> float:
        assert self._answered_at is not None
        return self._high + _DRIFT * max(0.0, at - self._answered_at)
