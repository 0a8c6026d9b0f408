"""`inspectd page`: serves the operator's page of a line, and manages who may use it."""

from __future__ import annotations

import argparse
import getpass
import importlib
import os
import signal
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

from inspectd import log
from inspectd.cli.init import as_table, write_example
from inspectd.cli.person import user_name
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.page.accounts.roles import Role
from inspectd.page.accounts.store import AccountStore, User
from inspectd.page.accounts.trail import PageTrail
from inspectd.page.settings import PageConfig, load
from inspectd.recipes.audit import BEGUN, AuditAction, AuditFault, read, verify
from inspectd.text import json_line, printable

PACKAGES: Final = {
    "argon2": "argon2-cffi",
    "prometheus_client": "prometheus-client",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "websockets": "websockets",
}
"""Packages of the extra `page`, by the names they are imported by."""
_OIDC_PACKAGES: Final = {"authlib": "authlib", "httpx": "httpx", "joserfc": "joserfc"}
"""Those of the extra `oidc`, which a page needs whose file names a provider."""

_HEAD: Final = """\
# inspectd, the operator's page of one line (docs/page.md). Every setting is listed with its
# meaning and default; one that is commented out is unset, and its value is an example.
# `inspectd page --config FILE --check` reports every problem.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    parser.description = (
        "Show a line in browsers. The page is a program of its own, on the line's host or another, and an "
        "ordinary client of the line: nothing it does can make a part pass."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the page's own file")
    parser.add_argument("--check", action="store_true", help="read the file, report every problem, and end")
    parser.add_argument("--init", type=Path, metavar="DIR", help="write a commented example, DIR/page.toml")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    user = actions.add_parser("user", help="manage who may use the page")
    actions.add_parser("audit", help="print the page's audit file as JSON, and say whether it is whole")
    users = user.add_subparsers(dest="user_action", required=True, metavar="ACTION")
    users.add_parser("list", help="everybody, with role")
    add = users.add_parser("add", help="add somebody; the password is asked for, or read from standard input")
    role = users.add_parser("role", help="give somebody another role")
    for each in (add, role):
        each.add_argument("name", metavar="NAME")
        each.add_argument("--role", choices=[each.value for each in Role], required=True, help="the role")
    for name, about in (
        ("password", "give somebody another password"),
        ("disable", "let somebody log in no more"),
        ("enable", "let somebody log in again"),
    ):
        users.add_parser(name, help=about).add_argument("name", metavar="NAME")


def main(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, or run one action.

    Raises:
        ConfigError: the file has problems.
        InputError: an option, an endpoint, a key or another file cannot be used.
        UnavailableError: a port is taken, a file cannot be written, or a package that the page needs is not
            installed.
    """
    if arguments.init is not None:
        print(f"wrote {write_example(arguments.init, 'page.toml', example())}")
        return ExitCode.OK
    if arguments.config is None:
        raise InputError("--config is missing; inspectd page --init DIR writes an example")
    settings = load(arguments.config)
    if arguments.check:
        print(f"{arguments.config}: no problem")
        return ExitCode.OK
    if arguments.action == "audit":
        return _print_audit(settings)
    try:
        if arguments.action == "user":
            return _manage(settings, arguments)
        program = importlib.import_module("inspectd.page.run")
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a terminal that closes
    log.setup(settings.log.level, settings.log.format)
    try:
        program.run(settings)
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return ExitCode.OK


def _missing(error: ModuleNotFoundError) -> Exception:
    """What is said of a package that is not there; one that is not known stays what it is."""
    for extra, packages in (("page", PACKAGES), ("oidc", _OIDC_PACKAGES)):
        if error.name in packages:
            return UnavailableError(
                f"`inspectd page` needs {packages[error.name]}, which is not installed here; "
                f"pip install 'inspectd[{extra}]' brings all that it needs"
            )
    return error


def example() -> str:
    """The commented example of the page's file."""
    default = PageConfig()
    tables = {name: type(getattr(default, name)) for name in PageConfig.__struct_fields__}
    return "\n".join([_HEAD, *(as_table(f"[{table}]", kind) for table, kind in tables.items())])


def _manage(settings: PageConfig, arguments: argparse.Namespace) -> int:
    who = user_name()
    _become_owner(settings.data_dir)
    with closing(AccountStore(settings.data_dir)) as store:
        if arguments.user_action == "list":
            return _list(store.users())
        action, name = arguments.user_action, arguments.name
        record = partial(
            PageTrail(settings.data_dir).record,
            AuditAction.USER, who, "command", about=f"{action} {name}", old=_described(store.user(name)),
        )  # fmt: skip
        record(result=BEGUN)
        try:
            _change(store, action, name, arguments)
        except InspectdError as error:
            record(result=f"refused: {error}")
            raise
        record(new=_described(store.user(name)))
    print(f"{name}: done; what was logged in under this name is logged out")
    return ExitCode.OK


def _become_owner(folder: Path) -> None:
    """Root becomes whom the folder belongs to: files that root made there the page could not write."""
    if os.geteuid() == 0 and folder.is_dir() and (owner := folder.stat()).st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _change(store: AccountStore, action: str, name: str, arguments: argparse.Namespace) -> None:
    match action:
        case "add":
            if store.user(name) is not None:
                raise InputError(f"there is a user {name!r} already; choose another name")
            store.add_user(name, Role(arguments.role), _new_hash(name))
        case "password":
            if store.user(name) is None:
                raise InputError(f"there is no user {name!r}; inspectd page user list shows who there is")
            store.set_password(name, _new_hash(name))
        case "role":
            store.set_role(name, Role(arguments.role))
        case _:
            store.set_disabled(name, is_disabled=action == "disable")


def _new_hash(name: str) -> str:
    passwords = importlib.import_module("inspectd.page.accounts.passwords")
    password = _asked(name)
    hashed: str = passwords.hash_password(password, name, passwords.new_hasher())
    return hashed


def _asked(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"password for {name}: ")
    if getpass.getpass("again: ") != password:
        raise InputError("the two passwords differ; nothing was changed")
    return password


def _list(users: list[User]) -> int:
    for user in users:
        print(printable(f"{user.name:<24} {user.role:<10} {'disabled' if user.is_disabled else ''}".rstrip()))
    if not users:
        print("nobody may log in yet; inspectd page --config FILE user add NAME --role admin")
    return ExitCode.OK


def _print_audit(settings: PageConfig) -> int:
    path = PageTrail(settings.data_dir).path
    found = verify(path)
    if isinstance(found, AuditFault):
        print(f"error: {path}: {printable(str(found))}", file=sys.stderr)
        return ExitCode.FAILED
    for record in read(path):
        print(json_line(record))
    print(f"{path}: {found.records} records, none altered or missing", file=sys.stderr)
    return ExitCode.OK


def _described(user: User | None) -> str | None:
    if user is None:
        return None
    return f"{user.name} {user.role}{' disabled' if user.is_disabled else ''}"
