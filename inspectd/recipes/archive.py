"""A version in one file, to carry it elsewhere: a ZIP file, not compressed, the same for the same version.

Nothing of an archive is believed: each name, size and byte is held against its `recipe.json`, and that one
against its own digest. As nothing is compressed, nothing can grow when it is unpacked.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple

from inspectd.config import MOST_PLACES
from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular, sync_folder
from inspectd.recipes.staging import Source
from inspectd.recipes.version import MANIFEST, MOST_BYTES, RecipeVersion, decode, encode

_BLOCK_BYTES: Final = 1 << 20
_BEGIN: Final = b"PK\x03\x04"
_END: Final = struct.Struct("<4s4H2LH")
"""The end of a ZIP file: signature, disks, entries, bytes of the list of entries and where it begins."""
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64: Final = struct.Struct("<4sLQL")
_MOST_ENTRIES: Final = MOST_PLACES + 1
_MOST_LIST_BYTES: Final = 100_000


class Archived(NamedTuple):
    """A version as an archive holds it; its files are not read yet."""

    recipe: RecipeVersion
    sources: dict[str, Source]
    """Its files, by name."""


def is_archive(path: Path) -> bool:
    """Whether a file is, by its name or its beginning, one that should be an archive.

    Raises:
        InputError: it is no regular file, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(len(_BEGIN)) == _BEGIN or path.suffix.lower() == ".zip"
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def write_archive(recipe: RecipeVersion, folder: Path, out: Path) -> None:
    """Write a version as an archive, which appears whole or not at all.

    Args:
        recipe: the version.
        folder: where it lies.
        out: the file to write; never replaced.

    Raises:
        InputError: a file of the version is damaged, or `out` exists.
        UnavailableError: it cannot be written.
    """
    if os.path.lexists(out):
        raise InputError(f"{out}: exists, and an archive never replaces a file; choose another name")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                with zipfile.ZipFile(file, "w") as archive:
                    archive.writestr(_entry(MANIFEST, 0), encode(recipe))
                    for bank in sorted(recipe.files):
                        _put(archive, recipe, folder, bank)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.rename(out)
        except BaseException:  # Ctrl-C in the middle of writing must leave nothing either
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(out.parent)
    except OSError as error:
        raise UnavailableError(f"{out}: cannot be written: {error.strerror or error}") from error


@contextmanager
def open_archive(path: Path) -> Iterator[Archived]:
    """The version in an archive, whose files can be read as long as this lasts.

    Raises:
        InputError: it is no archive of a version, or was altered; reading its files raises the same.
    """
    try:
        with open_regular(path) as file:
            _refuse_long_list(file)
            with _zip_file(file) as archive:
                yield _archived(archive, os.fstat(file.fileno()).st_size)
    except InputError as error:
        raise InputError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path}: is damaged: {str(error)[:200]}; export it again") from error


def _entry(name: str, size_bytes: int) -> zipfile.ZipInfo:
    """An entry that depends on nothing but its file."""
    entry = zipfile.ZipInfo(name)  # of 1 January 1980
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o444) << 16
    entry.file_size = size_bytes  # for whether it takes the format for large files
    return entry


def _put(archive: zipfile.ZipFile, recipe: RecipeVersion, folder: Path, name: str) -> None:
    """Copy a file of a version into an archive, and hold it against its digest on the way."""
    expected, sha256, left_bytes = recipe.files[name], hashlib.sha256(), recipe.files[name].bytes
    with (
        open_regular(folder / name, follow_links=False) as file,
        archive.open(_entry(name, expected.bytes), "w") as copy,
    ):
        while left_bytes >= 0 and (block := file.read(_BLOCK_BYTES)):
            left_bytes -= len(block)
            copy.write(block)
            sha256.update(block)
    if left_bytes or sha256.hexdigest() != expected.sha256:
        raise InputError(
            f"{folder / name}: is not as it was written; `inspectd recipe verify {recipe}` says more"
        )


def _refuse_long_list(file: BinaryIO) -> None:
    """Refuse an archive whose list of entries is longer than any of ours, before it is read into memory."""
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, size_bytes - _END.size - _LOCATOR_64.size - _END_64.size))
    tail = file.read()
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\x05\x06":
        raise InputError("is no archive of `inspectd recipe export`, or was cut short; export it again")
    *_, entries, list_bytes, _, _ = _END.unpack(tail[-_END.size :])
    if tail[-_END.size - _LOCATOR_64.size :][:4] == b"PK\x06\x07":
        if tail[:4] != b"PK\x06\x06":
            raise InputError("is no archive of `inspectd recipe export`; export it again")
        *_, entries, list_bytes, _ = _END_64.unpack(tail[: _END_64.size])
    if entries > _MOST_ENTRIES or list_bytes > _MOST_LIST_BYTES:
        raise InputError(
            f"has a list of {entries} entries in {list_bytes} bytes, expected at most {_MOST_ENTRIES} in "
            f"{_MOST_LIST_BYTES}: it is no archive of `inspectd recipe export`"
        )


def _archived(archive: zipfile.ZipFile, size_bytes: int) -> Archived:
    """Hold the entries against the manifest among them."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if names[:1] != [MANIFEST]:
        raise InputError(f"does not begin with {MANIFEST}: it is no archive of `inspectd recipe export`")
    for entry in entries:
        _refuse_other_than_plain(entry)
    if entries[0].file_size > MOST_BYTES:
        raise InputError(f"{MANIFEST}: has {entries[0].file_size} bytes, expected at most {MOST_BYTES}")
    recipe = decode(_opened(archive, entries[0]).read(), MANIFEST)
    if names[1:] != sorted(recipe.files):
        found = ", ".join(repr(name[:100]) for name in names[1:]) or "none"
        raise InputError(
            f"holds the files {found[:500]}, expected those that its {MANIFEST} names, each once and in "
            f"order: {', '.join(sorted(recipe.files))[:500]}"
        )
    for entry in entries[1:]:
        expected = recipe.files[entry.filename].bytes
        if entry.file_size != expected:
            raise InputError(
                f"{entry.filename}: has {entry.file_size} bytes, expected {expected}; export it again"
            )
    if sum(entry.file_size for entry in entries) > size_bytes:
        raise InputError("its entries overlap: together they are larger than the archive")
    return Archived(
        recipe,
        {
            entry.filename: Source(entry.filename, entry.file_size, partial(_opened, archive, entry))
            for entry in entries[1:]
        },
    )


def _zip_file(file: BinaryIO) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    # As in `_opened`, or numbers that make no sense.
    except (ValueError, NotImplementedError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from error


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(entry)
    except (ValueError, NotImplementedError) as error:  # a name that is not UTF-8, features we never use
        raise zipfile.BadZipFile(str(error)) from error


def _refuse_other_than_plain(entry: zipfile.ZipInfo) -> None:
    """Refuse links, folders, compression and encryption: none is in an archive of ours."""
    mode = entry.external_attr >> 16
    if not stat.S_ISREG(mode) or not entry.filename or entry.filename.endswith("/"):
        raise InputError(f"{entry.filename[:100]!r} is a link, a folder or a device, expected plain files")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise InputError(f"{entry.filename[:100]!r} is compressed, expected files as they are")
    if entry.flag_bits & ~0x800:  # 0x800: its name is UTF-8
        raise InputError(f"{entry.filename[:100]!r} is encrypted or unusual, expected files as they are")
