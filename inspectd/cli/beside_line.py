"""What commands share whose program works beside a line: how it is run, and how it is tried out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any

from inspectd import log
from inspectd.errors import ExitCode
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


def say(text: str) -> None:
    """Print one line, in which others' words (a server's name, a line's report) are shown and not obeyed."""
    print(printable(text))


def run_check(check: Any) -> int:
    """Have a check ask all that it asks, and print whether it found problems."""
    asyncio.run(check.run())
    print("no problem" if not check.problems else f"problems: {check.problems}")
    return ExitCode.FAILED if check.problems else ExitCode.OK
