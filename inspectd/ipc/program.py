"""Tells whether the program's files are still those that a line was started from.

Where they are replaced under a running line, a process that begins anew would be of another version than the
rest: what it sends may mean something else, and what it scores need not be what thresholds were made for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inspectd.errors import UnavailableError

_PACKAGE: Final = Path(__file__).parents[1]


class ProgramReplacedError(UnavailableError):
    """This process is of other files than the one that started it."""


def program_state(package: Path = _PACKAGE) -> str:
    """A digest of the names, sizes and times of writing of the program's files.

    Raises:
        OSError: they cannot be looked at, or are being replaced just now.
    """
    return hashlib.sha256(repr(sorted(_files(str(package), ""))).encode()).hexdigest()


def refuse_replaced(state: str) -> None:
    """Refuse to go on where the program's files are no longer those of `state`; empty: nobody asks.

    Call it once all is imported: what was read of them before was then of these files too.

    Raises:
        ProgramReplacedError: they were replaced.
    """
    if not state:
        return
    try:
        now = program_state()
    except OSError as error:
        now = str(error)
    if now != state:
        raise ProgramReplacedError(f"the program's files in {_PACKAGE} were replaced while the line ran")


def _files(folder: str, within: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path, f"{within}{entry.name}/")
            elif entry.name.endswith(".py"):
                found = entry.stat()
                yield f"{within}{entry.name}", found.st_size, found.st_mtime_ns
