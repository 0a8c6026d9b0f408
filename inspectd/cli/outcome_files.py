"""Options that name a file to write: a place that cannot take it is refused before the work, not after it.

A name that was mistyped must not cost a file: what a command writes takes the place of its own kind alone.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final

from inspectd.errors import InputError
from inspectd.files import is_there, open_regular, refuse_unwritable

_PICTURES: Final = (".png", ".jpg", ".jpeg")
_MOST_BYTES: Final = 256
_BEGINNINGS: Final = {
    "bank": rb'.{8}\{"__metadata__":\{"inspectd"',
    "page": rb"(?i:\s*<!doctype html)",
    "picture": rb"\x89PNG|\xff\xd8\xff",
    "drawing": rb"\s*<svg",
    "archive": rb"PK\x03\x04",
    "figures": rb"\s*\{",
}
"""How a file of each kind begins: safetensors, HTML, PNG and JPEG, SVG, ZIP, JSON."""


def file_to_write(text: str) -> Path:
    """The `type` of an option for a file that a command writes, and for itself lets no other be replaced.

    Raises:
        InputError: a folder is there.
        UnavailableError: nothing can be written there.
    """
    path = Path(text)
    refuse_unwritable(path)
    return path


def _to_write(kind: str, text: str) -> Path:
    """As `file_to_write`, of a kind: in the place of none or another one of it.

    Raises:
        InputError: something else is there.
        UnavailableError: nothing can be written there.
    """
    path = file_to_write(text)
    if not is_there(path):
        return path
    try:
        with open_regular(path) as file:
            begin = file.read(_MOST_BYTES)
    except OSError as error:
        raise InputError(
            f"{path}: is there and cannot be read: {error.strerror}; name another file"
        ) from error
    if begin and re.match(_BEGINNINGS[kind], begin, re.DOTALL) is None:
        raise InputError(
            f"{path}: is there already and is no {kind}, so it is not replaced; name another file"
        )
    return path


bank_to_write: Final = partial(_to_write, "bank")
page_to_write: Final = partial(_to_write, "page")
drawing_to_write: Final = partial(_to_write, "drawing")
archive_to_write: Final = partial(_to_write, "archive")
figures_to_write: Final = partial(_to_write, "figures")


def picture_to_write(text: str) -> Path:
    """As the others, of a picture.

    Raises:
        InputError: the name says no format of a picture, or something else is there.
        UnavailableError: nothing can be written there.
    """
    if Path(text).suffix.lower() not in _PICTURES:
        raise InputError(f"--out: got {text}, expected a name ending in .png or .jpg")
    return _to_write("picture", text)
