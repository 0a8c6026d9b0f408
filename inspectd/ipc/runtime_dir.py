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


class UnusableDirError(UnavailableError):
    """The directory cannot be had, whether or not a line runs."""


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
            UnusableDirError: it cannot be made or locked, or is another user's.
            UnavailableError: another daemon holds it.
        """
        try:
            self._refuse_foreign()  # first: in a directory that root leaves the line's user cannot listen
            self._path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._refuse_foreign()  # somebody else may have made it meanwhile
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            what, advice = "cannot make", "choose"
            if isinstance(error, PermissionError) and os.path.lexists(self._path):
                what, advice = "this user may not read", "remove it, or choose"
            raise UnusableDirError(
                f"line.runtime_dir: {what} {self._path}: {error.strerror}; "
                f"{advice} a directory this user may write"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(self._fd), self._path.stat()):
                raise FileExistsError  # one that ended removed it meanwhile, and another one made it anew
        except OSError as error:
            os.close(self._fd)
            if not isinstance(error, BlockingIOError | FileNotFoundError | FileExistsError):
                raise UnusableDirError(
                    f"line.runtime_dir: cannot lock {self._path}: {error.strerror}; choose a local directory"
                ) from error
            raise UnavailableError(
                f"line.runtime_dir: another inspectd uses {self._path}; "
                "stop it, or give this line its own directory"
            ) from error
        return self._path

    def _refuse_foreign(self) -> None:
        """Sockets in a directory that another user made could be swapped for others that send `pass`.

        So could those in one that lies in, or is to be made in, another user's directory.
        """
        for folder in (self._path, *self._path.absolute().parents):
            try:
                owner = folder.stat().st_uid
            except FileNotFoundError:
                continue
            if owner not in {0, os.getuid()}:
                mend = "" if folder != self._path else "remove it where no line runs in it, or "
                where = f"{folder}, " if folder == self._path else f"{self._path} is in {folder}, "
                raise UnusableDirError(
                    f"line.runtime_dir: {where}which belongs to user {owner}, who could put other sockets "
                    f"there; {mend}do this as that user, or choose another directory"
                )
            if folder != self._path:
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Unlock; remove the directory unless something else lies in it or the system owns it."""
        with contextlib.suppress(
            OSError
        ):  # not empty, or systemd's: whoever put the rest there takes care of it
            self._path.rmdir()
        os.close(self._fd)
