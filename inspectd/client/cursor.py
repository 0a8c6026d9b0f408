"""A reader's position on disk, so that it goes on from there after a restart."""

from __future__ import annotations

from pathlib import Path

import msgspec

from inspectd import files
from inspectd.errors import InputError
from inspectd.wire.sync import Position


class Cursor(msgspec.Struct, frozen=True, tag_field="schema", tag="cursor/1"):
    """The last verdict of a line that its reader was done with."""

    plant: str
    line: str
    position: Position


def read(file: Path) -> Cursor | None:
    """The cursor in a file; None when there is no file.

    Raises:
        InputError: it cannot be read, or is not a cursor file. It is never guessed.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: is not a cursor file: {error}; remove it to begin with what is published from then on"
        ) from error


def write(file: Path, cursor: Cursor) -> None:
    """Replace the cursor; after a crash or a power cut the file holds the old one or this one.

    Raises:
        UnavailableError: it cannot be written.
    """
    files.write_bytes(file, msgspec.json.encode(cursor), has_one_writer=True)
