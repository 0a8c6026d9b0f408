"""`inspectd gateway`: brings a line to what a plant has."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Final

from inspectd import log
from inspectd.cli.init import as_table, write_example
from inspectd.errors import ExitCode
from inspectd.gateways.modbus.settings import ModbusConfig, load

_HEAD: Final = """\
# inspectd, the Modbus TCP gateway of one line (docs/gateways/modbus.md). Every setting is listed with its
# meaning and default; one that is commented out is unset, and its value is an example.
# `inspectd gateway modbus --config FILE --check` reports every problem.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    parser.description = (
        "Bring a line to what a plant has. A gateway is a program of its own, on the line's host or another, "
        "and an ordinary client of the line: nothing it does can make a part pass."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="GATEWAY")
    modbus = actions.add_parser("modbus", help="serve a PLC over Modbus TCP (docs/gateways/modbus.md)")
    modbus.add_argument("--config", type=Path, required=True, metavar="FILE", help="the gateway's own file")
    modbus.add_argument("--check", action="store_true", help="read the file, report every problem, and end")
    init = actions.add_parser("init", help="write a commented example of a gateway's file")
    init.add_argument("dir", type=Path, metavar="DIR", help="folder to write modbus.toml into")


def main(arguments: argparse.Namespace) -> int:
    """Run one action; a gateway until SIGTERM or SIGINT.

    Raises:
        ConfigError: the file has problems.
        InputError: an endpoint or a key cannot be used, or the example exists already.
        UnavailableError: a port is taken or takes more rights.
    """
    if arguments.action == "init":
        print(f"wrote {write_example(arguments.dir, 'modbus.toml', example())}")
        return ExitCode.OK
    settings = load(arguments.config)
    if arguments.check:
        print(f"{arguments.config}: no problem")
        return ExitCode.OK
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a terminal that closes
    from inspectd.gateways.modbus.gateway import run  # noqa: PLC0415 - it needs the extra, the others do not

    log.setup(settings.log.level, settings.log.format)
    run(settings)
    return ExitCode.OK


def example() -> str:
    """The commented example of a Modbus gateway's file."""
    tables = {name: type(getattr(ModbusConfig(), name)) for name in _TABLES}
    return "\n".join([_HEAD, *(as_table(f"[{name}]", kind) for name, kind in tables.items())])


_TABLES: Final = ("line", "handshake", "modbus", "metrics", "log")
