"""`inspectd keys`: makes key pairs, and manages which of them may connect to a line over TCP."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from inspectd import config, endpoint, key_files
from inspectd.cli.output import warn
from inspectd.cli.person import user_name
from inspectd.cli.recipe_common import LineState
from inspectd.errors import InputError
from inspectd.files import is_folder
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.recipes.audit import AuditAction, AuditEntry, recorded_change
from inspectd.wire.sockets import Role

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_WHERE: Final = "the line's configuration file, or its directory of keys"
_KEY_SUFFIXES: Final = frozenset({".key", ".key_secret"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    new = actions.add_parser("new", help="make a key pair: PATH.key to hand out, PATH.key_secret to keep")
    new.add_argument(
        "path", type=Path, metavar="PATH", help="e.g. KEYS_DIR/server for a line, gate1 for a reader"
    )

    allow = actions.add_parser("allow", help="allow a public key to connect, effective within a second")
    allow.add_argument("where", type=Path, metavar="WHERE", help=_WHERE)
    allow.add_argument("key", type=Path, metavar="KEY", help="public key file, NAME.key")
    allow.add_argument(
        "--role",
        action="append",
        choices=[role.value for role in Role],
        metavar="ROLE",
        help="read (verdicts, heatmaps, replay; the default) or control (triggers); may be given twice",
    )
    allow.add_argument("--name", help="its name; default: the file's name")

    revoke = actions.add_parser("revoke", help="revoke a key and end its connections")
    revoke.add_argument("where", type=Path, metavar="WHERE", help=_WHERE)
    revoke.add_argument("name", metavar="NAME", help="its name, as `inspectd keys list` shows it")

    shown = actions.add_parser("list", help="show which keys may connect")
    shown.add_argument("where", type=Path, metavar="WHERE", help=_WHERE)

    password = actions.add_parser("password", help="allow a user to read the metrics; asks for the password")
    password.add_argument("file", type=Path, metavar="FILE", help="the file that metrics.users_file names")
    password.add_argument("user", metavar="USER")


def main(arguments: argparse.Namespace) -> int:
    """Run one action.

    Raises:
        InputError: a file cannot be read, or what was asked for makes no sense.
        UnavailableError: a file cannot be written.
    """
    match arguments.action:
        case "new":
            _new(arguments.path)
        case "allow":
            _allow(arguments.where, arguments.key, arguments.role or [Role.READ], arguments.name)
        case "revoke":
            _revoke(arguments.where, arguments.name)
        case "list":
            _list(_keys_dir(arguments.where))
        case "password":
            _password(arguments.file, arguments.user)
    return 0


def _new(path: Path) -> None:
    public, secret = key_files.new_pair(path)
    print(f"wrote {public} (to hand out) and {secret} (mode 600, keep it)")


def _allow(where: Path, file: Path, roles: list[str], name: str | None) -> None:
    keys_dir = _keys_dir(where)
    client = Client(
        key_files.read_handed_out(file), name or file.stem, tuple(role for role in Role if role in roles)
    )
    if not _NAME.fullmatch(client.name):
        raise InputError(f"--name: got {client.name!r}, expected letters, digits, '.', '_' and '-'")
    with keys.changing_allowed(keys_dir):
        allowed = _allowed(keys_dir)
        before = next((each for each in allowed if each.public == client.public), None)
        others = [other for other in allowed if other.public != client.public]
        if any(other.name == client.name for other in others):
            raise InputError(f"{client.name!r} is another key's name here; revoke that one, or give a --name")
        with _recorded(where, client.name, before, client):
            keys.write_allowed(keys_dir, [*others, client])
    print(f"{client.name} may {' and '.join(client.roles)}")


def _revoke(where: Path, name: str) -> None:
    keys_dir = _keys_dir(where)
    with keys.changing_allowed(keys_dir):
        clients = _allowed(keys_dir)
        kept = [client for client in clients if client.name != name]
        if len(kept) == len(clients):
            known = ", ".join(client.name for client in clients) or "none is allowed"
            raise InputError(f"no key is called {name!r}, expected one of: {known}")
        revoked = next(client for client in clients if client not in kept)
        with _recorded(where, name, revoked, None):
            keys.write_allowed(keys_dir, kept)
    print(f"{name} is revoked; a running line ends its connections within a second")


def _recorded(
    where: Path, name: str, before: Client | None, after: Client | None
) -> AbstractContextManager[None]:
    """Record a change of the list in the line's audit file, and say so where no line has one."""
    old, new = (None if each is None else f"{each.name} {','.join(each.roles)}" for each in (before, after))
    if where.is_dir():
        print(
            f"not recorded: {where} names no line; with its configuration file its audit file would say it",
            file=sys.stderr,
        )
        return nullcontext()
    audit = LineState(where).audit
    if not audit.parent.is_dir():
        print(f"not recorded: the line has not run yet, so there is no {audit}", file=sys.stderr)
        return nullcontext()
    return recorded_change(audit, AuditEntry(AuditAction.KEY, user_name(), "command", name, old, new))


def _list(keys_dir: Path) -> None:
    clients = _allowed(keys_dir)
    if not clients:
        print(f"no key is allowed in {keys_dir}")
    for client in clients:
        print(f"{client.name:<24} {','.join(client.roles):<14} {client.public.decode()}")


def _allowed(keys_dir: Path) -> list[Client]:
    """Print the keys that may connect, and the wrong lines of the list."""
    found = keys.read_list(keys_dir)
    for problem in found.problems:
        warn(f"{problem}; its key is not allowed")
    return list(found.clients)


def _password(file: Path, user: str) -> None:
    if not _NAME.fullmatch(user):
        raise InputError(f"USER: got {user!r}, expected letters, digits, '.', '_' and '-'")
    asked = getpass.getpass(f"password for {user}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not asked.rstrip("\n"):
        raise InputError("the password is empty")
    endpoint.add_user(file, user, asked.rstrip("\n"))
    print(f"{user} may read the metrics; effective from the line's next start")


def _keys_dir(where: Path) -> Path:
    if is_folder(where):
        return where
    if where.suffix in _KEY_SUFFIXES:
        raise InputError(
            f"WHERE: got {where}, a key file; expected {_WHERE} (WHERE comes before KEY or NAME)"
        )
    settings = config.load(where)
    if settings.security.keys_dir is None:
        raise InputError(f"{where}: security.keys_dir is not set; set it to protect TCP with keys")
    return Path(settings.security.keys_dir)
