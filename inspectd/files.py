"""Writing files so that they appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

from inspectd.errors import InputError, UnavailableError

_LOCK: Final = ".lock"
_CHANGE_SECONDS: Final = 10.0
"""Longest wait for another process that changes a file; a change of a line's keys waits for its record."""
_SMALL_BYTES: Final = 1_000_000
_NO_HOME: Final = "/nonexistent"  # as Debian names the home of users who have none

_log: Final = logging.getLogger(__name__)


def write_bytes(path: Path, data: bytes, mode: int = 0o644, *, has_one_writer: bool = False) -> None:
    """Write a file under a temporary name beside its place, then rename it there.

    It belongs to whom the file that it replaces did (see `give_as`), and nobody may read it who could not
    read that one.

    Args:
        path: its place; folders on the way are made.
        data: all of it.
        mode: who may read it, and may have read what it replaces; until it is whole only its owner may.
        has_one_writer: nobody else writes this file. Its temporary name is then always the same, so that a
            program that is killed often leaves one such file, not many.

    Raises:
        UnavailableError: it cannot be written.
    """
    try:
        make_folder(path.parent)
        like = _replaced(path)
        if like is not None:
            mode &= stat.S_IMODE(like.st_mode)
        if has_one_writer:
            name = f"{path}.new"
            # What root's program left cannot be opened by the line's, but removed by whoever has the folder.
            Path(name).unlink(missing_ok=True)
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        else:
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                give_as(file.fileno(), like or path.parent.stat())
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:  # Ctrl-C in the middle of writing must leave nothing either
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from error


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Make a folder, and those above it, where they are missing; they belong to whom the one above does.

    Raises:
        OSError: it cannot be made.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    folder.mkdir(mode, parents=True, exist_ok=True)
    for each in reversed(missing):
        give_folder(each)


def give_folder(folder: Path) -> None:
    """Give a folder that was just made to whom the one above it belongs: see `give_as`.

    Raises:
        OSError: it cannot be given away.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        give_as(descriptor, folder.parent.stat())
    finally:
        os.close(descriptor)


def give_as(descriptor: int, like: os.stat_result) -> None:
    """What root made belongs to whom it is made for: a service could not use what is root's.

    A root that may give nothing away, or not to that user whom its container does not know, keeps it, and the
    log says so (`stays_roots`).

    Args:
        descriptor: of what was made.
        like: what it replaces, or the folder that it is in.

    Raises:
        OSError: it cannot be given away, for another reason.
    """
    made = os.fstat(descriptor)
    if os.geteuid() != 0 or (made.st_uid, made.st_gid) == (like.st_uid, like.st_gid):
        return
    try:
        os.fchown(descriptor, like.st_uid, like.st_gid)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EINVAL}:
            raise
        file = Path(f"/proc/self/fd/{descriptor}").readlink()
        detail = f"{file} stays root's, not user {like.st_uid}'s: {error}"
        _log.warning("stays_roots", extra={"fields": {"detail": detail}})  # as `inspectd.log` takes them


def _replaced(path: Path) -> os.stat_result | None:
    """The file that another one is to replace; None: there is none."""
    return path.stat() if path.is_file() else None


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep all others out who change this file so, from before it is read until it is written anew.

    Two that read it at once would each write what they read: the later one undoes what the earlier one did.
    The lock is on a file beside it, as it is another file afterwards: that may open whoever may write in the
    folder, and nobody who may only read it. It ends with the process at the latest.

    Raises:
        UnavailableError: the folder cannot be used, or another process has it for longer than 10 s.
    """
    folder = path.parent
    try:
        make_folder(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(folder / _LOCK, flags, 0o600)
    except OSError as error:
        detail = f"{error.filename}: {error.strerror}" if error.filename else error
        raise UnavailableError(f"{path}: cannot be written: {detail}") from error
    try:
        _share_lock(descriptor, folder)
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _share_lock(descriptor: int, folder: Path) -> None:
    """Let all open a lock who may write in its folder, as two people do who sign one order there.

    Raises:
        UnavailableError: its owner or mode cannot be set.
    """
    try:
        above = folder.stat()
        give_as(descriptor, above)
        lock = os.fstat(descriptor)
        if os.geteuid() not in {0, lock.st_uid}:
            return  # it is somebody else's, who has done this
        if lock.st_gid != above.st_gid and above.st_gid in {os.getegid(), *os.getgroups()}:
            os.fchown(descriptor, -1, above.st_gid)
        writers = above.st_mode & 0o022
        os.fchmod(descriptor, 0o600 | writers | writers << 1)
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EINVAL, errno.ENOTSUP}:
            return  # a file system without owners and modes: whoever may write there may open it
        raise UnavailableError(f"{folder / _LOCK}: cannot be shared: {error.strerror or error}") from error


def _lock(descriptor: int, path: Path) -> None:
    until = time.monotonic() + _CHANGE_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise UnavailableError(
                    f"{path}: another command is changing it, or what lies beside it; try again"
                ) from error
        except OSError as error:
            raise UnavailableError(f"{path.parent}: cannot be locked: {error.strerror or error}") from error
        time.sleep(0.01)


