"""Ring slots of frames that have several inspections, one for each region. Pure."""

from __future__ import annotations

from inspectd.records import FrameRef

_FrameKey = tuple[str, int, int]


class SharedSlots:
    """Says of each slot when the last of the inspections that read it needs it no longer."""

    def __init__(self) -> None:
        self._needed: dict[_FrameKey, int] = {}  # of frames with several: how many still need the slot

    def share(self, frame: FrameRef, inspections: int) -> None:
        """So many inspections, at least one, are opened of a frame."""
        if inspections > 1:
            self._needed[_key(frame)] = inspections

    def is_last(self, frame: FrameRef) -> bool:
        """Note that one of its inspections needs the slot no longer; True: and so does no other one."""
        left = self._needed.pop(_key(frame), 1) - 1
        if left:
            self._needed[_key(frame)] = left
        return not left


def _key(frame: FrameRef) -> _FrameKey:
    return frame.camera, frame.generation, frame.seq
