"""`inspectd watch`: a live terminal view of a running line; plain lines where there is no terminal."""

from __future__ import annotations

import argparse
import time
from typing import Final

from rich.console import Console, Group
from rich.live import Live

from inspectd.cli import output
from inspectd.cli.line_sockets import endpoint_of
from inspectd.cli.live_view import LineView, plain_line
from inspectd.client import Liveness, LiveReader
from inspectd.errors import ExitCode
from inspectd.text import printable

_REFRESH_SECONDS: Final = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `inspectd watch`."""
    parser.description = "Show what a line publishes, live. Ctrl-C ends it."
    parser.add_argument(
        "endpoint",
        metavar="FILE|ENDPOINT",
        help="the line's configuration file, on its host; or where it publishes verdicts: "
        "ipc:///path/to/verdicts.sock or tcp://127.0.0.1:5571",
    )


def main(arguments: argparse.Namespace) -> int:
    """Watch until Ctrl-C.

    Raises:
        InputError: the endpoint cannot be one, or the file cannot be used.
        UnavailableError: no line runs by that file here.
    """
    console = output.console()
    endpoint = endpoint_of(arguments.endpoint, "verdicts")
    with LiveReader(endpoint) as reader:
        try:
            if console.is_terminal:
                _watch_live(reader, console, endpoint)
            else:
                _watch_plain(reader, endpoint)
        except KeyboardInterrupt:
            console.print("stopped watching")
    return ExitCode.OK


def _watch_live(reader: LiveReader, console: Console, endpoint: str) -> None:
    views: dict[tuple[str, str], LineView] = {}
    with Live(console=console, auto_refresh=False) as live:
        while True:
            _take_in(reader, views)
            waiting = f"Waiting for a publisher at {endpoint}. Ctrl-C ends."
            live.update(
                Group(*(view.render() for view in views.values())) if views else waiting, refresh=True
            )


def _take_in(reader: LiveReader, views: dict[tuple[str, str], LineView]) -> None:
    """Everything that arrives until the next refresh is due."""
    due = time.monotonic() + _REFRESH_SECONDS
    while (remaining_seconds := due - time.monotonic()) > 0:
        message = reader.receive(remaining_seconds)
        if message is not None:
            key = (message.plant, message.line)
            if key not in views:
                views[key] = LineView(reader.line(*key))
            views[key].add(message)


def _watch_plain(reader: LiveReader, endpoint: str) -> None:
    _say(f"waiting for a publisher at {endpoint}")
    liveness: dict[tuple[str, str], Liveness] = {}
    missed: dict[tuple[str, str], int] = {}
    while True:
        message = reader.receive(_REFRESH_SECONDS)
        if message is not None and (line := plain_line(message)) is not None:
            _say(line)
        for key, tracker in reader.lines.items():
            if tracker.liveness is not liveness.get(key, Liveness.WAITING):
                liveness[key] = tracker.liveness
                _say(f"line {'/'.join(key)} is {_EXPLAINED[tracker.liveness]}")
            if tracker.missed > missed.get(key, 0):
                _say(
                    f"line {'/'.join(key)}: this reader missed {tracker.missed - missed.get(key, 0)} verdicts"
                )
                missed[key] = tracker.missed


_EXPLAINED: Final = {
    Liveness.WAITING: "not connected yet",
    Liveness.ALIVE: "alive",
    Liveness.STALE: "STALE: three heartbeats missed, treat every part as a reject",
    Liveness.STOPPED: "stopped",
}


def _say(line: str) -> None:
    print(printable(line), flush=True)