def refuse_unwritable(path: Path) -> None:
    """Refuse a file's place before the work whose outcome goes there, and make nothing.

    A nameless file is made in the nearest folder that is there: a disk that is read-only or full shows too.

    Raises:
        InputError: a folder is there, or what is there cannot be seen.
        UnavailableError: nothing can be written there.
    """
    if is_folder(path):
        raise InputError(f"{path}: is a folder, expected the name of a file to write")
    nearest = next(folder for folder in path.absolute().parents if is_there(folder))
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UnavailableError(
            f"{path}: cannot be written: folder {nearest}: {error.strerror or error}"
        ) from error


def open_regular(path: Path, *, follow_links: bool = True) -> BufferedReader:
    """Open a regular file for reading and nothing else: a pipe would never end, and a device may act on it.

    Raises:
        InputError: it is something else.
        OSError: it cannot be opened.
    """
    if stat.S_ISREG((path.stat() if follow_links else path.lstat()).st_mode):
        # Whatever was put there since does not block either.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
        file = os.fdopen(os.open(path, flags), "rb")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise InputError(f"{path}: is not a regular file, expected one")


def read_small(path: Path, most_bytes: int = _SMALL_BYTES) -> bytes:
    """All of a regular file that a person names, and that is small: a key, a password, a list of users.

    Raises:
        InputError: it is something else, or larger.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise InputError(f"{path}: has more than {most_bytes} bytes; is another file meant?")
    return data


class OwnFile:
    """A file that one process goes on writing by its path, and what it is known by: device and inode.

    Another disk that is mounted in its place, or a copy that is put there, would take what is written, and be
    gone with it once the file is back: the next start reads that one. So its folder is known likewise, which
    tells where the file itself is not there yet.
    """

    def __init__(self, path: Path) -> None:
        """Know the file that is there now, if one is.

        Raises:
            UnavailableError: it cannot be looked at.
        """
        self._path = path
        self._folder = _identity(path.parent)
        self._file = _identity(path)

    def refuse_other(self) -> None:
        """Refuse to write where another file is in its place, or none that was there before.

        Raises:
            UnavailableError: it must not be written, or cannot be looked at.
        """
        folder, file = _identity(self._path.parent), _identity(self._path)
        told = None
        if self._folder is not None and folder != self._folder:
            told = "its folder is " + ("gone" if folder is None else "another one")
        elif self._file is not None and file != self._file:
            told = "is " + ("gone" if file is None else "another file")
        if told is not None:
            raise UnavailableError(
                f"{self._path}: {told} since the line began to use it; was it replaced, or is its disk away? "
                "Put it back while the line runs: a restart goes by what is there then, without what "
                "could not be written"
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is written in here goes into this file, and into no other one.

        Raises:
            UnavailableError: as `refuse_other`.
        """
        self.refuse_other()
        yield
        with suppress(UnavailableError):  # it is written all the same, and known with what comes next
            self.know()

    def know(self) -> None:
        """It is written: know it from now on, where it was not there before.

        Raises:
            UnavailableError: it cannot be looked at.
        """
        self._folder = self._folder or _identity(self._path.parent)
        self._file = self._file or _identity(self._path)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from error
    return found.st_dev, found.st_ino


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk: what was made or renamed there outlives a power cut.

    Raises:
        OSError: they cannot be written.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_file(path: Path) -> bool:
    """Whether a path that a user gave names a file; unlike `Path.is_file`, it tells what it cannot know.

    Raises:
        InputError: that cannot be seen, for lack of permission or as the path is too long.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """As `is_file`, of a folder."""
    return stat.S_ISDIR(_mode(path))


def is_there(path: Path) -> bool:
    """As `is_file`, of anything by that name."""
    return _mode(path) != 0


def new_key_files(path: Path, first: str, second: str) -> tuple[Path, Path]:
    """The files of a new key: `path` with either suffix.

    Raises:
        InputError: one of them exists, or that cannot be seen.
    """
    files = path.with_name(path.name + first), path.with_name(path.name + second)
    for file in files:
        if is_there(file):
            raise InputError(f"{file}: exists, and a key is never overwritten; choose another name")
    return files


def _mode(path: Path) -> int:
    """What a path names, as `stat` gives it; 0: nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def temporary_root() -> Path:
    """The system's directory for temporary files.

    Raises:
        UnavailableError: there is none that can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise UnavailableError(
            "no temporary directory can be written; set $TMPDIR to one that can"
        ) from error


def temporary_folder(prefix: str = "inspectd-") -> tempfile.TemporaryDirectory[str]:
    """A new temporary folder, as a context manager that takes it away again.

    Raises:
        UnavailableError: there is no place for one.
    """
    root = temporary_root()
    try:
        return tempfile.TemporaryDirectory(prefix=prefix, dir=root)
    except OSError as error:
        raise UnavailableError(f"{root}: no temporary folder can be made: {error.strerror}") from error


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a UTF-8 text file as `write_bytes` does.

    Raises:
        UnavailableError: it cannot be written.
    """
    write_bytes(path, text.encode(), mode)


def name_some_home() -> None:
    """Give libraries that cannot be imported without a home directory the name of one that is not there."""
    if home_folder() is None:
        os.environ["HOME"] = _NO_HOME


def home_folder() -> Path | None:
    """The user's home directory; None where there is none."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.is_dir() else None
