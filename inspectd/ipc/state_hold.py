"""A folder of what outlives a process, held by one at a time that works by it, wherever its sockets are."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from inspectd.errors import UnavailableError
from inspectd.files import give_as, make_folder
from inspectd.log import event

FILE: Final = ".hold"
_FLAGS: Final = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW

_log: Final = logging.getLogger(__name__)


class HoldUnknownError(UnavailableError):
    """Nobody can see whether a folder is held."""


class StateHold:
    """Locks a file in the folder, not the folder: sockets or evidence may lie there, with locks of theirs.

    The runtime directory is no proof alone: it may be swept away under a line that runs, as cleaners of
    temporary files do, and whoever makes it anew has it. A folder in which no file can be had, as it is
    read-only or full, is held by nobody: the line runs without one, and its log says so (`state_not_held`).
    """

    def __init__(self, path: Path, refusal: str, *, is_made: bool = True) -> None:
        """Nothing happens before the `with`.

        Args:
            path: of the folder.
            refusal: says in words that another one holds it.
            is_made: make the folder and the file where they are not there; else nobody holds them, and what
                cannot be seen is refused.
        """
        self._path = path
        self._refusal = refusal
        self._is_made = is_made
        self._fd = -1

    def __enter__(self) -> None:
        """Lock it.

        Raises:
            HoldUnknownError: whether another one holds it cannot be seen, and the file is not to be made.
            UnavailableError: another one holds it.
        """
        try:
            self._fd = self._open()
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise UnavailableError(self._refusal) from error
        except OSError as error:
            self._close()
            file, why = self._path / FILE, error.strerror or error
            if self._is_made:
                detail = f"{file}: cannot be locked: {why}; nothing keeps a second process from {self._path}"
                event(_log, logging.WARNING, "state_not_held", detail=detail)
            elif not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise HoldUnknownError(f"{file}: cannot be locked: {why}") from error

    def _open(self) -> int:
        file = self._path / FILE
        try:
            return _opened(file)
        except FileNotFoundError:
            if not self._is_made:
                raise
        make_folder(self._path, 0o750)
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o644)
        except FileExistsError:  # another user made it just now
            return _opened(file)
        try:
            os.fchmod(descriptor, 0o644)  # whatever the umask: what root's command made the line has to open
            give_as(descriptor, self._path.stat())
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


def _opened(file: Path) -> int:
    """Open it to write, which a lock over NFS needs, or else to read: another user may have made it."""
    try:
        return os.open(file, os.O_RDWR | _FLAGS)
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EROFS}:
            raise
        return os.open(file, os.O_RDONLY | _FLAGS)
