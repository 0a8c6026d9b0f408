"""SQLite under the journal: makes, opens and checks its file, and renames a damaged one."""

from __future__ import annotations

import logging
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inspectd.errors import InputError
from inspectd.files import open_regular
from inspectd.log import event
from inspectd.wire.sync import Position

SEQ_BITS: Final = 40
"""Of a row's id: the number of its verdict; above it the ordinal of its epoch."""

_log: Final = logging.getLogger("inspectd.publish")

_APPLICATION_ID: Final = 0x1D5B
_VERSION: Final = 1
_HEADER_BYTES: Final = 100
_KEPT_ASIDE: Final = 3
_SUFFIXES: Final = ("-wal", "-shm", "-journal", "")
_CHECKPOINT_PAGES: Final = 256  # 1 MB: moving it into the file takes a few milliseconds

_SCHEMA: Final = """
    CREATE TABLE epoch (ordinal INTEGER PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE);
    CREATE TABLE verdict (
        id INTEGER PRIMARY KEY, utc_ns INTEGER NOT NULL, topic BLOB NOT NULL, header BLOB NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE TABLE open (key TEXT PRIMARY KEY, record BLOB NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE trimmed (id INTEGER NOT NULL);
    INSERT INTO trimmed VALUES (0);
"""

BELIEVED: Final = """
    CREATE TABLE IF NOT EXISTS believed (
        id INTEGER PRIMARY KEY, utc_ns INTEGER NOT NULL, held_ns INTEGER NOT NULL
    )
"""
"""While the wall clock is not believed, one row with the time that is, and how long lines have gone by it;
its id is that of the newest verdict. Files of earlier versions lack the table."""


class CorruptError(Exception):
    """The file is not what was written to it."""


class NotOursError(Exception):
    """The file is not this run's to write to: nothing is written, and it keeps its name."""


class LaterVersionError(sqlite3.DatabaseError):
    """The file is of a format that only a later version knows: nothing is recorded, and nothing is lost."""


def create(path: Path) -> None:
    """Make a whole file or none, so that an empty one is known to have been cut."""
    new = path.with_name(f"{path.name}.new")
    for part in (
        new,
        Path(f"{new}-journal"),
        Path(f"{new}-wal"),
        Path(f"{path}-wal"),
        Path(f"{path}-journal"),
    ):
        part.unlink(missing_ok=True)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.executescript(_SCHEMA)
    finally:
        connection.close()
    new.chmod(0o640)
    new.rename(path)


