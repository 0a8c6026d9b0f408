"""The number of the node's death, `bdSeq`: one more for each CONNECT, over restarts too.

A host application takes a death for that of the birth with the same number. So a number must not come twice
near in time, and it is on the disk before the broker hears of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from inspectd import files
from inspectd.errors import InputError

_NUMBERS: Final = 256


class DeathNumber:
    """Gives out the numbers 0 to 255 in turn, and remembers the last in a file."""

    def __init__(self, file: Path) -> None:
        """Go on from `file`; begin with 0 where there is none.

        Raises:
            InputError: the file cannot be read, or holds something else.
        """
        self._file = file
        self._last = _read(file)
        self._is_unused = False

    def take(self) -> int:
        """The number of the next CONNECT, on the disk before this returns.

        Raises:
            UnavailableError: it cannot be written.
        """
        if not self._is_unused:
            number = (self._last + 1) % _NUMBERS
            files.write_bytes(self._file, f"{number}\n".encode(), has_one_writer=True)
            self._last, self._is_unused = number, True
        return self._last

    def used(self) -> None:
        """A CONNECT went out with the number; until then `take` gives the same again."""
        self._is_unused = False


def _read(file: Path) -> int:
    try:
        text = file.read_text("ascii").strip()
    except FileNotFoundError:
        return -1
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    if not (text.isdigit() and len(text) <= 3 and int(text) < _NUMBERS):
        raise InputError(
            f"{file}: got {text[:20]!r}, expected a number from 0 to {_NUMBERS - 1}; "
            "remove the file to begin with 0"
        )
    return int(text)
