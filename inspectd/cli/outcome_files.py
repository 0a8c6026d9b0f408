"""Options that name a file to write: a place that cannot take it is refused before the work, not after it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from inspectd.errors import InputError
from inspectd.files import refuse_unwritable

_PICTURES: Final = (".png", ".jpg", ".jpeg")


def file_to_write(text: str) -> Path:
    """The `type` of an option for a file that a command writes.

    Raises:
        InputError: a folder is there.
        UnavailableError: nothing can be written there.
    """
    path = Path(text)
    refuse_unwritable(path)
    return path


def picture_to_write(text: str) -> Path:
    """As `file_to_write`, of a picture.

    Raises:
        InputError: the name says no format of a picture, or a folder is there.
        UnavailableError: nothing can be written there.
    """
    if Path(text).suffix.lower() not in _PICTURES:
        raise InputError(f"--out: got {text}, expected a name ending in .png or .jpg")
    return file_to_write(text)
