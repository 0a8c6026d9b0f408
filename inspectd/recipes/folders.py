"""Looks at folders of the store: real folders and files, nothing missing, nothing besides."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular
from inspectd.recipes.version import FileDigest


def names_in(folder: Path) -> list[str]:
    """Names of a folder's entries, in any order; none where there is no folder.

    Raises:
        UnavailableError: it cannot be read.
    """
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be read: {error.strerror}") from error


def refuse_other_than_folder(folder: Path) -> None:
    """Refuse a file or a link: what it leads to may change.

    Raises:
        InputError: it is no folder.
        OSError: it cannot be looked at.
    """
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise InputError(f"{folder}: is a link or no folder, expected a folder of the store; restore a copy")


def refuse_other_names(folder: Path, expected: set[str]) -> None:
    """Refuse a folder that lacks something or holds more.

    Raises:
        InputError: it does; both are named.
        OSError: it cannot be read.
    """
    found = {entry.name for entry in folder.iterdir()}
    for what, names in (("lacks", expected - found), ("also holds", found - expected)):
        if names:
            listed = ", ".join(sorted(names)[:10])
            raise InputError(f"{folder}: {what} {listed}; restore a copy or import it again")


def verify_file(path: Path, expected: FileDigest) -> None:
    """Read a file and hold it against its digest.

    Raises:
        InputError: it is no regular file, or another one.
        OSError: it cannot be read.
    """
    with open_regular(path, follow_links=False) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes != expected.bytes:
            raise InputError(
                f"{path}: has {size_bytes} bytes, expected {expected.bytes}; restore a copy or "
                "import it again"
            )
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != expected.sha256:
        raise InputError(
            f"{path}: was altered: its sha256 is {sha256[:12]}..., expected "
            f"{expected.sha256[:12]}...; restore a copy or import it again"
        )
