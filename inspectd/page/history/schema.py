"""The history's file: makes, opens and checks it; sets one aside that is damaged or of another version."""

from __future__ import annotations

import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inspectd.log import event

_log: Final = logging.getLogger("inspectd.page.history")

FILE: Final = "history.sqlite"
_APPLICATION_ID: Final = 0x1D5C
_VERSION: Final = 1
"""Of the tables and of `rows`' packing: another one is set aside, and the history filled anew."""
_SUFFIXES: Final = ("-wal", "-shm", "")

_SCHEMA: Final = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE grp (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, camera TEXT NOT NULL, region TEXT NOT NULL,
        recipe TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,
        UNIQUE (kind, camera, region, recipe, verdict, reason)
    );
    CREATE TABLE grp_bin (
        group_id INTEGER NOT NULL, score_bin INTEGER NOT NULL, PRIMARY KEY (group_id, score_bin)
    ) WITHOUT ROWID;
    CREATE TABLE verdict (
        id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, group_id INTEGER NOT NULL,
        decided_ms INTEGER NOT NULL, score REAL, score_bin INTEGER, part_id TEXT, body BLOB NOT NULL
    );
    CREATE UNIQUE INDEX verdict_name ON verdict (epoch, seq);
    CREATE INDEX verdict_time ON verdict (decided_ms);
    CREATE INDEX verdict_group ON verdict (group_id, decided_ms);
    CREATE INDEX verdict_score ON verdict (group_id, score_bin, decided_ms, id, score)
        WHERE score_bin IS NOT NULL;
    CREATE INDEX verdict_part ON verdict (part_id, decided_ms) WHERE part_id IS NOT NULL;
    CREATE TABLE gap (
        id INTEGER PRIMARY KEY, after_epoch INTEGER NOT NULL, after_seq INTEGER NOT NULL,
        before_epoch INTEGER NOT NULL, before_seq INTEGER NOT NULL, count INTEGER, why TEXT NOT NULL,
        from_ms INTEGER, to_ms INTEGER
    );
    CREATE TABLE event (
        id INTEGER PRIMARY KEY, ms INTEGER NOT NULL, epoch INTEGER NOT NULL, severity TEXT NOT NULL,
        name TEXT NOT NULL, camera TEXT, process TEXT, detail TEXT NOT NULL
    );
    CREATE INDEX event_time ON event (ms);
    CREATE TABLE golden (
        id INTEGER PRIMARY KEY, ms INTEGER NOT NULL, name TEXT NOT NULL, recipe TEXT NOT NULL,
        version INTEGER, who TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT, body BLOB NOT NULL
    );
    CREATE INDEX golden_time ON golden (ms);
    CREATE TABLE mark (
        id INTEGER PRIMARY KEY, ms INTEGER NOT NULL, kind TEXT NOT NULL, camera TEXT, region TEXT,
        text TEXT NOT NULL
    );
    CREATE INDEX mark_time ON mark (ms);
    CREATE TABLE in_force (
        camera TEXT NOT NULL, region TEXT NOT NULL, recipe TEXT NOT NULL, bank TEXT NOT NULL,
        PRIMARY KEY (camera, region, recipe)
    ) WITHOUT ROWID;
    CREATE TABLE drift (
        start_ms INTEGER NOT NULL, camera TEXT NOT NULL, region TEXT NOT NULL, cause TEXT NOT NULL,
        share REAL NOT NULL, PRIMARY KEY (start_ms, camera, region, cause)
    ) WITHOUT ROWID;
    CREATE TABLE heard (id INTEGER PRIMARY KEY, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL);
    CREATE INDEX heard_time ON heard (to_ms);
    CREATE TABLE agg (
        step_ms INTEGER NOT NULL, start_ms INTEGER NOT NULL, group_id INTEGER NOT NULL, n INTEGER NOT NULL,
        late INTEGER NOT NULL, threshold_min REAL, threshold_max REAL, share BLOB NOT NULL,
        latency BLOB NOT NULL, PRIMARY KEY (step_ms, start_ms, group_id)
    ) WITHOUT ROWID;
"""


class HistoryDamagedError(Exception):
    """The file is not what was written to it, or another version's; the message says what was found."""


def create(path: Path) -> None:
    """Make a whole file or none.

    Raises:
        sqlite3.Error: it cannot be made.
        OSError: the same.
    """
    new = path.with_name(f"{path.name}.new")
    for suffix in ("-journal", *_SUFFIXES):
        Path(f"{new}{suffix}").unlink(missing_ok=True)
    connection = sqlite3.connect(new, isolation_level=None)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.executescript(_SCHEMA)
    finally:
        connection.close()
    new.chmod(0o640)
    for suffix in _SUFFIXES[:2]:  # those of a file that somebody deleted alone
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    new.rename(path)


def connect(path: Path) -> sqlite3.Connection:
    """The file's one connection that writes.

    Raises:
        HistoryDamagedError: it is damaged, no database, or of another version.
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",  # a power cut loses rows and cursor alike: they are read again
            "journal_size_limit = 67108864",
            "cell_size_check = ON",
            "trusted_schema = OFF",
            "cache_size = -32000",
        ):
            connection.execute(f"PRAGMA {pragma}")
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("SELECT value FROM meta").fetchall()
    except sqlite3.Error as error:
        connection.close()
        raise named(error) from error
    except UnicodeDecodeError as error:  # of what SQLite says of a schema whose bytes are no text
        connection.close()
        raise HistoryDamagedError(f"its schema is not what was written: {error}") from error
    if (application, version) != (_APPLICATION_ID, _VERSION):
        connection.close()
        raise HistoryDamagedError(
            f"is version {version} of application {application:#x}, "
            f"expected version {_VERSION} of {_APPLICATION_ID:#x}"
        )
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that only reads, for the thread that opens it.

    Raises:
        sqlite3.Error: there is no file yet, or it cannot be opened.
    """
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cache_size = -32000")
    return connection


def set_aside(path: Path, why: str) -> Path:
    """Rename a file that is not usable, for a person to look at, and log it; of older ones none is kept.

    Raises:
        OSError: it cannot be renamed.
    """
    for old in path.parent.glob(f"{path.name}.aside-*"):
        try:
            old.unlink()
        except OSError as error:
            event(_log, logging.WARNING, "history_remnant_stuck", path=str(old), detail=error.strerror)
    aside = path.with_name(f"{path.name}.aside-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    for suffix in _SUFFIXES:
        part = Path(f"{path}{suffix}")
        if os.path.lexists(part):
            part.rename(f"{aside}{suffix}")
    event(_log, logging.ERROR, "history_set_aside", path=str(path), aside=str(aside), detail=why)
    return aside


def named(error: sqlite3.Error) -> Exception:
    """`HistoryDamagedError` if the error means that the file is damaged, else the error itself."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    foreign = any(words in str(error) for words in ("no such table", "no such column", "Could not decode"))
    is_damage = code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or foreign
    return HistoryDamagedError(str(error)) if is_damage else error
