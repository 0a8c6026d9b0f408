"""When the frames of a replay are due."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_CATCH_UP_PERIODS: Final = 4


class ReplaySchedule:
    """Due times `1 / fps` apart that do not drift: each follows from the one before, not from "now".

    A reader that is late catches up on at most four frames, as the buffers of a camera driver would allow.
    When it is later than that, the schedule starts anew from that moment; frames are delayed, never skipped.
    """

    def __init__(self, fps: float, clock: Callable[[], float], phase: float | None = None) -> None:
        """The first frame is due at once, or at its phase.

        Args:
            fps: frames a second.
            clock: seconds, never running backwards; with a phase, one that all replays share.
            phase: share of the period, 0 to 1, at which frames are due in the periods the clock counts from
                its zero, so that replays of one rate keep their places among each other; None: any.
        """
        self._period_seconds = 1.0 / fps
        self._clock = clock
        self._phase = phase
        self._due = self._in_phase(clock())

    def due_seconds(self) -> float:
        """Time until the next frame is due; 0 when it is."""
        return max(0.0, self._due - self._clock())

    def taken(self) -> None:
        """The frame that was due has been read."""
        now = self._clock()
        self._due += self._period_seconds
        if now - self._due > _CATCH_UP_PERIODS * self._period_seconds:
            self._due = self._in_phase(now)

    def _in_phase(self, now: float) -> float:
        """The next time, `now` or later, at which a frame may be due."""
        if self._phase is None:
            return now
        return (math.ceil(now / self._period_seconds - self._phase) + self._phase) * self._period_seconds
