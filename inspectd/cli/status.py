"""`inspectd status LINE`: one screen that says how a line is, and an exit code for programs."""

from __future__ import annotations

import argparse
from typing import Final

from inspectd.cli import output
from inspectd.cli.line_sockets import add_asking, endpoint_of, keys_and_patience
from inspectd.cli.status_screen import WIDTH, screen
from inspectd.client import HealthStatus, ask_status
from inspectd.errors import ExitCode
from inspectd.text import json_line

_WELL: Final[set[str]] = {HealthStatus.GOOD, HealthStatus.MAINTENANCE_REQUIRED}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `inspectd status`."""
    parser.description = (
        "Say how a running line is: its NE 107 status signal and why, cameras, scoring, recipes, golden "
        "parts, disk, clients, keys."
    )
    parser.epilog = (
        "Exit codes: 0 the line is good or needs maintenance; 1 it is out of specification, in function "
        "check or has failed; 2 bad input; 3 it does not answer."
    )
    parser.add_argument(
        "line",
        help="the line's configuration file, or its sync socket: ipc:///path/to/sync.sock or "
        "tcp://127.0.0.1:5573",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all there is")
    add_asking(parser)


def main(arguments: argparse.Namespace) -> int:
    """Ask the line and print the screen.

    Raises:
        ConfigError: the configuration file cannot be used.
        InputError: the endpoint or a key file cannot be used.
        UnavailableError: the line does not answer.
    """
    keys, timeout_seconds = keys_and_patience(arguments)
    status = ask_status(endpoint_of(arguments.line, "sync"), keys, timeout_seconds)
    if arguments.json:
        print(json_line(status))
    else:
        console = output.console(highlight=False)
        for part in screen(status):
            console.print(part, no_wrap=True, overflow="ellipsis", width=WIDTH)
    return ExitCode.OK if status.health in _WELL else ExitCode.FAILED
