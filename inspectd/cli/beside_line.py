"""What commands share whose program works beside a line: how it is run, and how it is tried out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from inspectd import log
from inspectd.config import MetricsSettings
from inspectd.endpoint import metrics_access
from inspectd.errors import ConfigError, ExitCode, InputError
from inspectd.key_files import read_pair, read_public
from inspectd.settled import settle
from inspectd.text import printable


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
    program.run(settings)
    return ExitCode.OK


def check_files(file: Path, openers: Iterable[Callable[[], object]]) -> int:
    """Say that a program's file has no problem, once all is opened that the program opens when it starts.

    Args:
        file: with its settings, which have none.
        openers: each opens some, and raises `InputError` where they cannot be used.

    Raises:
        ConfigError: some cannot be used; all problems are listed.
    """
    problems = [*_problems(openers)]
    if problems:
        raise ConfigError(str(file), problems)
    print(f"{file}: no problem")
    return ExitCode.OK


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
