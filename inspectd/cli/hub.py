"""`inspectd hub`: all lines of a plant in one place."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Final

from inspectd.cli import site_users
from inspectd.cli.beside_line import metrics_files, run_check, run_program, say
from inspectd.cli.extras import FLEET_PACKAGES, needed
from inspectd.cli.init import as_tables, write_example
from inspectd.cli.page import PACKAGES as PAGE_PACKAGES
from inspectd.errors import ExitCode, InputError
from inspectd.hub import settings as hub_settings
from inspectd.hub.settings import HubConfig

_HEAD: Final = """\
# inspectd, the hub of a plant (docs/hub.md). Every setting is listed with its meaning
# and default; one that is commented out is unset, and its value is an example.
# `inspectd hub --config FILE --check` asks servers and database, and says every problem.
"""
_PACKAGES: Final = {
    **PAGE_PACKAGES,
    **FLEET_PACKAGES,
    "psycopg": "psycopg[binary]",
    "sqlalchemy": "sqlalchemy",
}
_needed: Final = partial(needed, "hub", hub=_PACKAGES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options and what else there is to do."""
    parser.description = (
        "Show all lines of a plant in browsers, with their history: the hub reads what the lines' forwarders "
        "sent to the plant's servers into a database. It writes to no line and to no stream."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the hub's own file")
    parser.add_argument(
        "--check", action="store_true", help="ask servers and database, say in words how they are, and end"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    init = actions.add_parser("init", help="write a commented example of the hub's file")
    init.add_argument("dir", type=Path, metavar="DIR", help="folder to write hub.toml into")
    site_users.add_arguments(actions)


def main(arguments: argparse.Namespace) -> int:
    """Run one action; the hub until SIGTERM or SIGINT.

    Raises:
        ConfigError: the file has problems.
        InputError: a key or another file cannot be used, or the example exists already.
        UnavailableError: a port is taken, a file cannot be written, or a package that the hub needs is not
            installed.
    """
    if arguments.action == "init":
        print(f"wrote {write_example(arguments.dir, 'hub.toml', example())}")
        return ExitCode.OK
    if arguments.config is None:
        raise InputError("--config FILE: is missing; `inspectd hub init DIR` writes an example")
    settings = hub_settings.load(arguments.config)
    if arguments.action == "audit":
        return site_users.print_audit(settings.data_dir)
    if arguments.action == "user":
        _needed("inspectd.page.accounts.passwords")
        return site_users.manage(settings.data_dir, arguments)
    if arguments.check:
        site = _needed("inspectd.page.site_files").openers(settings)
        check = partial(_needed("inspectd.hub.check").HubCheck, settings, say)
        return run_check(check, [*site, *metrics_files(settings.metrics)])
    return run_program(lambda: _needed("inspectd.hub.run"), settings)


def example() -> str:
    """The commented example of the hub's file."""
    return as_tables(_HEAD, HubConfig(), HubConfig.__struct_fields__)
