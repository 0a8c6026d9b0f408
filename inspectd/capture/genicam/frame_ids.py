"""Which frames a camera sent and this machine never got, by their numbers. Pure."""

from __future__ import annotations

from typing import Final

_WRAP: Final = 65_535
"""GigE Vision 1.x counts 1 to 65535 and goes on with 1: 0 is no frame's number."""
_MOST_LOST: Final = 1000
"""A gap beyond this is a camera that counts anew, not a network that lost so many frames."""


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
