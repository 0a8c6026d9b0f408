"""How old a frame is at least, by a camera that was asked for its time.

Pure: time is handed in, the machine's by its unadjusted clock (`driver.unadjusted_ns`), nanoseconds.

How quickly frames come shows nothing of a delay that all of them have. A frame that a camera still held when
it was opened, or gives at the next trigger only, would look as if it had been taken just now.
"""

from __future__ import annotations

from typing import Final

from inspectd.capture.genicam.device_clock import MOST_DRIFT, FrameSpan

EVERY_NS: Final = 2_000_000_000
"""So long afterwards it is asked again: until then the clocks drift apart by a millisecond."""
_SHARP_NS: Final = 5_000_000
"""An answer that took longer leaves open whether a frame is new: it may be older by as much."""
_HOLDS_NS: Final = 2 * EVERY_NS
"""So long after an answer it still shows that: the clocks have drifted apart by some milliseconds at most."""
_HELD_UP_NS: Final = 600_000_000_000
"""So long after an answer that took long, or was refused, no frame is held up for another one."""
_TRIES: Final = 3
"""So often it is asked at once where answers take too long: this machine may have been busy."""
_WITNESSES: Final = 8
"""So many frames in a row that cannot be as the camera says are no accident."""


class AskedTime:
    """What the camera answered last.

    Args:
        usual_ns: a frame takes so long at most from its stamp to its arrival; what takes longer is said.
    """

    def __init__(self, usual_ns: int) -> None:
        self._usual_ns = usual_ns
        self._answer: tuple[int, int, int] | None = None
        self._is_asked = True
        self._ahead = self._late = self._loose = self._refused = 0
        self._not_before_ns = self._hold_none_ns = 0
        self._remark = ""

    @property
    def is_known(self) -> bool:
        """Whether it said its time, as far as anybody can tell."""
        return self._answer is not None

    def is_sharp(self, device_ns: int) -> bool:
        """Whether it said its time so quickly, and so short before, that this shows whether a frame is new.

        Args:
            device_ns: the frame's stamp.
        """
        if self._answer is None:
            return False
        device_then_ns, asked_ns, answered_ns = self._answer
        return answered_ns - asked_ns <= _SHARP_NS and device_ns - device_then_ns <= _HOLDS_NS

    def is_due(self, now_ns: int) -> bool:
        """Whether to ask now, or again.

        Args:
            now_ns: now.
        """
        if now_ns < self._not_before_ns:
            return False
        if self._answer is None or 0 < self._loose < _TRIES:
            return self._is_asked
        return self._is_asked and now_ns >= self._answer[2] + EVERY_NS

    def is_needed(self, device_ns: int, now_ns: int) -> bool:
        """Whether to ask before a frame is dated: the last answer is too old, and the next may be sharp.

        Args:
            device_ns: the frame's stamp; 0: it has none.
            now_ns: now.
        """
        may_be_sharp = device_ns > 0 and now_ns >= self._hold_none_ns
        return may_be_sharp and not self.is_sharp(device_ns) and self.is_due(now_ns)

    def answered(self, device_ns: int, asked_ns: int, answered_ns: int) -> None:
        """The camera said its time.

        Args:
            device_ns: that time, on its clock.
            asked_ns: before it read it.
            answered_ns: after it.
        """
        self._refused = 0
        self._not_before_ns = 0
        took_ns = answered_ns - asked_ns
        self._loose = self._loose + 1 if took_ns > _SHARP_NS else 0
        if self._loose:
            self._hold_none_ns = answered_ns + _HELD_UP_NS
        if self._loose and self._answer is not None:
            _, before_ns, known_ns = self._answer
            if known_ns - before_ns + 2 * MOST_DRIFT * (answered_ns - known_ns) < took_ns:
                # What it said before says more still, until the clocks have drifted apart by as much.
                self._not_before_ns = 0 if self._loose < _TRIES else answered_ns + EVERY_NS
                return
        self._answer = device_ns, asked_ns, answered_ns

    def refused(self, why: str, now_ns: int) -> None:
        """It did not say its time: what it said before still holds, and it is asked again later.

        Args:
            why: for a person.
            now_ns: now.
        """
        self._not_before_ns = now_ns + EVERY_NS
        self._hold_none_ns = now_ns + _HELD_UP_NS
        self._refused += 1
        if self._refused >= _WITNESSES:
            self.give_up(why)

    def give_up(self, why: str) -> None:
        """Ask no longer: it has no answer, or what it answers says nothing of its frames.

        Args:
            why: for a person; empty: there is nothing to say.
        """
        self._answer, self._is_asked = None, False
        self._remark = why and f"the camera is not asked for its time any longer: {why}"

    def latest_ns(self, device_ns: int, arrival_ns: int) -> int | None:
        """When a frame was stamped at the latest; None where nothing shows it.

        Args:
            device_ns: the frame's stamp; 0: it has none.
            arrival_ns: when it was there.
        """
        if self._answer is None or device_ns == 0:
            return None
        device_then_ns, _, answered_ns = self._answer
        since_ns = device_ns - device_then_ns
        drift_ns = int(MOST_DRIFT * abs(since_ns))
        if self.earliest_ns(device_ns) > arrival_ns:
            self._note_ahead()
            return None
        self._ahead = 0
        self._note_late(arrival_ns - answered_ns - since_ns - drift_ns)
        return min(arrival_ns, answered_ns + since_ns + drift_ns)

    def earliest_ns(self, device_ns: int) -> int:
        """When a frame was stamped at the earliest; only where `latest_ns` is known."""
        assert self._answer is not None, "nothing is known"
        device_then_ns, asked_ns, _ = self._answer
        since_ns = device_ns - device_then_ns
        return asked_ns + since_ns - int(MOST_DRIFT * abs(since_ns))

    def narrowed(self, span: FrameSpan, device_ns: int, latest_ns: int) -> FrameSpan:
        """What the camera's own time leaves of the span by which its quickest frames date a frame.

        Args:
            span: the frame's.
            device_ns: the frame's stamp.
            latest_ns: of it, by `latest_ns`.
        """
        earliest_ns = self.earliest_ns(device_ns)
        last_ns = span.captured_ns + span.doubt_ns
        if last_ns < earliest_ns:  # the clock went back by less than shows in how frames come
            return FrameSpan(earliest_ns, latest_ns - earliest_ns)
        first_ns = max(span.captured_ns, earliest_ns)
        return FrameSpan(first_ns, last_ns - first_ns)

    def take_remark(self) -> str:
        """What a person should know since the last call; empty: nothing."""
        remark, self._remark = self._remark, ""
        return remark

    def _note_ahead(self) -> None:
        self._answer = None  # its clock was set since: it is asked anew
        self._ahead += 1
        if self._ahead >= _WITNESSES:
            self.give_up("its frames are stamped by another clock, which is ahead of it")

    def _note_late(self, late_ns: int) -> None:
        self._late = self._late + 1 if late_ns > self._usual_ns else 0
        if self._late % _WITNESSES == _WITNESSES - 1:
            self._remark = (
                f"by the camera's own time its frames come {late_ns / 1e6:.0f} ms late, expected "
                f"{self._usual_ns / 1e6:.0f} ms at most: the camera or the network holds them back, or it "
                "stamps them by another clock than it says. Only where its manual says that of its clocks: "
                "ask_time = false; then nothing shows that it holds frames back (docs/cameras.md)"
            )
