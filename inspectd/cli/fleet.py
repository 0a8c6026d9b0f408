"""`inspectd fleet`: a line's agent, and orders of what lines should run."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Final

from inspectd.cli.beside_line import metrics_files, run_check, run_program, say
from inspectd.cli.extras import FLEET_PACKAGES, needed
from inspectd.cli.init import as_table, write_example
from inspectd.cli.numbers import positive
from inspectd.cli.outcome_files import file_to_write
from inspectd.errors import ExitCode, InputError

_HEAD: Final = """\
# inspectd, the agent of one line (docs/fleet.md). Every setting is listed with its meaning
# and default; one that is commented out is unset, and its value is an example.
# `inspectd fleet --config FILE --check` asks servers and line, and says every problem.
"""
_PUBLISHER_HEAD: Final = """\
# inspectd, who publishes recipes and orders (docs/fleet.md).
"""
_ROLLOUT_HEAD: Final = """\
# inspectd, a rollout (docs/fleet.md): `inspectd fleet order FILE --out ORDER` makes an order of it.
"""
_SIGNERS: Final = """\
# Two people or more whose signatures count on this line; `inspectd fleet new-signer NAME` makes keys.
#[[signers]]
#name = "anna"
#key = "0000000000000000000000000000000000000000000000000000000000000000"
#[[signers]]
#name = "otto"
#key = "1111111111111111111111111111111111111111111111111111111111111111"
"""
_WAVES: Final = """\
# Lines that change at the same time, and how long they are watched before the next wave; in order.
[[waves]]
lines = ["line1"]
watch_minutes = 240
[[waves]]
lines = ["line2", "line3"]
watch_minutes = 60
"""
_TABLES: Final = ("line", "servers", "fleet", "metrics", "log")
_ORDERS: Final = {"order", "sign", "show"}
_SERVERS: Final = {"publish", "desire", "rollout", "make-streams", "archives"}
_needed: Final = partial(needed, "fleet", fleet=FLEET_PACKAGES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options and what else there is to do."""
    parser.description = (
        "A line's agent: it fetches what the line should run, which two people signed, gives it to its "
        "recipe store, and asks the line as any operator would. Servers that are gone, wrong or taken over "
        "cannot change what a line runs. The other actions make, sign and bring such orders."
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the agent's own file")
    parser.add_argument(
        "--check", action="store_true", help="ask servers and line, say in words how everything is, and end"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    init = actions.add_parser("init", help="write commented examples: agent, publisher, rollout")
    init.add_argument("dir", type=Path, metavar="DIR", help="folder to write them into")
    signer = actions.add_parser("new-signer", help="make the key by which a person signs orders")
    signer.add_argument("name", type=Path, metavar="NAME", help="NAME.signer is the secret")
    order = actions.add_parser("order", help="make an order of a rollout's file and its archive")
    order.add_argument("file", type=Path, metavar="FILE", help="the rollout's TOML file")
    order.add_argument("--out", type=file_to_write, required=True, metavar="ORDER", help="the order to write")
    sign = actions.add_parser("sign", help="show an order, and sign it; two different people must")
    sign.add_argument("--name", required=True, metavar="NAME", help="yours, as the lines know it")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="your NAME.signer")
    publish = actions.add_parser("publish", help="bring the archive of an order to the plant's servers")
    publish.add_argument("archive", type=Path, metavar="ARCHIVE", help="the file of `inspectd recipe export`")
    publish.add_argument("--order", type=Path, required=True, metavar="ORDER", help="the order that names it")
    desire = actions.add_parser("desire", help="tell lines at once, without watching, what they should run")
    desire.add_argument("--line", action="append", metavar="LINE", help="a line of the order; default: all")
    rollout = actions.add_parser(
        "rollout", help="tell wave after wave, watch, and stop when one leaves its band"
    )
    rollout.add_argument("--resume", action="store_true", help="go on with a rollout that was stopped")
    rollout.add_argument("--every", type=positive, default=5.0, metavar="SECONDS", help="default: 5")
    for each in (sign, actions.add_parser("show", help="say in words what an order wants"), desire, rollout):
        each.add_argument("order", type=Path, metavar="ORDER", help="the order's file")
    streams = actions.add_parser(
        "make-streams", help="make a plant's streams, as administrator of the servers"
    )
    archives = actions.add_parser(
        "archives", help="list the archives on the servers, or remove one, as their administrator"
    )
    archives.add_argument("--remove", metavar="SHA256", help="the archive whose digest begins so, for good")
    for each in (streams, archives):
        each.add_argument("--plant", required=True, metavar="PLANT", help="the plant's name")
    streams.add_argument(
        "--gb", type=positive, help="for archives, on each server; default: as it is, of a new stream 50"
    )
    streams.add_argument(
        "--delete", action="store_true", help="delete for good what the stream has beyond its new limit"
    )
    for each in (publish, desire, rollout, streams, archives):
        each.add_argument("--config", type=Path, required=True, metavar="FILE", help="the publisher's file")


def main(arguments: argparse.Namespace) -> int:
    """Run one action; the agent until SIGTERM or SIGINT.

    Raises:
        ConfigError: a file has problems.
        InputError: an endpoint, a key, an order or another file cannot be used, or an example exists already.
        UnavailableError: the servers cannot be reached, a port is taken, a file cannot be written, or a
            package that the fleet needs is not installed.
    """
    if arguments.action in _ORDERS | _SERVERS:
        module = "fleet_order" if arguments.action in _ORDERS else "fleet_publish"
        code: int = _needed(f"inspectd.cli.{module}").main(arguments)
        return code
    if arguments.action == "init":
        for name, text in examples().items():
            print(f"wrote {write_example(arguments.dir, name, text)}")
        return ExitCode.OK
    if arguments.action == "new-signer":
        secret, public = _needed("inspectd.fleet.agent.signing").new_signer(arguments.name)
        print(f"wrote {secret}\nlines know it as\n{public}")
        return ExitCode.OK
    if arguments.config is None:
        raise InputError("--config FILE: is missing; `inspectd fleet init DIR` writes an example")
    settings = _needed("inspectd.fleet.agent.settings").load(arguments.config)
    if arguments.check:
        check = partial(_needed("inspectd.fleet.agent.check").AgentCheck, settings, say)
        return run_check(check, metrics_files(settings.metrics))
    return run_program(lambda: _needed("inspectd.fleet.agent.run"), settings)


def examples() -> dict[str, str]:
    """The commented examples, by the name of their file."""
    settings, plan = _needed("inspectd.fleet.agent.settings"), _needed("inspectd.fleet.agent.plan")
    default = settings.AgentConfig()
    agent = [as_table(f"[{table}]", type(getattr(default, table))) for table in _TABLES]
    rollout = [as_table("[order]", plan.OrderSettings), as_table("[band]", plan.BandSettings)]
    return {
        "fleet.toml": "\n".join([_HEAD, *agent, _SIGNERS]),
        "publish.toml": f"{_PUBLISHER_HEAD}\n{as_table('[servers]', settings.ServersLink)}",
        "rollout.toml": "\n".join([_ROLLOUT_HEAD, *rollout, _WAVES]),
    }
