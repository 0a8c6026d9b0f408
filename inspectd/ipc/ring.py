"""A ring of frame slots in shared memory: one process writes frames, others read them in place.

The memory is an anonymous, sealed memfd whose descriptor travels over the channel between the processes.
Nothing has a name in a file system, so a crash leaves nothing over, and the seal keeps a broken writer from
shrinking the memory under a reader (which would end the reader with SIGBUS).

Layout: a 64-byte file header, a 64-byte header for every slot, then the slots, each page-aligned.
A slot's state byte names its owner: the writer (FREE) or the readers (HELD). The writer alone turns FREE
into HELD, the holder alone turns HELD into FREE, so no lock is needed.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

from inspectd.errors import InspectdError
from inspectd.records import FrameRef

_MAGIC: Final = b"inspring"
_HEADER: Final = struct.Struct("<8sQQQ")  # magic, generation, slots, slot_bytes
_HEADER_BYTES: Final = 64
_SLOT_HEADER_BYTES: Final = 64
_STAMP: Final = struct.Struct("<QQ")  # generation, seq of the frame in the slot
_STAMP_OFFSET: Final = 8
_MAPPED_WHOLE: Final = mmap.MAP_SHARED | mmap.MAP_POPULATE
_FREE: Final = 0
_HELD: Final = 1


class RingError(InspectdError):
    """A ring or a reference into it is not what it claims to be."""


class FrameRing:
    """Fixed slots of `slot_bytes` each, written by one process and read by others without a copy.

    Use `FrameRing.create` in the writer and `FrameRing.attach` in a reader.
    """

    def __init__(self, fd: int, memory: mmap.mmap, generation: int, slots: int, slot_bytes: int) -> None:
        """Wrap mapped memory; called by `create` and `attach`."""
        self.fd = fd
        self.generation = generation
        self.slots = slots
        self.slot_bytes = slot_bytes
        self._memory = memory
        self._stride = _page_aligned(slot_bytes)
        self._data_offset = _data_offset(slots)
        self._next = 0

    @classmethod
    def create(cls, generation: int, slots: int, slot_bytes: int) -> FrameRing:
        """Make a new ring of `slots` free slots.

        Raises:
            RingError: `slots` or `slot_bytes` is not positive, or the memory cannot be had.
        """
        if slots < 1 or slot_bytes < 1:
            raise RingError(f"a ring needs at least one slot of one byte, got {slots} of {slot_bytes}")
        size = ring_bytes(slots, slot_bytes)
        fd = os.memfd_create("inspectd-ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            # Reserve the pages now: a full machine answers here, not with SIGBUS in the middle of a frame.
            os.posix_fallocate(fd, 0, size)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            memory = mmap.mmap(fd, size, flags=_MAPPED_WHOLE)
        except OSError as error:
            os.close(fd)
            raise RingError(f"cannot make a ring of {slots} slots of {slot_bytes} bytes: {error}") from error
        memory[: _HEADER.size] = _HEADER.pack(_MAGIC, generation, slots, slot_bytes)
        return cls(fd, memory, generation, slots, slot_bytes)

    @classmethod
    def attach(cls, fd: int, *, for_frames: bool = True) -> FrameRing:
        """Map a ring another process made; takes ownership of `fd`.

        Args:
            fd: descriptor of the ring's memory.
            for_frames: the slots will be read, not the headers alone: their pages are mapped now, and not one
                by one as frames happen to lie in them, which would look like memory that grows for hours.

        Raises:
            RingError: `fd` is not a sealed ring, or its header does not match its size.
        """
        try:
            sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
            flags = _MAPPED_WHOLE if for_frames else mmap.MAP_SHARED
            memory = mmap.mmap(fd, os.fstat(fd).st_size, flags=flags)
        except (OSError, ValueError) as error:
            os.close(fd)
            raise RingError(f"cannot map the ring: {error}") from error
        if not sealed or len(memory) < _HEADER_BYTES:
            memory.close()
            os.close(fd)
            raise RingError("the ring's memory is too small, or not sealed against shrinking")
        magic, generation, slots, slot_bytes = _HEADER.unpack_from(memory)
        if magic != _MAGIC or len(memory) != ring_bytes(slots, slot_bytes):
            memory.close()
            os.close(fd)
            raise RingError(f"not a frame ring: header {magic!r}, {slots} slots of {slot_bytes} bytes")
        return cls(fd, memory, generation, slots, slot_bytes)

    def acquire(self) -> int | None:
        """The next free slot, or None while readers hold every one. For the writer."""
        for step in range(self.slots):
            slot = (self._next + step) % self.slots
            if self._memory[self._state_offset(slot)] == _FREE:
                self._next = (slot + 1) % self.slots
                return slot
        return None

    def write(self, slot: int, seq: int, pixels: NDArray[np.uint8]) -> None:
        """Copy a frame into an acquired slot and hand the slot to the readers.

        Args:
            slot: a slot that `acquire` returned.
            seq: the frame's sequence number.
            pixels: `(H, W, C) uint8`.

        Raises:
            RingError: the frame is larger than a slot.
        """
        if pixels.nbytes > self.slot_bytes:
            raise RingError(f"frame of {pixels.nbytes} bytes does not fit a slot of {self.slot_bytes}")
        start = self._data_offset + slot * self._stride
        self._bytes(start, pixels.nbytes).reshape(pixels.shape)[...] = pixels
        _STAMP.pack_into(self._memory, self._state_offset(slot) + _STAMP_OFFSET, self.generation, seq)
        self._memory[self._state_offset(slot)] = _HELD

    def release(self, slot: int) -> None:
        """Give a slot back to the writer. For its one holder."""
        self._memory[self._state_offset(slot)] = _FREE

    def holds(self, frame: FrameRef) -> bool:
        """True while the slot that `frame` names still holds exactly that frame."""
        if frame.generation != self.generation or not 0 <= frame.slot < self.slots:
            return False
        offset = self._state_offset(frame.slot)
        stamp = _STAMP.unpack_from(self._memory, offset + _STAMP_OFFSET)
        return self._memory[offset] == _HELD and stamp == (frame.generation, frame.seq)

    def view(self, frame: FrameRef) -> NDArray[np.uint8]:
        """The pixels looked at, in place, `(H, W, C) uint8`, BGR or grey; valid until the slot is released.

        Of a region the rows do not follow one another directly: other pixels of the frame lie between them.

        Raises:
            RingError: the slot does not hold this frame, or the frame's size does not fit the slot, or its
                region not the frame.
        """
        whole, region = self.whole(frame), frame.region
        if region is None:
            return whole
        if not frame.has_its_region:
            raise RingError(f"frame {frame.seq} of {frame.camera}: {region} lies beyond {whole.shape[:2]}")
        rows = slice(region.top, region.top + region.height)
        return whole[rows, region.left : region.left + region.width]

    def whole(self, frame: FrameRef) -> NDArray[np.uint8]:
        """All of the frame's pixels in place, whatever is looked at, `(H, W, C) uint8`, BGR or grey.

        Raises:
            RingError: the slot does not hold this frame, or the frame's size does not fit the slot.
        """
        return self._bytes(*self._place(frame)).reshape(frame.height, frame.width, frame.channels)

    def raw(self, frame: FrameRef) -> memoryview:
        """The bytes of all the frame's pixels in place, row by row; valid until the slot is released.

        Raises:
            RingError: as of `whole`.
        """
        start, size = self._place(frame)
        return memoryview(self._memory)[start : start + size]

    def _place(self, frame: FrameRef) -> tuple[int, int]:
        if not self.holds(frame):
            raise RingError(
                f"slot {frame.slot} of {frame.camera} no longer holds frame {frame.seq} of generation "
                f"{frame.generation}"
            )
        shape = (frame.height, frame.width, frame.channels)
        size = frame.height * frame.width * frame.channels
        if min(shape) < 1 or size > self.slot_bytes:
            raise RingError(
                f"frame {frame.seq} of {frame.camera} claims {shape}, a slot is {self.slot_bytes} B"
            )
        return self._data_offset + frame.slot * self._stride, size

    @property
    def held(self) -> int:
        """Number of slots that readers hold."""
        return sum(self._memory[self._state_offset(slot)] == _HELD for slot in range(self.slots))

    def address(self) -> tuple[int, int]:
        """Where the ring is mapped in this process, and its size in bytes."""
        memory = self._bytes(0, len(self._memory))
        return memory.ctypes.data, memory.nbytes

    def close(self) -> None:
        """Give the memory back. Views still alive keep the mapping until they are gone."""
        os.close(self.fd)
        try:
            self._memory.close()
        except BufferError:
            # A view is still in use; the mapping goes with the last of them.
            return

    def _bytes(self, start: int, size: int) -> NDArray[np.uint8]:
        import numpy as np  # noqa: PLC0415 - the main process looks at no pixel and does without, at every start

        return np.frombuffer(self._memory, np.uint8, size, start)

    def _state_offset(self, slot: int) -> int:
        return _HEADER_BYTES + slot * _SLOT_HEADER_BYTES


def ring_bytes(slots: int, slot_bytes: int) -> int:
    """Memory that a ring takes, all of it from the moment it is made."""
    return _data_offset(slots) + slots * _page_aligned(slot_bytes)


def _page_aligned(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _data_offset(slots: int) -> int:
    return _page_aligned(_HEADER_BYTES + slots * _SLOT_HEADER_BYTES)