def connect(path: Path) -> sqlite3.Connection:
    """The file's one connection, which locks it for itself.

    Raises:
        sqlite3.OperationalError: another daemon has it.
        CorruptError: it is damaged or no database.
    """
    connection = sqlite3.connect(path, timeout=0.2, isolation_level=None)
    try:
        for pragma in (
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {4 * _CHECKPOINT_PAGES * 4096}",
            "cell_size_check = ON",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")
        with transaction(connection):
            pass  # takes the lock now, not with the first verdict
    except (sqlite3.Error, CorruptError):
        connection.close()
        raise
    except UnicodeDecodeError as error:  # of what SQLite says of a schema whose bytes are no text
        connection.close()
        raise CorruptError(f"its schema is not what was written: {error}") from error
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction: all of it is written, or nothing."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise named(error) from error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def check_structure(connection: sqlite3.Connection, seconds: float) -> None:
    """Check that the file is a journal and that its pages are whole, as far as `seconds` allow.

    Raises:
        LaterVersionError: a later version of this program wrote it.
        CorruptError: it is not a journal, or is damaged.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == _APPLICATION_ID and version > _VERSION:  # by what a crash left beside the file alone
        raise LaterVersionError(f"was written by a later version of inspectd, in format {version}")
    if (application, version) != (_APPLICATION_ID, _VERSION):
        raise CorruptError(f"is not a journal: application {application:#x}, version {version}")
    report = _within(connection, seconds, "PRAGMA quick_check(1)")
    if report is not None and report != "ok":
        raise CorruptError(f"its pages are not what was written: {' '.join(report.split())}")


def refuse_later_version(path: Path) -> None:
    """Refuse a journal that a later version wrote: set aside as damaged, it would be lost to readers.

    Raises:
        InputError: it is one.
    """
    try:
        with open_regular(path) as file:
            header = file.read(_HEADER_BYTES)
    except (OSError, InputError):
        return  # there is none, or whoever opens it says what is wrong
    version = int.from_bytes(header[60:64], "big")  # SQLite's file format, section 1.3
    application = int.from_bytes(header[68:72], "big")
    if application == _APPLICATION_ID and version > _VERSION:
        raise InputError(
            f"line.state_dir: {path} was written by a later version of inspectd, in format {version}, and "
            f"this one knows {_VERSION}; run that version, or move the file away: its verdicts go with it"
        )


def set_aside(path: Path) -> Path:
    """Rename a file that nobody has open, for a person to look at; its new path."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in _SUFFIXES:
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    return aside


def forget_oldest(path: Path) -> None:
    """Delete all but the newest few of the files that were set aside from `path`.

    One that cannot be deleted is logged and left: the new journal must not wait for it.
    """
    kept = sorted(path.parent.glob(f"{path.name}.corrupt-*Z"))
    for part in (Path(f"{old}{suffix}") for old in kept[:-_KEPT_ASIDE] for suffix in _SUFFIXES):
        try:
            part.unlink(missing_ok=True)
        except OSError as error:
            event(_log, logging.WARNING, "journal_remnant_stuck", path=str(part), detail=error.strerror)


def named(error: Exception) -> Exception:
    """`CorruptError` if the error means that the file is damaged, else the error itself."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    wrong = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    foreign = any(words in str(error) for words in ("no such table", "no such column", "Could not decode"))
    return CorruptError(str(error)) if code in wrong or foreign else error


def checksum_of(epoch: int, seq: int, topic: bytes, header: bytes) -> int:
    """Checksum of a verdict's position and bytes.

    Raises:
        CorruptError: they are not of the types that were written.
    """
    if not (isinstance(topic, bytes) and isinstance(header, bytes)):
        raise CorruptError(f"verdict {epoch}:{seq} is not of the type that was written")
    return zlib.crc32(header, zlib.crc32(topic, zlib.crc32(b"%d:%d:" % (epoch, seq))))


def position_of(
    row_id: int, epochs: Mapping[int, int], topic: bytes, header: bytes, checksum: int
) -> Position:
    """The position of a row of verdicts, which is what was written.

    Args:
        row_id: of the row.
        epochs: by their ordinals in this file.
        topic: the row's, and `header` and `checksum` too.
        header: see `topic`.
        checksum: see `topic`.

    Raises:
        CorruptError: the row is not what was written.
    """
    epoch, seq = epochs.get(row_id >> SEQ_BITS, 0), row_id & ((1 << SEQ_BITS) - 1)
    if checksum_of(epoch, seq, topic, header) != checksum:
        raise CorruptError(f"verdict {epoch}:{seq} is not what was written")
    return Position(epoch, seq)


def integer(value: object, what: str) -> int:
    """Check the type of a value that no checksum covers.

    Raises:
        CorruptError: it is not.
    """
    if not isinstance(value, int):
        raise CorruptError(f"{what} is {value!r}, which is not what was written")
    return value


def _within(connection: sqlite3.Connection, seconds: float, query: str) -> str | None:
    """The first value of a query; None if it takes longer than `seconds`."""
    until = time.monotonic() + seconds
    expired: Callable[[], int] = lambda: int(time.monotonic() > until)  # noqa: E731
    connection.set_progress_handler(expired, 10_000)
    try:
        return str(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return None
        raise
    finally:
        connection.set_progress_handler(None, 0)
