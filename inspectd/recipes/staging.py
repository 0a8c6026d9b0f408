"""Folders that appear whole or not at all: made under a hidden name, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from inspectd.errors import InputError
from inspectd.files import give_as, give_folder, make_folder, open_regular, sync_folder
from inspectd.recipes.version import BANKS, FileDigest

_HIDDEN: Final = ".new-"
_BLOCK_BYTES: Final = 1 << 20

Progress = Callable[[int, int], None]
"""Told of the bytes that are done, and of all there are."""


class Source(NamedTuple):
    """A file to copy."""

    name: str
    """What it is called in errors."""
    size_bytes: int
    open: Callable[[], IO[bytes]]


def file_source(path: Path) -> Source:
    """A regular file as a source.

    Raises:
        InputError: it is something else, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            size_bytes = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return Source(str(path), size_bytes, lambda: open_regular(path))


def sweep(root: Path) -> None:
    """Take away what an import that was killed left in `root`, whose lock the caller holds.

    Raises:
        OSError: it cannot be taken away.
    """
    for entry in root.glob(f"{_HIDDEN}*"):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextmanager
def staging_folder(root: Path) -> Iterator[Path]:
    """A new hidden folder in `root`; gone afterwards, unless `publish` gave it a name.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=root))
    try:
        folder.chmod(0o755)
        give_folder(folder)
        make_folder(folder / BANKS)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # of what is left the next import takes care


def copy_files(
    sources: Mapping[str, Source], folder: Path, progress: Progress | None
) -> dict[str, FileDigest]:
    """Copy files to their names in `folder` and onto the disk.

    Returns:
        What was written, by name.

    Raises:
        InputError: a source cannot be read, or has another size than it said.
        OSError: it cannot be written.
    """
    total_bytes = sum(source.size_bytes for source in sources.values())
    done_bytes = 0
    written = {}
    for name, source in sources.items():
        sha256, left_bytes = hashlib.sha256(), source.size_bytes
        with _opened(source) as origin, (folder / name).open("xb") as copy:
            while block := _read(origin, source, min(_BLOCK_BYTES, left_bytes + 1)):
                left_bytes -= len(block)
                if left_bytes < 0:
                    break
                copy.write(block)
                sha256.update(block)
                done_bytes += len(block)
                if progress is not None:
                    progress(done_bytes, total_bytes)
            _make_lasting(copy)
        if left_bytes:
            raise InputError(
                f"{source.name}: has {'more' if left_bytes < 0 else 'fewer'} bytes than it said, "
                f"{source.size_bytes}; was it changed meanwhile? Try again"
            )
        written[name] = FileDigest(sha256.hexdigest(), source.size_bytes)
    return written


def write_file(path: Path, data: bytes) -> None:
    """Write a new file that nobody will change, onto the disk.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("xb") as file:
        file.write(data)
        _make_lasting(file)


def publish(folder: Path, place: Path) -> None:
    """Give a whole folder of `staging_folder` its name; nothing is ever replaced.

    Raises:
        OSError: there is something already, or it cannot be renamed.
    """
    for each in (folder / BANKS, folder):
        sync_folder(each)
    parent = place.parent
    is_new = not parent.is_dir()
    if is_new:
        make_folder(parent)
        parent.chmod(0o755)
    try:
        sync_folder(parent.parent)
        folder.rename(place)  # refuses a file, and a folder that is not empty
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # an interrupt just after it was renamed: then it is there
                parent.rmdir()
        raise
    sync_folder(parent)
    # Only now: a folder that may not be written cannot be moved.
    with contextlib.suppress(OSError):  # it is a guard against accidents, and the version is there
        for each in (place / BANKS, place):
            each.chmod(0o555)


def _make_lasting(file: IO[bytes]) -> None:
    file.flush()
    give_as(file.fileno(), Path(file.name).parent.stat())
    os.fchmod(file.fileno(), 0o444)
    os.fsync(file.fileno())


def _opened(source: Source) -> IO[bytes]:
    try:
        return source.open()
    except OSError as error:
        raise InputError(f"{source.name}: cannot be read: {error.strerror}") from error


def _read(origin: IO[bytes], source: Source, size_bytes: int) -> bytes:
    try:
        return origin.read(size_bytes)
    except OSError as error:
        raise InputError(f"{source.name}: cannot be read: {error.strerror}") from error
