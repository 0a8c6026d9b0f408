"""How old a frame is at least, by a camera that was asked for its time. Pure: time is handed in.

How quickly frames come shows nothing of a delay that all of them have. A frame that a camera still held when it
was opened, or gives at the next trigger only, would look as if it had been taken just now.
"""

from __future__ import annotations

from typing import Final

from inspectd.capture.genicam.device_clock import MOST_DRIFT

EVERY_NS: Final = 2_000_000_000
"""So long afterwards it is asked again: until then the clocks drift apart by a millisecond."""
_NEVER_SO_LATE_NS: Final = 10_000_000_000
_AGREE_NS: Final = 5_000_000
_WITNESSES: Final = 8
"""So many frames in a row, equally late and later than any frame is, show that it was another clock's time."""
_MOST_AHEAD: Final = 3
"""So many frames in a row that were stamped after they were here show the same: by one the clock was set."""


class AskedTime:
    """What the camera answered last."""

    def __init__(self) -> None:
        self._answer: tuple[int, int, int] | None = None
        self._is_foreign = False
        self._ahead = self._late = 0
        self._late_ns = 0
        self._remark = ""

    @property
    def is_known(self) -> bool:
        """Whether it said its time, as far as anybody can tell."""
        return self._answer is not None

    def is_due(self, now_ns: int) -> bool:
        """Whether to ask again.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """
        if self._is_foreign:
            return False
        return self._answer is None or now_ns >= self._answer[2] + EVERY_NS

    def answered(self, device_ns: int, asked_ns: int, answered_ns: int) -> None:
        """The camera said its time.

        Args:
            device_ns: that time, on its clock.
            asked_ns: before it read it, CLOCK_MONOTONIC.
            answered_ns: after it.
        """
        self._answer = device_ns, asked_ns, answered_ns

    def give_up(self, why: str) -> None:
        """Ask no longer: it has no answer, or what it answers says nothing of its frames.

        Args:
            why: for a person; empty: it never had an answer.
        """
        self._answer, self._is_foreign = None, True
        self._remark = why and f"the camera's time is not asked for any longer: {why}"

    def latest_ns(self, device_ns: int, arrival_ns: int) -> int | None:
        """When a frame was stamped at the latest, CLOCK_MONOTONIC; None where nothing shows it.

        Args:
            device_ns: the frame's stamp; 0: it has none.
            arrival_ns: when it was there, CLOCK_MONOTONIC.
        """
        if self._answer is None or device_ns == 0:
            return None
        device_then_ns, asked_ns, answered_ns = self._answer
        since_ns = device_ns - device_then_ns
        drift_ns = int(MOST_DRIFT * abs(since_ns))
        if asked_ns + since_ns - drift_ns > arrival_ns:
            self._note_ahead()
            return None
        self._ahead = 0
        latest_ns = min(arrival_ns, answered_ns + since_ns + drift_ns)
        self._note_late(arrival_ns - answered_ns - since_ns)
        return None if self._is_foreign else latest_ns

    def take_remark(self) -> str:
        """What a person should know since the last call; empty: nothing."""
        remark, self._remark = self._remark, ""
        return remark

    def _note_ahead(self) -> None:
        self._answer = None  # its clock was set since: it is asked anew
        self._ahead += 1
        if self._ahead >= _MOST_AHEAD:
            self.give_up("its frames are stamped by another clock, which is ahead of it")

    def _note_late(self, late_ns: int) -> None:
        agrees = self._late and abs(late_ns - self._late_ns) <= _AGREE_NS
        self._late = 0 if late_ns < _NEVER_SO_LATE_NS else self._late + 1 if agrees else 1
        self._late_ns = late_ns
        if self._late >= _WITNESSES:
            self.give_up(f"its frames are stamped by another clock, {late_ns / 1e9:.0f} s behind it")
