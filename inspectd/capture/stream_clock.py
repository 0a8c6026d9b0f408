"""How old a live stream's frame is when it arrives, from the stream's own timestamps."""

from __future__ import annotations

from typing import Final

from inspectd.capture.driver import CameraError

_CREEP: Final = 1e-3
"""How fast the baseline rises, in ms a ms: more than any two quartz clocks drift apart (0.1 ms a second),
so that months of drift never make frames look stale, and little enough to see a stall for what it is."""


_RESTART_MS: Final = 1000.0


class StreamClock:
    """Estimates a frame's age against the quickest delivery seen.

    `arrival - timestamp` of a stream is an unknown constant plus the delay of each frame. Its minimum is the
    baseline of an undelayed frame; what lies above it is delay. The baseline is a leaky minimum: it creeps up
    by 1 ms a second, so that it follows two clocks that drift apart.
    """

    def __init__(self) -> None:
        """Nothing is known until the first frame."""
        self._baseline_ms: float | None = None
        self._last_arrival_ms = 0.0
        self._last_timestamp_ms = 0.0
        self._age_ms = 0.0

    def age_ms(self, arrival_ms: float, timestamp_ms: float) -> float:
        """How much later than an undelayed frame this one arrived; 0 while that cannot be known.

        A timestamp of 0 is none, and one equal to the last says nothing new: such a frame is taken to be as
        old as the one before. (FFmpeg hands out a frame without a timestamp in the middle of a backlog.)

        Args:
            arrival_ms: monotonic time of arrival.
            timestamp_ms: the frame's own time, on the stream's clock.

        Raises:
            CameraError: the stream's clock went back by over a second, so its ages are not known any more.
        """
        if timestamp_ms <= 0 or timestamp_ms == self._last_timestamp_ms:
            return self._age_ms
        if timestamp_ms < self._last_timestamp_ms - _RESTART_MS:
            back_ms = self._last_timestamp_ms - timestamp_ms
            raise CameraError(f"the stream's own clock went back by {back_ms:.0f} ms; connecting anew")
        offset_ms = arrival_ms - timestamp_ms
        if self._baseline_ms is None:
            self._baseline_ms = offset_ms
        crept_ms = self._baseline_ms + _CREEP * (arrival_ms - self._last_arrival_ms)
        self._baseline_ms = min(crept_ms, offset_ms)
        self._last_arrival_ms = arrival_ms
        self._last_timestamp_ms = timestamp_ms
        self._age_ms = offset_ms - self._baseline_ms
        return self._age_ms
