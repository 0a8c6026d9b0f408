"""Reads chunks of frames that a producer delivers."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from ctypes import byref, c_size_t
from typing import Final

from inspectd.capture.genicam.chunks import CHUNKS
from inspectd.capture.genicam.gentl.library import GentlError, ProducerLibrary
from inspectd.capture.genicam.gentl.nodes import AttachedChunks, NodeFeatures
from inspectd.capture.genicam.gentl.standard import BufferInfo, Gc

_MOST_CHUNKS: Final = 256
_MOST_CHUNK_BYTES: Final = 4096
"""A chunk that says a number has eight bytes; the picture is one too, and is not copied for its sake."""
_NO_LIST: Final = frozenset({Gc.NOT_IMPLEMENTED, Gc.NOT_AVAILABLE, Gc.NO_DATA, Gc.PARSING_CHUNK_DATA})
_LAYOUTS: Final = frozenset({"GEV", "U3V"})


class _SingleChunk(ctypes.Structure):
    _fields_ = (("number", ctypes.c_uint64), ("offset", ctypes.c_ssize_t), ("length", c_size_t))


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
        self._attached: dict[str, AttachedChunks] = {}

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
            if layout not in _LAYOUTS:
                return {}
            with self._attacher(layout).of_layout(data):
                return self._values()
        # Those that say a number, one behind the other: the picture need not be copied.
        small = [chunk for chunk in listed if chunk[2] <= _MOST_CHUNK_BYTES]
        together = b"".join(data[offset : offset + length] for _, offset, length in small)
        moved, at = [], 0
        for number, _, length in small:
            moved.append((number, at, length))
            at += length
        with self._attacher("").of_list(together, moved):
            return self._values()

    def _values(self) -> dict[str, float]:
        found = {fact: self._features.chunk(f"Chunk{CHUNKS[fact]}") for fact in self._facts}
        return {fact: value for fact, value in found.items() if value is not None}

    def _attacher(self, layout: str) -> AttachedChunks:
        if layout not in self._attached:
            self._attached[layout] = AttachedChunks(self._features, layout)
        return self._attached[layout]

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
        for attached in self._attached.values():
            attached.close()
        self._attached.clear()
