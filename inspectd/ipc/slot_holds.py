"""Ring slots that are needed after the verdict: each goes back to its camera once and not before. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from inspectd.records import FrameRef


def share_of(slots: int) -> int:
    """The most of a camera's slots that one stage may hold; where no more are free, the camera is short."""
    return max(1, slots // 4)


_SlotKey = tuple[str, int, int, int]


class _HeldSlot(msgspec.Struct):
    held: dict[str, tuple[FrameRef, int]] = {}
    """What is looked at of its frame, by place, and since when it is held."""
    is_released: bool = False


class SlotHolds:
    """Stands between batching, which releases each slot once, and the camera that gets it back.

    A held slot goes back when batching has released it and every hold has ended, whichever comes last. A
    frame is held once, or once for each of its regions.
    """

    def __init__(self, release: Callable[[FrameRef], None]) -> None:
        """Give slots back by `release`."""
        self._release = release
        self._slots: dict[_SlotKey, _HeldSlot] = {}

    @property
    def count(self) -> int:
        """Slots that are held."""
        return len(self._slots)

    def count_of(self, camera: str) -> int:
        """Slots of this camera that are held."""
        return sum(key[0] == camera for key in self._slots)

    def holds_slot_of(self, frame: FrameRef) -> bool:
        """Whether its slot is held already, for it or for another region."""
        return _key(frame) in self._slots

    def frames_of(self, camera: str) -> list[FrameRef]:
        """This camera's frames, or regions of them, that are held."""
        slots = [slot for key, slot in self._slots.items() if key[0] == camera]
        return [frame for slot in slots for frame, _ in slot.held.values()]

    def hold(self, frame: FrameRef, now_ns: int) -> bool:
        """Hold a slot that batching has not released yet; False if it is held for the same already."""
        slot = self._slots.setdefault(_key(frame), _HeldSlot())
        if frame.place in slot.held:
            return False
        slot.held[frame.place] = frame, now_ns
        return True

    def release(self, frame: FrameRef) -> None:
        """Batching needs the slot no longer."""
        slot = self._slots.get(_key(frame))
        if slot is None:
            self._release(frame)
        else:
            slot.is_released = True

    def end(self, frame: FrameRef) -> bool:
        """Whoever held the slot for it needs it no longer; False if it was not held for it (any more)."""
        slot = self._slots.get(_key(frame))
        if slot is None or slot.held.pop(frame.place, None) is None:
            return False
        if not slot.held:
            del self._slots[_key(frame)]
            if slot.is_released:
                self._release(frame)
        return True

    def older_than(self, limit_ns: int, now_ns: int) -> list[FrameRef]:
        """Frames, or regions of them, that have been held for longer than `limit_ns`."""
        held = [each for slot in self._slots.values() for each in slot.held.values()]
        return [frame for frame, since_ns in held if now_ns - since_ns > limit_ns]


def _key(frame: FrameRef) -> _SlotKey:
    return frame.camera, frame.generation, frame.slot, frame.seq
