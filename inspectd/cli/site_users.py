"""Who may use a site in browsers, a line's page or the hub: `... user`, and its audit file: `... audit`."""

from __future__ import annotations

import argparse
import getpass
import importlib
import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from inspectd.cli.person import user_name
from inspectd.errors import ExitCode, InputError, InspectdError
from inspectd.page.accounts.roles import Role
from inspectd.page.accounts.store import AccountStore, User, described
from inspectd.page.accounts.trail import PageTrail
from inspectd.recipes.audit import BEGUN, AuditAction, AuditFault, read, verify
from inspectd.text import counted, json_line, printable


def add_arguments(actions: Any) -> None:
    """Declare `user` and `audit` among the actions of a command."""
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
        ("disable", "keep somebody from logging in"),
        ("enable", "let somebody log in again"),
        ("free", "forget somebody who logs in elsewhere, so that the name can be taken from there again"),
    ):
        users.add_parser(name, help=about).add_argument("name", metavar="NAME")


def manage(data_dir: Path, arguments: argparse.Namespace) -> int:
    """Do one action of `user` with the users of `data_dir`.

    Raises:
        InputError: there is no such user, or it is there already.
        UnavailableError: the files cannot be written.
    """
    who = user_name()
    _become_owner(data_dir)
    with closing(AccountStore(data_dir)) as store:
        if arguments.user_action == "list":
            return _list(store.users(), arguments.command)
        action, name = arguments.user_action, arguments.name
        record = partial(
            PageTrail(data_dir).record,
            AuditAction.USER, who, "command", about=f"{action} {name}", old=described(store.user(name)),
        )  # fmt: skip
        record(result=BEGUN)
        try:
            _change(store, action, name, arguments)
        except InspectdError as error:
            record(result=f"refused: {error}")
            raise
        record(new=described(store.user(name)))
    after = "can log in" if action == "add" else "done; what was logged in under this name is logged out"
    print(f"{name}: {after}")
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
                raise InputError(f"there is no user {name!r}; `user list` shows who there is")
            store.set_password(name, _new_hash(name))
        case "role":
            store.set_role(name, Role(arguments.role))
        case "free":
            store.free_name(name)
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


def _list(users: list[User], command: str) -> int:
    for user in users:
        print(printable(f"{user.name:<24} {user.role:<10} {'disabled' if user.is_disabled else ''}".rstrip()))
    if not users:
        print(f"nobody may log in yet; inspectd {command} --config FILE user add NAME --role admin")
    return ExitCode.OK


def print_audit(data_dir: Path) -> int:
    """Print the audit file of `data_dir`; 1 if it was altered."""
    path = PageTrail(data_dir).path
    found = verify(path)
    if isinstance(found, AuditFault):
        print(f"error: {path}: {printable(str(found))}", file=sys.stderr)
        return ExitCode.FAILED
    for record in read(path):
        print(json_line(record))
    print(f"{path}: {counted(found.records, 'record')}, none altered or missing", file=sys.stderr)
    return ExitCode.OK
