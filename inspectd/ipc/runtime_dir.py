"""The directory of a line's local sockets, held by one daemon at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from inspectd.errors import UnavailableError


def is_same_directory(path: Path, before: os.stat_result) -> bool:
    """Whether a path still names the directory that it named `before`, which somebody holds open."""
    try:
        return os.path.samestat(path.stat(), before)
    except OSError:
        return False


class RuntimeDir:
    """Makes the directory, locks it against a second daemon, and takes it away again when it is empty.

    The lock is on the directory itself: it needs no file, and the kernel drops it with the process.
    """

    def __init__(self, path: Path) -> None:
        """Nothing happens before the `with`."""
        self._path = path
        self._fd = -1

    def __enter__(self) -> Path:
        """Make and lock the directory.

        Raises:
            UnavailableError: it cannot be made, or another daemon holds it.
        """
        try:
            self._path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._refuse_foreign()
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UnavailableError(
                f"line.runtime_dir: cannot make {self._path}: {error.strerror}; "
                "choose a directory this user may write"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._fd), self._path.stat()):
                raise FileExistsError  # one that ended removed it meanwhile, and another one made it anew
        except OSError as error:
            os.close(self._fd)
            if not isinstance(error, BlockingIOError | FileNotFoundError | FileExistsError):
                raise UnavailableError(
                    f"line.runtime_dir: cannot lock {self._path}: {error.strerror}; choose a local directory"
                ) from error
            raise UnavailableError(
                f"line.runtime_dir: another inspectd uses {self._path}; "
                "stop it, or give this line its own directory"
            ) from error
        return self._path

    def _refuse_foreign(self) -> None:
        """Sockets in a directory that another user made could be swapped for others that send `pass`."""
        for folder in (self._path, self._path.parent):
            owner = folder.stat().st_uid
            if owner not in {0, os.getuid()}:
                raise UnavailableError(
                    f"line.runtime_dir: {folder} belongs to user {owner}; "
                    "remove it, or choose another directory"
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Unlock; remove the directory unless something else lies in it or the system owns it."""
        with contextlib.suppress(
            OSError
        ):  # not empty, or systemd's: whoever put the rest there takes care of it
            self._path.rmdir()
        os.close(self._fd)
