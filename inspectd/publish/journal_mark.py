"""A mark beside the journal: the last position that was acknowledged, and so the newest epoch there was."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path

from inspectd.publish.replay import Position


class Mark:
    """Sixty-odd bytes, rewritten in place after every commit, which costs microseconds.

    It is written after the journal and not flushed: it never is ahead of it, and a process that is killed
    leaves both. A damaged mark says nothing and is passed over.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is opened before it is written."""
        self._path = path
        self._fd = -1

    def read(self) -> Position | None:
        """The position, or None where there is none that can be read."""
        try:
            text, _, checksum = self._path.read_bytes()[:80].strip().rpartition(b" ")
            epoch, _, seq = text.partition(b":")
            return Position(int(epoch), int(seq)) if int(checksum) == zlib.crc32(text) else None
        except (OSError, ValueError):
            return None

    def write(self, position: Position) -> None:
        """Remember a position. A mark that cannot be written is an older one: it says less, nothing wrong."""
        text = str(position).encode()
        with contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            os.pwrite(self._fd, (text + b" %d" % zlib.crc32(text)).ljust(64) + b"\n", 0)

    def forget(self) -> None:
        """The journal it spoke of is set aside; the epoch stays, so that the next one is larger."""
        position = self.read()
        if position is not None:
            self.write(Position(position.epoch, 0))

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
