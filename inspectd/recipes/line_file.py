"""The configuration file of a running line: what is in it now, and whether its banks are those of before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from inspectd.config import Camera, Config, Recipe, examine
from inspectd.errors import ConfigError, InputError
from inspectd.files import open_regular
from inspectd.pictures.suffixes import SUFFIXES

_MOST_FILES: Final = 10_000
"""Of one camera; its empty belt has 500 pictures at most."""


class FileStamp(msgspec.Struct, frozen=True):
    """Tells a file from another one that was put in its place: one of these differs.

    The other way round it may be the same bank, say, which is then loaded once more for nothing.
    """

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


class FileContent(msgspec.Struct, frozen=True):
    """What a configuration file said when it was read.

    Attributes:
        config: all of it, without a problem.
        banks: of each recipe, by its name.
        camera_files: that each camera's pictures are made by, by its name.
    """

    config: Config
    banks: dict[str, FileStamp | None]
    camera_files: dict[str, list[FileStamp | None]]


def read_line_file(path: Path) -> FileContent:
    """What the file that the line was started from says now; may wait for the disk.

    Raises:
        ConfigError: it cannot be read or has problems, all of which are listed, missing banks among them.
    """
    found = examine(path)  # the only reading: another file may be in its place at the next one
    problems = [*found.problems, *_bank_problems(found.recipes)]
    if found.settings is None or problems:
        raise ConfigError(str(path), problems)
    settings = found.settings
    return FileContent(settings, stamps_of(settings.recipes), camera_stamps_of(settings.cameras))


def stamps_of(recipes: Iterable[Recipe]) -> dict[str, FileStamp | None]:
    """Of the bank of each recipe, by its name; None where none can be seen."""
    return {recipe.name: _stamp(recipe.bank) for recipe in recipes}


def camera_stamps_of(cameras: Iterable[Camera]) -> dict[str, list[FileStamp | None]]:
    """Of the calibration of each camera and of what lies in its folder of the empty belt, by its name."""
    return {camera.name: [_stamp(path) for path in _camera_files(camera)] for camera in cameras}


def _camera_files(camera: Camera) -> Iterator[str]:
    if camera.geometry.calibration is not None:
        yield camera.geometry.calibration
    if camera.presence.empty_folder is not None:
        found = (
            str(Path(folder) / name)
            for folder, _, names in os.walk(camera.presence.empty_folder, followlinks=True)
            for name in names
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        )
        yield from sorted(islice(found, _MOST_FILES))


def _stamp(path: str) -> FileStamp | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return FileStamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _bank_problems(recipes: list[tuple[str, Recipe]]) -> Iterator[str]:
    for where, recipe in recipes:
        try:
            with open_regular(Path(recipe.bank)):
                pass
        except InputError as error:
            yield f"{where}.bank: {error}"
        except OSError as error:
            yield f"{where}.bank: {recipe.bank} cannot be read: {error.strerror}, expected a bank file"
        except ValueError as error:  # a name that no file can have
            yield f"{where}.bank: {recipe.bank!r} cannot be read: {error}, expected a bank file"
