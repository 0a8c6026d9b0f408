"""What commands share whose program works beside a line: how it is run, and how it is tried out."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from inspectd import log
from inspectd.cli.output import warn
from inspectd.config import MetricsSettings
from inspectd.endpoint import metrics_access
from inspectd.errors import ConfigError, ExitCode, InputError
from inspectd.key_files import read_pair, read_public
from inspectd.settled import settle
from inspectd.text import printable

_PLACES: Final = (
    "verdicts", "sync", "control", "previews", "heatmaps", "teach_socket",
    "evidence_dir", "recipes_dir", "settings_file",
)  # fmt: skip
"""Settings of the line that may name a socket, a folder or a file on this host."""
_ABSENT: Final = (
    "nothing is there now, or this user may not see it; it is waited for: is the line to start later, or is "
    "the path another one?"
)

_log: Final = logging.getLogger(__name__)


def run_program(load: Callable[[], ModuleType], settings: Any) -> int:
    """Run a program until SIGTERM or SIGINT.

    Args:
        load: gives the module whose `run` it is.
        settings: its whole file.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of a terminal that closes
    program = load()
    log.setup(settings.log.level, settings.log.format)
    settle()
    for where, place in absent(getattr(settings, "line", None)).items():
        log.event(_log, logging.INFO, "not_there", setting=where, path=place, detail=_ABSENT)
    program.run(settings)
    return ExitCode.OK


def check_files(file: Path, openers: Iterable[Callable[[], object]], line: Any) -> int:
    """Say that a program's file has no problem, once all is opened that the program opens when it starts.

    Args:
        file: with its settings, which have none.
        line: their table of the line; of what it names and is not there now, a warning says so.
        openers: each opens some, and raises `InputError` where they cannot be used.

    Raises:
        ConfigError: some cannot be used; all problems are listed.
    """
    problems = [*_problems(openers)]
    if problems:
        raise ConfigError(str(file), problems)
    for where, place in absent(line).items():
        warn(f"{where}: {place}: {_ABSENT}")
    print(f"{file}: no problem")
    return ExitCode.OK


def absent(line: Any) -> dict[str, str]:
    """What a program's table of the line names on this host and is not there, by setting.

    It is no problem by itself: the line may start later, and a place beside `line.verdicts` goes with that.
    """
    given = {name: str(getattr(line, name, None) or "") for name in _PLACES}
    local = {
        f"line.{name}": place.removeprefix("ipc://") for name, place in given.items() if "tcp://" not in place
    }
    return {where: place for where, place in local.items() if place and not os.path.lexists(place)}


def line_keys(line: Any) -> Iterator[Callable[[], object]]:
    """Open the keys that a line is reached by, where it is reached over TCP."""
    sockets = (getattr(line, name, "") for name in ("verdicts", "sync", "control", "previews"))
    if line.keys is not None and any(socket.startswith("tcp://") for socket in sockets):
        yield partial(read_pair, line.keys.client_key)
        yield partial(read_public, line.keys.server_key)


def metrics_files(settings: MetricsSettings) -> Iterator[Callable[[], object]]:
    """Open what protects the metrics of a program, where it has an endpoint for them."""
    if settings.port:
        yield partial(metrics_access, settings)


def _problems(openers: Iterable[Callable[[], object]]) -> Iterator[str]:
    for opens in openers:
        try:
            opens()
        except InputError as error:
            yield str(error)


def say(text: str) -> None:
    """Print one line, in which others' words (a server's name, a line's report) are shown and not obeyed."""
    print(printable(text))


def run_check(make: Callable[[], Any], openers: Iterable[Callable[[], object]]) -> int:
    """Have a check ask all that it asks, and print whether it found problems.

    Args:
        make: gives what asks servers and others; raises where a file that it needs is no good.
        openers: as of `check_files`, of files that it does not open.
    """
    unusable = [*_problems(openers)]
    for problem in unusable:  # before `make`, which ends with the first of its own
        say(f"PROBLEM: {problem}")
    check = make()
    asyncio.run(check.run())
    count = check.problems + len(unusable)
    print("no problem" if not count else f"problems: {count}")
    return ExitCode.FAILED if count else ExitCode.OK
