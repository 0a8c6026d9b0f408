"""`inspectd gateway`: brings a line to what a plant has."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from inspectd.cli.beside_line import check_files, line_keys, metrics_files, run_program
from inspectd.cli.extras import needed
from inspectd.cli.init import as_tables, write_example
from inspectd.errors import ExitCode
from inspectd.gateways.modbus import settings as modbus
from inspectd.gateways.opcua import settings as opcua
from inspectd.gateways.s7 import settings as s7
from inspectd.gateways.sparkplug import settings as sparkplug

_HEAD: Final = """\
# inspectd, the {title} of one line (docs/gateways/{name}.md). Every setting is listed with its
# meaning and default; one that is commented out is unset, and its value is an example.
# `inspectd gateway {name} --config FILE --check` reports every problem.
"""


class Gateway(NamedTuple):
    """One kind of gateway.

    Attributes:
        title: what it is.
        about: what it does.
        load: reads its file.
        tables: of its file, in the order of the example.
        program: module whose `run` takes the settings, with what only the extra brings.
        extra: that brings what it needs.
        packages: of the extra, by the names they are imported by.
        has_files: the module has `openers` too, of files that no other gateway has.
    """

    title: str
    about: str
    load: Callable[[Path], Any]
    default: Any
    tables: tuple[str, ...]
    program: str
    extra: str
    packages: dict[str, str]
    has_files: bool = False


GATEWAYS: Final = {
    "modbus": Gateway(
        "Modbus TCP gateway",
        "serve a PLC over Modbus TCP",
        modbus.load,
        modbus.ModbusConfig(),
        ("line", "handshake", "modbus", "metrics", "log"),
        "inspectd.gateways.modbus.gateway",
        "modbus",
        {"prometheus_client": "prometheus-client"},
    ),
    "opcua": Gateway(
        "OPC UA gateway",
        "serve OPC UA clients",
        opcua.load,
        opcua.OpcUaConfig(),
        ("line", "opcua", "metrics", "log"),
        "inspectd.gateways.opcua.gateway",
        "opcua",
        {"asyncua": "asyncua", "cryptography": "cryptography", "prometheus_client": "prometheus-client"},
        has_files=True,
    ),
    "sparkplug": Gateway(
        "MQTT Sparkplug gateway",
        "tell SCADA systems over MQTT Sparkplug B, never for a gate",
        sparkplug.load,
        sparkplug.SparkplugConfig(),
        ("line", "broker", "sparkplug", "metrics", "log"),
        "inspectd.gateways.sparkplug.run",
        "mqtt",
        {"aiomqtt": "aiomqtt", "prometheus_client": "prometheus-client"},
        has_files=True,
    ),
    "s7": Gateway(
        "S7 gateway (beta)",
        "read and write two data blocks of a Siemens S7, beta",
        s7.load,
        s7.S7Config(),
        ("line", "handshake", "s7", "metrics", "log"),
        "inspectd.gateways.s7.gateway",
        "s7",
        {"snap7": "python-snap7", "prometheus_client": "prometheus-client"},
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    parser.description = (
        "Bring a line to what a plant has. A gateway is a program of its own, on the line's host or another, "
        "and an ordinary client of the line: nothing it does can make a part pass."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="GATEWAY")
    for name, gateway in GATEWAYS.items():
        one = actions.add_parser(name, help=f"{gateway.about} (docs/gateways/{name}.md)")
        one.add_argument("--config", type=Path, required=True, metavar="FILE", help="the gateway's own file")
        one.add_argument(
            "--check",
            action="store_true",
            help="report every problem of the file and of those it names, and end",
        )
    init = actions.add_parser("init", help="write a commented example of a gateway's file")
    init.add_argument("dir", type=Path, metavar="DIR", help="folder to write KIND.toml into")
    init.add_argument("--kind", choices=[*GATEWAYS], default="modbus", help="which gateway; default: modbus")


def main(arguments: argparse.Namespace) -> int:
    """Run one action; a gateway until SIGTERM or SIGINT.

    Raises:
        ConfigError: the file has problems.
        InputError: an endpoint, a key or another file cannot be used, or the example exists already.
        UnavailableError: a port is taken or takes more rights, a file cannot be written, or a package that
            the gateway needs is not installed.
    """
    if arguments.action == "init":
        print(f"wrote {write_example(arguments.dir, f'{arguments.kind}.toml', example(arguments.kind))}")
        return ExitCode.OK
    gateway = GATEWAYS[arguments.action]
    settings = gateway.load(arguments.config)

    def load() -> ModuleType:
        return needed(f"gateway {arguments.action}", gateway.program, **{gateway.extra: gateway.packages})

    if arguments.check:
        own = load().openers(settings) if gateway.has_files else []
        openers = [*line_keys(settings.line), *metrics_files(settings.metrics), *own]
        return check_files(arguments.config, openers, settings.line)
    return run_program(load, settings)


def example(name: str = "modbus") -> str:
    """The commented example of a gateway's file."""
    gateway = GATEWAYS[name]
    return as_tables(_HEAD.format(name=name, title=gateway.title), gateway.default, gateway.tables)
