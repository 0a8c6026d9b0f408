"""A folder of what outlives a process, held by one at a time that works by it, wherever its sockets are."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from inspectd.errors import UnavailableError

FILE: Final = ".hold"


class StateHold:
    """Locks a file in the folder, not the folder: sockets or evidence may lie there, with locks of theirs.

    The runtime directory is no proof alone: it may be swept away under a line that runs, as cleaners of
    temporary files do, and whoever makes it anew has it. A folder in which no file can be had, as it is
    read-only or full, is held by nobody: the line runs without one, and says so.
    """

    def __init__(self, path: Path, refusal: str, *, is_made: bool = True) -> None:
        """Nothing happens before the `with`.

        Args:
            path: of the folder.
            refusal: says in words that another one holds it.
            is_made: make the folder and the file where they are not there; else nobody holds them.
        """
        self._path = path
        self._refusal = refusal
        self._is_made = is_made
        self._fd = -1

    def __enter__(self) -> None:
        """Lock it.

        Raises:
            UnavailableError: another one holds it.
        """
        try:
            self._fd = self._open()
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise UnavailableError(self._refusal) from error
        except OSError:
            self._close()

    def _open(self) -> int:
        """Open the file to read, which is enough to lock it: another user may have made it."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        try:
            return os.open(self._path / FILE, flags)
        except FileNotFoundError:
            if not self._is_made:
                raise
        self._path.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = os.open(self._path / FILE, flags | os.O_CREAT, 0o644)
        try:
            os.fchmod(descriptor, 0o644)  # whatever the umask: what root's command made the line has to open
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let it go."""
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
