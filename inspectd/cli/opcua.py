"""`inspectd opcua`: manages who may connect to an OPC UA gateway."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

from inspectd import endpoint
from inspectd.errors import ExitCode, InputError
from inspectd.gateways.opcua import settings
from inspectd.gateways.opcua.certificates import CertificateFolder, ClientCertificate, own_hosts
from inspectd.gateways.opcua.settings import USERS_COMMAND, OpcUaConfig
from inspectd.text import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    keys = actions.add_parser("keys", help="the gateway's own certificate, and those of clients")
    what = keys.add_subparsers(dest="what", required=True, metavar="WHAT")
    new = what.add_parser("new", help="make the gateway's own certificate and key")
    new.add_argument(
        "--host", action="append", metavar="NAME",
        help="name or address that clients use; may be given again. Default: this host's name",
    )  # fmt: skip
    trust = what.add_parser("trust", help="let a client in, effective at its next attempt")
    trust.add_argument("which", metavar="WHICH", help="beginning of its thumbprint in `list`, or a file")
    reject = what.add_parser("reject", help="keep a client out; its connections end within a second")
    reject.add_argument("which", metavar="WHICH", help="the same")
    shown = what.add_parser("list", help="show who is trusted, and who came and was rejected")
    password = actions.add_parser("password", help="give a user a password; asks for it")
    password.add_argument("user", metavar="USER", help="a name of opcua.users")
    for each in (new, trust, reject, shown, password):
        each.add_argument("--config", type=Path, required=True, metavar="FILE", help="the gateway's own file")


def main(arguments: argparse.Namespace) -> int:
    """Run one action.

    Raises:
        InputError: a file cannot be read, or what was asked for makes no sense.
        UnavailableError: a file cannot be written.
    """
    config = settings.load(arguments.config)
    folder = CertificateFolder(Path(config.opcua.certificates))
    if arguments.action == "password":
        _give_password(config, arguments.user)
        return ExitCode.OK
    match arguments.what:
        case "new":
            folder.make_own(f"urn:inspectd:{config.line.name}", arguments.host or own_hosts())
            print(f"wrote {folder.certificate} (for clients) and {folder.key} (mode 600, keep it)")
        case "trust":
            print(f"{_words(folder.trust(arguments.which))} may connect")
        case "reject":
            print(f"{_words(folder.reject(arguments.which))} may not connect")
        case "list":
            _show(folder)
    return ExitCode.OK


def _show(folder: CertificateFolder) -> None:
    for title, found in (("trusted", folder.trusted()), ("rejected", folder.rejected())):
        for each in found:
            print(f"{title:<9} {_words(each)}, until {each.certificate.not_valid_after_utc:%Y-%m-%d}")
        if not found:
            print(f"{title:<9} none")


def _words(each: ClientCertificate) -> str:
    return f"{each.thumbprint} {printable(each.application_uri) or '(without a URI)'}"


def _give_password(config: OpcUaConfig, user: str) -> None:
    known = config.opcua.users or {}
    if user not in known:
        raise InputError(
            f"USER: got {user!r}, expected one of opcua.users: {', '.join(known) or 'none is there'}; "
            "write the name and its role there first"
        )
    asked = getpass.getpass(f"password for {user}: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not asked.rstrip("\n"):
        raise InputError("the password is empty")
    endpoint.add_user(Path(config.opcua.users_file), user, asked.rstrip("\n"), USERS_COMMAND)
    print(f"{user} may log in as {known[user]}; effective from the gateway's next start")
