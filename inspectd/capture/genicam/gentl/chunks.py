"""Reads chunks of frames that a producer delivers."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Collection
from ctypes import byref, c_size_t
from typing import Final

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.chunks import CHUNKS
from inspectd.capture.genicam.gentl.nodes import AttachedChunks, NodeFeatures
from inspectd.capture.genicam.gentl.producer_library import GentlError, ProducerLibrary
from inspectd.capture.genicam.gentl.standard import BufferInfo, Gc

_MOST_CHUNKS: Final = 256
_MOST_CHUNK_BYTES: Final = 4096
"""A chunk that says a number has eight bytes; the picture is one too, and is not copied for its sake."""
_NO_LIST: Final = frozenset({Gc.NOT_IMPLEMENTED, Gc.NOT_AVAILABLE, Gc.NO_DATA, Gc.PARSING_CHUNK_DATA})
_TAILS: Final = {"GEV": struct.Struct(">II"), "U3V": struct.Struct("<II")}
"""Behind each chunk: its number and its length."""


class _SingleChunk(ctypes.Structure):
    _fields_ = (("number", ctypes.c_uint64), ("offset", ctypes.c_ssize_t), ("length", c_size_t))


def laid_out(data: bytes, tail: struct.Struct) -> list[tuple[int, int, int]]:
    """Number, place and length of each chunk of a frame, which lie one behind the other up to its end.

    The standard's own reader of this layout does not come back from some lengths that are wrong.

    Args:
        data: all that is in the frame.
        tail: what stands behind each chunk.

    Raises:
        CameraError: the chunks do not take the frame's bytes.
    """
    found: list[tuple[int, int, int]] = []
    end = len(data)
    while end and len(found) < _MOST_CHUNKS:
        number, length = tail.unpack_from(data, end - tail.size) if end >= tail.size else (0, end)
        start = end - tail.size - length
        if start < 0:
            raise CameraError(f"sent chunks that do not fit its frame: one of {length} bytes ends at {end}")
        found.append((number, start, length))
        end = start
    return found


class GentlChunks:
    """Reads the chunks of a camera's frames: where the producer lists them, else where they lie by its kind.

    Args:
        library: of the producer.
        features: of the camera, with the chunks switched on.
        facts: names of `CHUNKS`.
    """

    def __init__(self, library: ProducerLibrary, features: NodeFeatures, facts: Collection[str]) -> None:
        self._library = library
        self._features = features
        self._facts = tuple(facts)
        self._attached: AttachedChunks | None = None

    def read(self, stream: int, buffer: int, data: bytes) -> dict[str, float]:
        """The values in a whole frame; of a chunk that is not in it there is none.

        Args:
            stream: handle of the stream.
            buffer: handle of the frame's buffer.
            data: a copy of all that is in it.

        Raises:
            CameraError: what is in it cannot be read as chunks.
        """
        if not self._facts:
            return {}
        listed = self._listed(stream, buffer, len(data))
        if listed is None:
            layout = self._library.text("DSGetBufferInfo", stream, buffer, BufferInfo.TLTYPE)
            if layout not in _TAILS:
                return {}
            listed = laid_out(data, _TAILS[layout])
        # Those that say a number, one behind the other: the picture need not be copied.
        small = [chunk for chunk in listed if chunk[2] <= _MOST_CHUNK_BYTES]
        if not small:
            return {}
        together = b"".join(data[offset : offset + length] for _, offset, length in small)
        moved, at = [], 0
        for number, _, length in small:
            moved.append((number, at, length))
            at += length
        if self._attached is None:
            self._attached = AttachedChunks(self._features)
        with self._attached.of_list(together, moved):
            return self._values()

    def _values(self) -> dict[str, float]:
        found = {fact: self._features.chunk(f"Chunk{CHUNKS[fact]}") for fact in self._facts}
        return {fact: value for fact, value in found.items() if value is not None}

    def _listed(self, stream: int, buffer: int, size: int) -> list[tuple[int, int, int]] | None:
        """Number, place and length of each chunk, as the producer lists them; None: it does not."""
        chunks, count = (_SingleChunk * _MOST_CHUNKS)(), c_size_t(_MOST_CHUNKS)
        try:
            self._library.call("DSGetBufferChunkData", stream, buffer, chunks, byref(count))
        except GentlError as error:
            if error.code in _NO_LIST:
                return None
            raise
        found = [(each.number, each.offset, each.length) for each in chunks[: count.value]]
        return [each for each in found if each[1] >= 0 and each[1] + each[2] <= size]

    def close(self) -> None:
        """Let go of the camera's description."""
        if self._attached is not None:
            self._attached.close()
        self._attached = None
