"""Users and sessions, in an SQLite file that the page and `inspectd page user` share."""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.page.accounts.names import name_key, name_problem
from inspectd.page.accounts.outside import Login, OutsidePerson, admit
from inspectd.page.accounts.roles import ROLES, Act, Role

FILE_NAME: Final = "accounts.sqlite"
_MOST_SESSIONS: Final = 100
"""Of one person, such as the account of all panels; another login ends the one not used for longest."""
_CLOCK_MS: Final = 60_000
"""A session from so far ahead shows that the clock was set back: how old it is can no longer be known."""
_NOTED_MS: Final = 5_000
"""Use is written down at most so often: each time waits for the disk."""
_BUSY_SECONDS: Final = 2.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS users (
  key TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, password_hash TEXT NOT NULL,
  is_disabled INTEGER NOT NULL DEFAULT 0, language TEXT, created_ms INTEGER NOT NULL,
  origin TEXT NOT NULL DEFAULT '', left_ms INTEGER NOT NULL DEFAULT 0, given_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
  sha256 TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
  address TEXT NOT NULL, began_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS session_over AFTER DELETE ON sessions BEGIN
  UPDATE users SET left_ms = max(left_ms, OLD.used_ms) WHERE key = OLD.key;
END;
"""
_LATER: Final = {
    "origin": "TEXT NOT NULL DEFAULT ''",
    "left_ms": "INTEGER NOT NULL DEFAULT 0",
    "given_by": "TEXT NOT NULL DEFAULT ''",
}
"""Columns of users that files from before lack."""


class User(msgspec.Struct, frozen=True):
    """A person who may log in.

    Attributes:
        name: as it is shown; no two differ in case alone.
        role: what the person may do.
        password_hash: argon2id, with its parameters and salt.
        is_disabled: may not log in.
        language: chosen on the page; None: the plant's.
        created_ms: since 1970, UTC.
        origin: who says that it is this person: empty, the page itself, by a password; `proxy`; or `oidc`
            with the provider and what it calls the person.
        given_by: what the role is by where a provider says it: the provider, the claim, and the entry of the
            table of roles; empty elsewhere.
    """

    name: str
    role: Role
    password_hash: str
    is_disabled: bool
    language: str | None
    created_ms: int
    origin: str = ""
    given_by: str = ""

    @property
    def login(self) -> Login:
        """How this person logs in."""
        return Login(self.origin.partition(" ")[0] or Login.PASSWORD)


class Session(msgspec.Struct, frozen=True):
    """A login that is not over.

    Attributes:
        id: names it to people; of no use as a key.
        user: whose.
        address: where the browser is.
        began_ms: when the person logged in, since 1970, UTC.
        used_ms: when the person last did something.
        ends_ms: when it ends, whatever happens.
    """

    id: str
    user: User
    address: str
    began_ms: int
    used_ms: int
    ends_ms: int

    @property
    def idle_ends_ms(self) -> int:
        """From when on it may only look, if nothing is done meanwhile."""
        return min(self.ends_ms, self.used_ms + round(ROLES[self.user.role].idle_seconds * 1000))

    def acts(self, now_ms: int) -> frozenset[Act]:
        """What it may do now."""
        allowed = ROLES[self.user.role].acts
        is_in_use = self.used_ms - _CLOCK_MS <= now_ms < self.idle_ends_ms
        return allowed if is_in_use else allowed & {Act.VIEW}


def described(user: User | None) -> str | None:
    """A person as the audit file has it; None: there is none of that name."""
    if user is None:
        return None
    return f"{user.name} {user.role}{' disabled' if user.is_disabled else ''}"


def no_user(name: str) -> str:
    """What is said where there is no user of that name."""
    return f"there is no user {name[:80]!r}"


class UserChangedError(Exception):
    """A person changed meanwhile: the password that was checked may be that person's no more."""


class AccountStore:
    """The file of users and sessions; every method may be called by any thread.

    Args:
        folder: where it lies; made if it is missing.
        clock_ms: milliseconds since 1970, UTC.

    Raises:
        UnavailableError: it cannot be opened, or holds something else.
    """

    def __init__(
        self, folder: Path, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._path = folder / FILE_NAME
        self._clock_ms = clock_ms
        self._lock, self._read_lock = threading.Lock(), threading.Lock()
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._database = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._database.execute("PRAGMA journal_mode = WAL")
            # Who reads waits for nobody who writes: a disk that hangs costs acts, and no look.
            self._reader = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._reader.execute("PRAGMA query_only = ON")
            self._database.execute("PRAGMA foreign_keys = ON")
            self._database.executescript(_TABLES)
            with self._changing() as database:  # or two programs that begin at once both add a column
                columns = {row[1] for row in database.execute("PRAGMA table_info(users)")}
                for name in _LATER.keys() - columns:
                    database.execute(f"ALTER TABLE users ADD COLUMN {name} {_LATER[name]}")
        except (OSError, sqlite3.Error, UnicodeDecodeError) as error:  # the last of a damaged schema's words
            raise UnavailableError(f"{self._path}: cannot be used: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._read_lock:
            self._reader.close()
        with self._lock:
            self._database.close()

    # --- users --------------------------------------------------------------------------------------------

    def users(self) -> list[User]:
        """Everybody, by name."""
        with self._reading() as database:
            return [_user(row) for row in database.execute(f"SELECT {_USER} FROM users u ORDER BY key")]  # noqa: S608

    def user(self, name: str) -> User | None:
        """The user of that name, in whatever case; None: there is none."""
        with self._reading() as database:
            row = database.execute(f"SELECT {_USER} FROM users u WHERE key = ?", (name_key(name),)).fetchone()  # noqa: S608
        return None if row is None else _user(row)

    def add_user(self, name: str, role: Role, password_hash: str) -> None:
        """Add somebody.

        Raises:
            InputError: the name is taken or cannot be one.
        """
        problem = name_problem(name)
        if problem is not None:
            raise InputError(problem)
        try:
            with self._using() as database:
                database.execute(
                    "INSERT INTO users (key, name, role, password_hash, created_ms) VALUES (?, ?, ?, ?, ?)",
                    (name_key(name), name, role.value, password_hash, self._clock_ms()),
                )
        except sqlite3.IntegrityError as error:
            raise InputError(f"there is a user {name!r} already; choose another name") from error

    def set_role(self, name: str, role: Role) -> None:
        """Give somebody another role; whatever is logged in as that person is logged out.

        Raises:
            InputError: there is no such user, or nobody who manages users would be left.
        """
        self._change(name, "role = ?", role.value)

    def set_disabled(self, name: str, *, is_disabled: bool) -> None:
        """Let somebody no longer log in, or again; whatever is logged in as that person is logged out.

        Raises:
            InputError: there is no such user, or nobody who manages users would be left.
        """
        self._change(name, "is_disabled = ?", int(is_disabled))

    def set_password(self, name: str, password_hash: str, *, by: Session | None = None) -> None:
        """Give somebody another password; whatever is logged in as that person is logged out.

        Args:
            name: whom.
            password_hash: of the new password.
            by: the session in which that person asked for it; None: somebody else gives it.

        Raises:
            InputError: there is no such user.
            UserChangedError: `by` is over, as after an admin gave that person another password.
        """
        with self._changing() as database:
            # In one transaction: the command line gives passwords too, from another process.
            if by and not database.execute("SELECT 1 FROM sessions WHERE id = ?", (by.id,)).fetchone():
                raise UserChangedError
            _change_user(database, name, "password_hash = ?", password_hash)

    def free_name(self, name: str) -> None:
        """Forget somebody who logs in elsewhere: the next who comes from there by this name is a new user.

        Raises:
            InputError: there is no such user, it logs in by a password, or it may not log in: it could again.
        """
        with self._changing() as database:
            columns = "SELECT origin, is_disabled FROM users WHERE key = ?"
            found = database.execute(columns, (name_key(name),)).fetchone()
            if found is None:
                raise InputError(no_user(name))
            if not found[0]:
                raise InputError(f"{name}: logs in by a password here, expected somebody who does elsewhere")
            if found[1]:
                raise InputError(f"{name}: is blocked, and could log in anew; allow it again first")
            database.execute("DELETE FROM users WHERE key = ?", (name_key(name),))

    def set_language(self, name: str, language: str) -> None:
        """Remember which language somebody reads."""
        with self._using() as database:
            database.execute("UPDATE users SET language = ? WHERE key = ?", (language, name_key(name)))

    def admit(self, person: OutsidePerson) -> User:
        """Let somebody in who logged in elsewhere, in the role that is said there, and give the user.

        Raises:
            InputError: the name is another one's here, cannot be one, or may not log in.
            LeftAloneError: the password is to be given there again first.
        """
        problem = name_problem(person.name)
        if problem is not None:
            raise InputError(problem)
        with self._changing() as database:
            name = admit(database, person, self._clock_ms())
        user = self.user(name)
        assert user is not None
        return user

    # --- sessions -----------------------------------------------------------------------------------------

    def begin_session(self, user: User, address: str) -> str:
        """Log somebody in; the new session's token, which nobody but the browser gets.

        Raises:
            UserChangedError: that person's password, role or state changed since `user` was read.
        """
        token = secrets.token_urlsafe(32)
        now_ms = self._clock_ms()
        ends_ms = now_ms + round(ROLES[user.role].session_seconds * 1000)
        key = name_key(user.name)
        with self._using() as database:
            database.execute("DELETE FROM sessions WHERE ends_ms <= ?", (now_ms,))
            database.execute(
                "DELETE FROM sessions WHERE sha256 IN "
                "(SELECT sha256 FROM sessions WHERE key = ? ORDER BY used_ms DESC LIMIT -1 OFFSET ?)",
                (key, _MOST_SESSIONS - 1),
            )
            begun = database.execute(
                "INSERT INTO sessions SELECT ?, ?, key, ?, ?, ?, ? FROM users "
                "WHERE key = ? AND password_hash = ? AND role = ? AND NOT is_disabled",
                (
                    _sha256(token), secrets.token_hex(8), address, now_ms, now_ms, ends_ms,
                    key, user.password_hash, user.role.value,
                ),
            )  # fmt: skip
        if not begun.rowcount:
            raise UserChangedError
        return token

    def session(self, token: str) -> Session | None:
        """The session of a token; None: it is none, is over, or its user may not log in."""
        with self._reading() as database:
            row = database.execute(
                f"SELECT {_SESSION} FROM sessions s JOIN users u USING (key) "  # noqa: S608
                f"WHERE sha256 = :sha256 AND {_IS_ON} AND NOT is_disabled",
                {"sha256": _sha256(token), "now_ms": self._clock_ms()},
            ).fetchone()
        return None if row is None else _session(row)

    def sessions(self) -> list[Session]:
        """Every session that is not over, the newest first."""
        with self._reading() as database:
            rows = database.execute(
                f"SELECT {_SESSION} FROM sessions s JOIN users u USING (key) WHERE {_IS_ON} "  # noqa: S608
                "ORDER BY began_ms DESC",
                {"now_ms": self._clock_ms()},
            ).fetchall()
        return [_session(row) for row in rows]

    def use_session(self, session: Session) -> None:
        """Somebody has done something. A session that may only look stays so, until `unlock_session`."""
        now_ms = self._clock_ms()
        idle_ms = round(ROLES[session.user.role].idle_seconds * 1000)
        with self._using() as database:
            database.execute(
                "UPDATE sessions SET used_ms = ? WHERE id = ? AND used_ms > ? AND used_ms <= ?",
                (now_ms, session.id, now_ms - idle_ms, now_ms - _NOTED_MS),
            )

    def unlock_session(self, session_id: str) -> None:
        """Its person has given the password again."""
        with self._using() as database:
            database.execute("UPDATE sessions SET used_ms = ? WHERE id = ?", (self._clock_ms(), session_id))

    def end_session(self, session_id: str) -> bool:
        """Log a session out; False: there is none of that id."""
        with self._using() as database:
            return database.execute("DELETE FROM sessions WHERE id = ?", (session_id,)).rowcount > 0

    def _change(self, name: str, assignment: str, value: object) -> None:
        with self._changing() as database:
            _change_user(database, name, assignment, value)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:  # Ctrl-C in the middle must leave nothing either
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, self._said():
            yield self._reader

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._said():
            yield self._database
            # Up to where readers read is written beside the file, by the first that reads after a change:
            # here it may take long.
            self._database.execute("SELECT 1 FROM users LIMIT 1").fetchone()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise UnavailableError(f"{self._path}: {error}; is its disk full or gone?") from error


_USER: Final = (
    "u.name, u.role, u.password_hash, u.is_disabled, u.language, u.created_ms, u.origin, u.given_by"
)
_IS_ON: Final = f"ends_ms > :now_ms AND began_ms <= :now_ms + {_CLOCK_MS}"
_SESSION: Final = f"{_USER}, s.id, s.address, s.began_ms, s.used_ms, s.ends_ms"


def _change_user(database: sqlite3.Connection, name: str, assignment: str, value: object) -> None:
    key, had_admins = name_key(name), _admins(database) > 0
    is_outside = database.execute("SELECT 1 FROM users WHERE key = ? AND origin != ''", (key,)).fetchone()
    if is_outside and "is_disabled" not in assignment:
        raise InputError(f"{name}: role and password are given where this person logs in, and not here")
    query = f"UPDATE users SET {assignment} WHERE key = ?"  # noqa: S608 - texts of this file
    if not database.execute(query, (value, key)).rowcount:
        raise InputError(no_user(name))
    if had_admins and not _admins(database):
        raise InputError(f"{name}: is the last one who manages users, expected another admin first")
    database.execute("DELETE FROM sessions WHERE key = ?", (key,))


def _admins(database: sqlite3.Connection) -> int:
    row = database.execute(
        # Who logs in elsewhere may be none tomorrow.
        "SELECT count(*) FROM users WHERE role = ? AND NOT is_disabled AND origin = ''",
        (Role.ADMIN.value,),
    ).fetchone()
    return int(row[0])


def _user(row: tuple[Any, ...]) -> User:
    name, role, password_hash, is_disabled, language, created_ms, origin, given_by = row[:8]
    return User(name, Role(role), password_hash, bool(is_disabled), language, created_ms, origin, given_by)


def _session(row: tuple[Any, ...]) -> Session:
    session_id, address, began_ms, used_ms, ends_ms = row[8:]
    return Session(session_id, _user(row), address, began_ms, used_ms, ends_ms)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
