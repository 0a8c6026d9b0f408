"""Connections to the hub's database, and what goes wrong with them, in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url

from inspectd.errors import InputError, InspectdError
from inspectd.files import read_small
from inspectd.key_files import refuse_mode

_CONNECT_SECONDS: Final = 5
_SILENT_MS: Final = 10_000
_WRITE_SECONDS: Final = 60
_NO_TABLE: Final = "42P01"
"""PostgreSQL's code; SQLite has words alone for it."""
POSTGRESQL, SQLITE = "postgresql", "sqlite"


class DatabaseAwayError(InspectdError):
    """The database does not answer, or does not take what is written now."""


class NoTablesError(DatabaseAwayError):
    """The database has no tables yet: the hub, which makes them, has just been started."""


class DatabaseRefusesError(InspectdError):
    """The database does not take these values, and never will."""


class DatabaseFile:
    """SQLite's file, which somebody may delete or replace while it is open.

    Args:
        path: of it.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._identity: tuple[int, int] | None = None

    def forget(self) -> None:
        """It may be another one now; what a deleted one left beside it is removed."""
        self._identity = None
        if not self._path.exists():
            for suffix in ("-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def remember(self) -> None:
        """This is the one that is open."""
        self._identity = self._found()

    def refuse_other(self) -> None:
        """Refuse to write a file that has its name no more.

        Raises:
            DatabaseAwayError: it has not.
        """
        if self._identity is None or self._found() != self._identity:
            raise DatabaseAwayError(f"{self._path}: the file was removed or replaced; it is opened anew")

    def _found(self) -> tuple[int, int] | None:
        try:
            state = self._path.stat()
        except OSError:
            return None
        return state.st_dev, state.st_ino


def url_of(text: str, password_file: str | None = None) -> URL:
    """The address of a database.

    Raises:
        InputError: it is none that the hub uses, or the password cannot be read.
    """
    try:
        url = make_url(text)
        kind = url.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):  # which may quote it, with a password
        raise InputError("database.url: is no address, expected postgresql://USER@HOST/NAME") from None
    if "@" in (url.host or "") or any("pass" in name for name in url.query):
        raise InputError(
            "database.url: has a password where it would be shown, expected it in database.password_file, or "
            "as postgresql://USER:PASSWORD@HOST/NAME with %40 for an @ in it"
        )
    if kind == SQLITE and url.database and Path(url.database).is_absolute() and not url.query:
        return url.set(drivername="sqlite")
    if kind != POSTGRESQL or not url.database:
        raise InputError(
            f"database.url: got {url.render_as_string()!r}, expected postgresql://USER@HOST/NAME or, for a "
            "small plant, sqlite:////var/lib/inspectd-hub/hub.sqlite (an absolute path, four slashes)"
        )
    if password_file is not None:
        url = url.set(password=_password(Path(password_file)))
    return url.set(drivername="postgresql+psycopg")


def engine_to_write(url: URL) -> sa.Engine:
    """Connections of the one who writes."""
    if url.get_backend_name() == SQLITE:
        return _sqlite(url, "PRAGMA synchronous = NORMAL")  # a power cut takes rows and place alike
    return _postgresql(url, f"-c statement_timeout={_WRITE_SECONDS * 1000}", connections=1)


def engine_to_ask(url: URL, seconds: float, connections: int) -> sa.Engine:
    """Connections that only read, whose questions end after `seconds`."""
    if url.get_backend_name() == SQLITE:
        return _sqlite(url, "PRAGMA query_only = ON", begins="BEGIN")
    options = f"-c statement_timeout={round(seconds * 1000)} -c default_transaction_read_only=on"
    return _postgresql(url, options, connections=connections)


@contextmanager
def as_database_error() -> Iterator[None]:
    """Turn what the library raises into errors of this module.

    Raises:
        DatabaseRefusesError: of values that no try again will make fit.
        NoTablesError: of a database that the hub has made no tables in yet.
        DatabaseAwayError: of everything else.
    """
    try:
        yield
    except (sa.exc.DataError, sa.exc.IntegrityError) as error:
        raise DatabaseRefusesError(_said(error)) from error
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        if _lacks_tables(error):
            raise NoTablesError("its tables are not there yet") from error
        raise DatabaseAwayError(_said(error)) from error


def _sqlite(url: URL, *pragmas: str, begins: str = "BEGIN IMMEDIATE") -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": 5.0})

    def set_up(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin by the event below
        for pragma in ("PRAGMA journal_mode = WAL", "PRAGMA cache_size = -64000", *pragmas):
            connection.execute(pragma)

    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begins)

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


def _postgresql(url: URL, options: str, *, connections: int) -> sa.Engine:
    return sa.create_engine(
        url,
        pool_pre_ping=True,  # those of before the database was started anew are no more
        pool_size=connections,
        max_overflow=0,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "options": options,
            "application_name": "inspectd-hub",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": _SILENT_MS,
        },
    )


def _password(file: Path) -> str:
    refuse_mode(file, 0o077, "600")
    try:
        return read_small(file).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"database.password_file {file}: cannot be read: {error}") from error


def _lacks_tables(error: BaseException) -> bool:
    original = getattr(error, "orig", None)
    return getattr(original, "sqlstate", None) == _NO_TABLE or str(original).startswith("no such table: ")


def _said(error: BaseException) -> str:
    """What the database said, without statement and values."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split())[:300] or type(error).__name__
