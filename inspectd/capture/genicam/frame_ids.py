"""Which frames a camera sent and this machine never got, by their numbers. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

_WRAP: Final = 65_535
"""GigE Vision 1.x counts 1 to 65535 and goes on with 1: 0 is no frame's number."""
_MOST_LOST: Final = 1000
"""A gap beyond this is a camera that counts anew, not a network that lost so many frames."""


_STAMPS: Final = 1024
"""As many as a producer may have buffers: none of what lies in one can be older."""


class FrameOrder:
    """Whether each frame is newer than those before it, as its number and its stamp show.

    Libraries give a frame again, or an old one late. Dated by its arrival it would be the next part's.

    Where a camera's clock begins anew with every start, stamps of before come again. What was left over of
    before is given once. So a first frame with a stamp of before is refused, and when a start begins with it
    once more, that is where the clock begins.
    """

    def __init__(self) -> None:
        self._number = self._stamp_ns = 0
        self._stamps: deque[int] = deque(maxlen=_STAMPS)
        self._is_first = False
        self._refused: deque[int] = deque(maxlen=_STAMPS)
        """Stamps with which starts began that were refused, since the last that was not."""

    def reopened(self) -> None:
        """Its numbers and its clock may have begun anew; no frame that was there before comes again."""
        self._number = self._stamp_ns = 0
        self._is_first = True

    def problem(self, number: int, stamp_ns: int) -> str:
        """Why nothing shows that a frame is a new one; empty: it is, or says neither number nor stamp.

        Args:
            number: 0: it has none.
            stamp_ns: on the camera's clock; 0: it has none.
        """
        before, self._number = self._number, number or self._number
        before_ns, self._stamp_ns = self._stamp_ns, stamp_ns or self._stamp_ns
        was_seen = self._was_seen(stamp_ns)
        if stamp_ns:
            self._stamps.append(stamp_ns)
        steps = []
        if number and before:
            steps.append(number - before if max(number, before) > _WRAP else _step(before, number))
        if stamp_ns and before_ns:
            steps.append(stamp_ns - before_ns)
        if not was_seen and 0 not in steps and (not steps or max(steps) > 0):
            return ""
        return (
            f"gave a frame again, or an old one: number {number}, stamped {stamp_ns}, after number {before}, "
            f"stamped {before_ns}"
        )

    def _was_seen(self, stamp_ns: int) -> bool:
        was_seen = stamp_ns in self._stamps
        is_first, self._is_first = self._is_first, False
        if is_first and was_seen and stamp_ns not in self._refused:
            self._refused.append(stamp_ns)
            return True
        if is_first and was_seen:  # begun with it twice
            self._stamps.clear()
            was_seen = False
        if is_first:
            self._refused.clear()
        return was_seen


def _step(before: int, number: int) -> int:
    """How far 16-bit numbers went; below 0: back."""
    return (number - before + _WRAP // 2) % _WRAP - _WRAP // 2


class FrameIds:
    """Counts gaps in the numbers of one stream's frames.

    Numbers above 65535 are those of GigE Vision 2.x, 64 bits wide, which do not wrap.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._unnumbered = 0
        self._is_wide = False
        self._remark = ""

    def lost_before(self, frame_id: int) -> int:
        """Frames between the one before and this one that never came.

        Args:
            frame_id: its number; 0: it was lost with the frame's first packet.
        """
        if frame_id == 0:
            self._unnumbered += 1
            return 0
        self._is_wide = self._is_wide or frame_id > _WRAP
        last, self._last = self._last, frame_id
        unnumbered, self._unnumbered = self._unnumbered, 0
        if last is None:
            return 0
        step = frame_id - last if self._is_wide else (frame_id - last) % _WRAP
        lost = step - 1 - unnumbered
        if not 0 <= step - 1 <= _MOST_LOST:
            self._remark = f"frame numbers went from {last} to {frame_id}; counted anew from there"
            return 0
        return max(0, lost)

    def take_remark(self) -> str:
        """Oddities of the numbers since the last call, in words; empty when there were none."""
        remark, self._remark = self._remark, ""
        return remark
