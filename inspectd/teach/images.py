"""The store of images: each under the sha256 of its bytes, as it came, and outside the quota of evidence."""

from __future__ import annotations

import hashlib
from pathlib import Path

from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular, write_bytes

_MOST_BYTES = 2_000_000_000


class ImageStore:
    """Image files below one folder; nothing is ever removed or changed.

    Args:
        root: the folder; made by the first image that is kept.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def keep(self, data: bytes) -> str:
        """Keep the bytes of an image file.

        Returns:
            Their sha256 in hexadecimal, by which they are found again.

        Raises:
            UnavailableError: they cannot be written.
            InputError: other bytes lie under their name.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        if self.place(sha256).exists():
            self.path(sha256)
        else:
            write_bytes(self.place(sha256), data, 0o444)
        return sha256

    def keep_file(self, path: Path) -> str:
        """As `keep`, of a file.

        Raises:
            InputError: it cannot be read.
        """
        return self.keep(_read(path))

    def place(self, sha256: str) -> Path:
        """Where an image lies, if it is kept."""
        return self._root / sha256[:2] / sha256

    def path(self, sha256: str) -> Path:
        """The file of an image, verified to hold what was kept.

        Raises:
            InputError: it is not there, cannot be read, or was altered.
        """
        path = self.place(sha256)
        found = hashlib.sha256(_read(path)).hexdigest()
        if found != sha256:
            raise InputError(f"{path}: was altered: its sha256 is {found[:12]}...; restore a copy")
        return path


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"{path}: is not there; restore a copy") from error
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path}: is larger than {_MOST_BYTES / 1e9:g} GB, expected one image")
    return data
