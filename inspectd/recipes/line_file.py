"""The configuration file of a running line: what is in it now, and whether its banks are those of before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from inspectd.config import Config, Recipe, examine, load
from inspectd.errors import ConfigError


class BankStamp(msgspec.Struct, frozen=True):
    """Tells a bank file from another one that was put in its place: one of these differs.

    The other way round it may be the same bank, which is then loaded once more for nothing.
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
    """

    config: Config
    banks: dict[str, BankStamp | None]


class LineFile:
    """The file that the line was started from. Every call may wait for the disk.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def read(self) -> FileContent:
        """What the file says now.

        Raises:
            ConfigError: it cannot be read or has problems, all of which are listed, missing banks among them.
        """
        found = examine(self.path)
        problems = [*found.problems, *_bank_problems(found.recipes)]
        if problems:
            raise ConfigError(str(self.path), problems)
        # Stamps before the settings: a bank that comes between is taken for a new one by the next reading.
        stamps = stamps_of([recipe for _, recipe in found.recipes])
        return FileContent(load(self.path), stamps)


def stamps_of(recipes: Iterable[Recipe]) -> dict[str, BankStamp | None]:
    """Of the bank of each recipe, by its name; None where none can be seen."""
    return {recipe.name: _stamp(recipe.bank) for recipe in recipes}


def _stamp(path: str) -> BankStamp | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return BankStamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _bank_problems(recipes: list[tuple[str, Recipe]]) -> Iterator[str]:
    for where, recipe in recipes:
        try:
            with open(recipe.bank, "rb"):
                pass
        except OSError as error:
            yield f"{where}.bank: {recipe.bank} cannot be read: {error.strerror}, expected a bank file"
        except ValueError as error:  # a name that no file can have
            yield f"{where}.bank: {recipe.bank!r} cannot be read: {error}, expected a bank file"
