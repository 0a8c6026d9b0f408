"""Reads the verdicts of a journal from a copy: a daemon that has the file open locks it for itself."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.files import is_file, is_folder, temporary_folder
from inspectd.publish.journal.file import NAME
from inspectd.publish.journal.sqlite import CorruptError, check_structure, named, position_of
from inspectd.wire import Verdict

_TRIES: Final = 10
_CHECK_SECONDS: Final = 10.0
_WAL_HEADER_BYTES: Final = 32


def recorded_verdicts(
    journal: Path, since_utc_ns: int = 0, *, newest_first: bool = False
) -> Generator[Verdict, None, None]:
    """Every verdict of a view or free frame that was recorded since then, oldest first.

    The journal's own file is only read, also while a daemon writes to it; the copy needs as much room in the
    directory for temporary files.

    Args:
        journal: its file, or a line's state directory.
        since_utc_ns: ns since 1970-01-01 UTC.
        newest_first: for who needs the newest ones alone, and closes this.

    Raises:
        InputError: there is no journal, it cannot be read, or it is damaged.
        UnavailableError: it cannot be copied.
    """
    path = journal / NAME if is_folder(journal) else journal
    if not is_file(path):
        raise InputError(f"journal {path}: not found, expected a line's state directory or its {NAME}")
    with temporary_folder() as folder:
        try:
            _copy(path, Path(folder) / NAME)
        except OSError as error:
            raise UnavailableError(
                f"journal {path}: cannot be copied to {folder}: {error.strerror or error}"
            ) from error
        connection = sqlite3.connect(Path(folder) / NAME, isolation_level=None)
        try:
            check_structure(connection, _CHECK_SECONDS)
            yield from _verdicts(connection, since_utc_ns, "DESC" if newest_first else "ASC")
        except (sqlite3.Error, CorruptError) as error:
            raise InputError(f"journal {path}: is damaged: {named(error)}") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"journal {path}: holds a verdict of another version: {error}") from error
        finally:
            connection.close()


def _copy(path: Path, copy: Path) -> None:
    """Copy the file and its log as they are at one moment.

    What a checkpoint moves from the log into the file stays in the log until the log begins anew, with a new
    header. So a file and a log that was copied after it belong together while the header is the same.
    """
    wal, copied_wal = Path(f"{path}-wal"), Path(f"{copy}-wal")
    for _ in range(_TRIES):
        before = _generation(path, wal)
        copied_wal.unlink(missing_ok=True)
        shutil.copyfile(path, copy)
        if before[1]:
            shutil.copyfile(wal, copied_wal)
        if _generation(path, wal) == before:
            return
    raise UnavailableError(f"journal {path}: changed whenever it was copied; try again, or stop the line")


def _generation(path: Path, wal: Path) -> tuple[int, bytes, int]:
    """Which file it is, and the header of its log; empty: there is none, and the file must not change."""
    try:
        with wal.open("rb") as file:
            header = file.read(_WAL_HEADER_BYTES)
    except FileNotFoundError:
        header = b""
    state = path.stat()
    return state.st_ino, header, 0 if header else state.st_mtime_ns


def _verdicts(
    connection: sqlite3.Connection, since_utc_ns: int, order: Literal["ASC", "DESC"]
) -> Iterator[Verdict]:
    epochs = dict(connection.execute("SELECT ordinal, epoch FROM epoch").fetchall())
    query = "SELECT id, topic, header, checksum FROM verdict WHERE utc_ns >= ? ORDER BY id "
    for row_id, topic, header, checksum in connection.execute(query + order, (since_utc_ns,)):
        position_of(row_id, epochs, topic, header, checksum)  # or it is not what was written
        if topic.endswith(b"/v/"):
            yield msgspec.json.decode(header, type=Verdict)
