"""The process that builds or reports for the teaching desk, one line of JSON in, and out for each step.

    python -m inspectd.cli.teach_job LINE.toml

It ends when its standard input does, so it never outlives the desk.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import msgspec

from inspectd.cli.teach_common import place_of_line
from inspectd.errors import ExitCode, InspectdError
from inspectd.ipc.child import stand_back
from inspectd.teach.building import build_candidate
from inspectd.teach.candidates import find_base
from inspectd.teach.jobs import JobNews, JobOrder
from inspectd.teach.place import TeachPlace
from inspectd.teach.reporting import make_report

_DEVICE = "cpu"
"""A GPU's memory and time are the line's."""
_MEMORY_GB = 3.0
_NEWS_SECONDS = 0.2


class _News:
    """Writes progress, a few times a second."""

    def __init__(self) -> None:
        self._said: tuple[str, float] = ("", 0.0)

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step != self._said[0] or done == total or now - self._said[1] > _NEWS_SECONDS:
            self._said = step, now
            say(JobNews(step=step, done=done, total=total))


def say(news: JobNews) -> None:
    """Write a line of news."""
    sys.stdout.buffer.write(msgspec.json.encode(news) + b"\n")
    sys.stdout.buffer.flush()


def main(config: Path) -> ExitCode:
    """Do what the line on standard input says; a reason for people is the last line where it cannot be."""
    stand_back()
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=JobOrder)
    threading.Thread(target=_end_with_the_desk, daemon=True).start()
    try:
        place = place_of_line(config)
        candidate = order.candidate or _built(place, order)
        say(JobNews(step="known", candidate=candidate))
        make_report(place, candidate, order.person, _DEVICE, _News())
    except InspectdError as error:
        say(JobNews(failed=str(error)))
        return error.exit_code
    say(JobNews(candidate=candidate))
    return ExitCode.OK


def _built(place: TeachPlace, order: JobOrder) -> str:
    base = find_base(place, order.recipe, order.camera)
    made = build_candidate(place, base, order.person, memory_gb=_MEMORY_GB, device=_DEVICE, progress=_News())
    return made.bank_sha256


def _end_with_the_desk() -> None:
    os.read(sys.stdin.fileno(), 1)  # not by the buffered reader: its lock would be held at the process's end
    os._exit(ExitCode.UNAVAILABLE)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
