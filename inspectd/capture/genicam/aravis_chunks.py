"""Reads chunks by Aravis."""

from __future__ import annotations

from collections.abc import Collection
from ctypes import c_char_p, c_double, c_int64, c_void_p

from inspectd.capture.genicam.aravis import AravisCamera, AravisError, library
from inspectd.capture.genicam.chunks import CHUNKS


class ChunkReader:
    """Reads the chunks of a camera's frames.

    Args:
        camera: with the chunks switched on.
        facts: names of `CHUNKS`.
    """

    def __init__(self, camera: AravisCamera, facts: Collection[str]) -> None:
        self._library = library()
        self._real = {fact: camera.is_real(f"Chunk{CHUNKS[fact]}") for fact in facts}
        new_parser = self._library.plain("arv_camera_create_chunk_parser", c_void_p, c_void_p)
        self._parser: int = new_parser(camera.pointer)

    def read(self, buffer: int) -> dict[str, float]:
        """The values in a whole frame's buffer; of a chunk that is not in it there is none."""
        found = {}
        for fact, is_real in self._real.items():
            kind, result = ("float", c_double) if is_real else ("integer", c_int64)
            feature = f"Chunk{CHUNKS[fact]}".encode()
            try:
                found[fact] = self._library.call(
                    f"arv_chunk_parser_get_{kind}_value",
                    result,
                    (c_void_p, self._parser),
                    (c_void_p, buffer),
                    (c_char_p, feature),
                )
            except AravisError:
                continue  # what the frame does not say is not known of it
        return found

    def close(self) -> None:
        """Let go of the parser."""
        self._library.unref(self._parser)
