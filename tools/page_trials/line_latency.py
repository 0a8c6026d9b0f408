"""Whether a page that is looked at costs the line time: verdicts with it and without it, in turns.

`PYTHONPATH=tests:tools python -m page_trials.line_latency --pairs 8`: of each pair one span without a page
and one with a page and a tab that shows it, in either order, on one line that goes on all the time. The
page has the share of the processors that its unit gives it; the tab draws nothing: its screen is elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from rich.progress import track
from support.daemon import Daemon
from support.page_process import PageProcess
from support.page_tab import Tab

from page_trials.watched_line import watched_line

_SETTLE_SECONDS = 4.0
_NICE = 7
"""A fifth of the weight of others, as `CPUWeight=20` of the unit gives."""


def span(daemon: Daemon, seconds: float) -> list[float]:
    """Latencies of the verdicts of the next seconds, in ms."""
    for lasts in (_SETTLE_SECONDS, seconds):
        daemon.reader.verdicts.clear()
        end = time.monotonic() + lasts
        while time.monotonic() < end:
            daemon.reader.read(100)
    return [verdict.latency_ms for verdict in daemon.reader.verdicts]


def looked_at(daemon: Daemon, folder: Path, seconds: float) -> list[float]:
    """The same while somebody looks at a page."""
    with ExitStack() as open_now:
        page = PageProcess(folder / "page", daemon.runtime_dir)
        open_now.callback(page.close)
        assert page.process is not None
        for task in Path(f"/proc/{page.process.pid}/task").iterdir():
            with suppress(ProcessLookupError):  # a thread that ended since
                os.setpriority(os.PRIO_PROCESS, int(task.name), _NICE)
        tab = Tab(page)
        ended = threading.Event()
        reader = threading.Thread(target=_read, args=(tab, ended))
        open_now.callback(tab.open.close)
        open_now.callback(reader.join)
        open_now.callback(ended.set)
        reader.start()
        found = span(daemon, seconds)
        assert tab.pictures, "the tab was sent no picture"
        return found


def _read(tab: Tab, ended: threading.Event) -> None:
    tab.send(t="show", cameras=["top", "side"])
    while not ended.is_set():
        with suppress(TimeoutError):
            tab.read(0.2)


def compare(folder: Path, rate: float, pairs: int, seconds: float) -> dict[str, Any]:
    """Spans in turns; what was found."""
    found: list[dict[bool, list[float]]] = []
    with watched_line(folder, rate) as daemon:
        for number in track(range(pairs), "pairs"):
            found.append({})
            for is_looked_at in (number % 2 == 0, number % 2 == 1):
                place = folder / f"{number}-{is_looked_at}"
                found[-1][is_looked_at] = (
                    looked_at(daemon, place, seconds) if is_looked_at else span(daemon, seconds)
                )
    said: dict[str, Any] = {}
    for name, of in (
        ("p50_ms", statistics.median),
        ("p99_ms", lambda all_: statistics.quantiles(all_, n=100)[-1]),
    ):
        without, with_page = ([of(pair[which]) for pair in found] for which in (False, True))
        more = sorted(b - a for a, b in zip(without, with_page, strict=True))
        said[name] = {
            "without": round(statistics.median(without), 2),
            "with": round(statistics.median(with_page), 2),
            "more_by_pair": [round(each, 2) for each in more],
            "more": round(statistics.median(more), 2),
            "without_by_span": [round(each, 2) for each in without],
        }
    return said


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="Compares a line's latency with and without a page.")
    parser.add_argument("--rate", type=float, default=20, help="verdicts a second of both cameras together")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15, help="of each span")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inspectd-latency-") as folder:
        found = compare(Path(folder), arguments.rate, arguments.pairs, arguments.seconds)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
