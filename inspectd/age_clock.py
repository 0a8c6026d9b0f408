"""The clock for the age of verdicts: a wall clock that leaps ahead must not empty what keeps them. Pure."""

from __future__ import annotations

from typing import Final

_HELD_NS: Final = 86_400_000_000_000
"""A leap is not believed for a day, in which somebody can put the clock right: there is an alarm."""


class AgeClock:
    """The wall clock; for a day after it leapt ahead, the time by the monotonic clock instead."""

    def __init__(self, tolerance_ns: int) -> None:
        """A leap ahead by `tolerance_ns` at most, such as a weekend without power, is believed at once."""
        self.ahead_ns = 0
        """Lead of the wall clock over the time that is believed; 0 while the wall clock is believed."""
        self._tolerance_ns = tolerance_ns
        self._seen: tuple[int, int] | None = None  # wall clock, monotonic clock
        self._leapt_ns: int | None = None

    def begin(self, utc_ns: int, monotonic_ns: int, held_ns: int = 0) -> None:
        """Begin at the time of the newest verdict that is kept; later calls change nothing.

        Args:
            utc_ns: that time, or the one that was believed in its stead.
            monotonic_ns: the time by the monotonic clock.
            held_ns: for how long it was.
        """
        if self._seen is None:
            self._seen = utc_ns, monotonic_ns
            self._leapt_ns = monotonic_ns - held_ns if held_ns else None

    def held_ns(self, monotonic_ns: int) -> int:
        """For how long the wall clock has not been believed; 0: it is."""
        return 0 if self._leapt_ns is None else monotonic_ns - self._leapt_ns

    def now_ns(self, utc_ns: int, monotonic_ns: int) -> int:
        """The time to measure ages by, in ns since 1970-01-01 UTC, where the clocks show these times."""
        self.begin(utc_ns, monotonic_ns)
        assert self._seen is not None
        believed_ns = self._seen[0] + monotonic_ns - self._seen[1]
        self.ahead_ns = utc_ns - believed_ns
        if self.ahead_ns > self._tolerance_ns:
            if self._leapt_ns is None:
                self._leapt_ns = monotonic_ns
            if monotonic_ns - self._leapt_ns < _HELD_NS:
                return believed_ns
        self.ahead_ns, self._leapt_ns = 0, None
        self._seen = utc_ns, monotonic_ns
        return utc_ns
