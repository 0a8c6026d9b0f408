"""Persons whom others vouch for: a reverse proxy, or an OpenID Connect provider."""

from __future__ import annotations

import sqlite3
from enum import StrEnum

import msgspec

from inspectd.errors import InputError
from inspectd.page.accounts.names import name_key
from inspectd.page.accounts.roles import Role


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
    """

    name: str
    role: Role
    origin: str


def admit(database: sqlite3.Connection, person: OutsidePerson, now_ms: int) -> str:
    """Have somebody be a user, in the role that is said where that person logged in.

    Who is given another name there keeps the one of the first login: records go by it, and nobody may sign a
    second time under another.

    Returns:
        The name here.

    Raises:
        InputError: the name is another one's here, or may not log in.
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
            "INSERT INTO users (key, name, role, password_hash, created_ms, origin) "
            "VALUES (?, ?, ?, '', ?, ?)",
            (key, person.name, person.role.value, now_ms, person.origin),
        )
        return person.name
    if found[3] != person.origin:
        raise InputError(f"the name {person.name} is another one's on this page")
    if found[2]:
        raise InputError(f"{person.name} may not log in")
    if found[1] != person.role:
        database.execute("UPDATE users SET role = ? WHERE key = ?", (person.role.value, found[0]))
        database.execute("DELETE FROM sessions WHERE key = ?", (found[0],))
    return str(found[4])
