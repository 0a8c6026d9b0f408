"""`inspectd forward`: a line's verdicts to the plant's servers."""

from __future__ import annotations

import argparse
import asyncio
from functools import partial
from pathlib import Path
from typing import Final

from inspectd.cli.beside_line import metrics_files, run_check, run_program, say
from inspectd.cli.extras import FLEET_PACKAGES, needed
from inspectd.cli.init import as_tables, write_example
from inspectd.cli.numbers import positive
from inspectd.errors import ExitCode, InputError, UnavailableError
from inspectd.fleet import settings as forward_settings
from inspectd.fleet.settings import ForwardConfig

_HEAD: Final = """\
# inspectd, the forwarder of one line (docs/fleet.md). Every setting is listed with its
# meaning and default; one that is commented out is unset, and its value is an example.
# `inspectd forward --config FILE --check` asks servers and line, and says every problem.
"""
_TABLES: Final = ("line", "servers", "forward", "metrics", "log")
_needed: Final = partial(needed, "forward", fleet=FLEET_PACKAGES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options and what else there is to do."""
    parser.description = (
        "Forward what a line records to the plant's NATS servers. The forwarder is a program of its own and "
        "an ordinary client of the line: nothing it does, and nothing that comes from the servers, can make "
        "a part pass."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the forwarder's own file")
    parser.add_argument(
        "--check", action="store_true", help="ask servers and line, say in words how everything is, and end"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    init = actions.add_parser("init", help="write a commented example of the forwarder's file")
    init.add_argument("dir", type=Path, metavar="DIR", help="folder to write forward.toml into")
    key = actions.add_parser(
        "new-key", help="make a user's key (NKEY), and say what servers are to know of it"
    )
    key.add_argument("name", type=Path, metavar="NAME", help="NAME.nk is the secret, NAME.nk_public is not")
    make = actions.add_parser(
        "make-streams", help="make a line's streams on the servers, as their administrator"
    )
    make.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the forwarder's file of the line"
    )
    make.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="the administrator's key, NAME.nk"
    )
    kept = "default: as it is, of new streams"
    make.add_argument("--days", type=positive, help=f"so long verdicts stay; {kept} 400")
    make.add_argument("--gb", type=positive, help=f"so much of each server's disk they may take; {kept} 50")
    make.add_argument("--extras-gb", type=positive, help=f"the same of heatmaps; {kept} 5")
    make.add_argument(
        "--delete", action="store_true", help="delete for good what streams have beyond their new limits"
    )


def main(arguments: argparse.Namespace) -> int:
    """Run one action; the forwarder until SIGTERM or SIGINT.

    Raises:
        ConfigError: the file has problems.
        InputError: an endpoint, a key or another file cannot be used, or the example exists already.
        UnavailableError: the servers cannot be reached, a port is taken, a file cannot be written, or a
            package that the forwarder needs is not installed.
    """
    if arguments.action == "init":
        print(f"wrote {write_example(arguments.dir, 'forward.toml', example())}")
        return ExitCode.OK
    if arguments.action == "new-key":
        secret, public = _needed("inspectd.fleet.keys").new_key(arguments.name)
        print(f"wrote {secret}\nthe servers know it as\n{public}")
        return ExitCode.OK
    if arguments.config is None:
        raise InputError("--config FILE: is missing; `inspectd forward init DIR` writes an example")
    settings = forward_settings.load(arguments.config)
    if arguments.action == "make-streams":
        return _make_streams(settings, arguments)
    if arguments.check:
        check = partial(_needed("inspectd.fleet.forward.check").ForwardCheck, settings, say)
        return run_check(check, metrics_files(settings.metrics))
    return run_program(lambda: _needed("inspectd.fleet.forward.run"), settings)


def example() -> str:
    """The commented example of the forwarder's file."""
    return as_tables(_HEAD, ForwardConfig(), _TABLES)


def _make_streams(settings: ForwardConfig, arguments: argparse.Namespace) -> int:
    making, servers = _needed("inspectd.fleet.make_streams"), _needed("inspectd.fleet.servers")
    work = making.make_streams(
        settings, arguments.key, days=arguments.days, max_gb=arguments.gb, extras_gb=arguments.extras_gb,
        may_delete=arguments.delete,
    )  # fmt: skip
    try:
        for said in asyncio.run(work):
            say(said)
    except servers.ServersError as error:
        raise UnavailableError(f"the plant's servers: {error}") from error
    return ExitCode.OK
