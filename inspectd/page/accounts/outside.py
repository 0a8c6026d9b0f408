"""Persons whom others vouch for: a reverse proxy, or an OpenID Connect provider."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import Final

import msgspec

from inspectd.errors import InputError
from inspectd.page.accounts.names import name_key
from inspectd.page.accounts.roles import ROLES, Role

_CLOCK_MS: Final = 60_000
"""Clocks of the provider and of this host are that near, or no login of it holds."""


class Login(StrEnum):
    """Who says that somebody is who they say."""

    PASSWORD = "password"  # noqa: S105 - the way, not one
    PROXY = "proxy"
    OIDC = "oidc"


class OutsidePerson(msgspec.Struct, frozen=True):
    """Somebody who logged in elsewhere.

    Attributes:
        name: as it is shown.
        role: what the person may do.
        origin: see `User`.
        asked_ms: when the provider last asked for the password, since 1970, UTC; 0: it does not say.
        given_by: see `User`.
    """

    name: str
    role: Role
    origin: str
    asked_ms: int = 0
    given_by: str = ""


class LeftAloneError(Exception):
    """That person left a browser alone here, and gave no password at the provider since."""


def admit(database: sqlite3.Connection, person: OutsidePerson, now_ms: int) -> str:
    """Have somebody be a user, in the role that is said where that person logged in.

    Who is given another name there keeps the one of the first login: records go by it, and nobody may sign a
    second time under another.

    Returns:
        The name here.

    Raises:
        InputError: the name is another one's here, or may not log in.
        LeftAloneError: the password is to be given there again first.
    """
    key = name_key(person.name)
    columns = "key, role, is_disabled, origin, name"
    found = database.execute(f"SELECT {columns} FROM users WHERE key = ?", (key,)).fetchone()  # noqa: S608
    if person.origin != Login.PROXY:  # a proxy tells persons apart by their names alone
        same = database.execute(
            f"SELECT {columns} FROM users WHERE origin = ?",  # noqa: S608
            (person.origin,),
        ).fetchone()
        found = found if same is None else same
    if found is None:
        database.execute(
            "INSERT INTO users (key, name, role, password_hash, created_ms, origin, given_by) "
            "VALUES (?, ?, ?, '', ?, ?, ?)",
            (key, person.name, person.role.value, now_ms, person.origin, person.given_by),
        )
        return person.name
    if found[3] != person.origin:
        raise InputError(f"the name {person.name} is another one's on this page, {_who_has_it(found[3])}")
    if found[2]:
        raise InputError(f"{person.name} may not log in")
    if person.origin != Login.PROXY and person.asked_ms < _left_ms(database, found[0], person.role, now_ms):
        raise LeftAloneError
    database.execute(
        "UPDATE users SET role = ?, given_by = ? WHERE key = ?",
        (person.role.value, person.given_by, found[0]),
    )
    if found[1] != person.role:
        database.execute("DELETE FROM sessions WHERE key = ?", (found[0],))
    return str(found[4])


def _who_has_it(origin: str) -> str:
    """Who has a name, and what to do: only a person can say whether it is the same one from elsewhere."""
    if not origin:
        return "who logs in by a password"
    return f"of {origin[:100]}; if it is the same person, an admin frees the name: `user free`, or Users"


def _left_ms(database: sqlite3.Connection, key: str, role: Role, now_ms: int) -> int:
    """Since when a password counts as given again: a browser of that person was left alone until then.

    Of sessions that are over too: whoever stands before that browser can end its session, and have the
    provider's open login begin another one.

    Returns:
        Milliseconds since 1970, UTC; 0: no browser was left alone.
    """
    idle_ms = round(ROLES[role].idle_seconds * 1000)
    row = database.execute(
        "SELECT max(used_ms) FROM (SELECT used_ms FROM sessions WHERE key = :key"
        " UNION ALL SELECT left_ms FROM users WHERE key = :key AND left_ms > 0)"
        " WHERE used_ms <= :now_ms - :idle_ms OR used_ms > :now_ms + :clock_ms",  # the clock was set back
        {"key": key, "now_ms": now_ms, "idle_ms": idle_ms, "clock_ms": _CLOCK_MS},
    ).fetchone()
    return 0 if row[0] is None else min(row[0] + idle_ms, now_ms) - _CLOCK_MS
