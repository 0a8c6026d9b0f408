"""Ring slots that are needed after the verdict: each goes back to its camera once and not before. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from inspectd.records import FrameRef

_Key = tuple[str, int, int, int]


class _Hold(msgspec.Struct):
    frame: FrameRef
    since_ns: int
    is_released: bool = False


class SlotHolds:
    """Stands between batching, which releases each slot once, and the camera that gets it back.

    A held slot goes back when both batching has released it and the hold has ended, whichever comes last.
    """

    def __init__(self, release: Callable[[FrameRef], None]) -> None:
        """Give slots back by `release`."""
        self._release = release
        self._held: dict[_Key, _Hold] = {}

    @property
    def count(self) -> int:
        """Slots that are held."""
        return len(self._held)

    def frames_of(self, camera: str) -> list[FrameRef]:
        """This camera's frames whose slots are held."""
        return [hold.frame for key, hold in self._held.items() if key[0] == camera]

    def hold(self, frame: FrameRef, now_ns: int) -> bool:
        """Hold a slot that batching has not released yet; False if it is held already."""
        key = _key(frame)
        if key in self._held:
            return False
        self._held[key] = _Hold(frame, now_ns)
        return True

    def release(self, frame: FrameRef) -> None:
        """Batching needs the slot no longer."""
        hold = self._held.get(_key(frame))
        if hold is None:
            self._release(frame)
        else:
            hold.is_released = True

    def end(self, frame: FrameRef) -> bool:
        """Whoever held the slot needs it no longer; False if it was not held (any more)."""
        hold = self._held.pop(_key(frame), None)
        if hold is None:
            return False
        if hold.is_released:
            self._release(frame)
        return True

    def older_than(self, limit_ns: int, now_ns: int) -> list[FrameRef]:
        """Frames that have been held for longer than `limit_ns`."""
        return [hold.frame for hold in self._held.values() if now_ns - hold.since_ns > limit_ns]


def _key(frame: FrameRef) -> _Key:
    return frame.camera, frame.generation, frame.slot, frame.seq
