"""Acceptance of a fleet: lines with all that serves them, and what may go wrong, at random for half an hour.

    PYTHONPATH=.:tests:tools python -m faults.fleet_acceptance [MINUTES] [LINES] [VERDICTS_PER_SECOND] [SEED]

Takes root: it has a network and file systems of its own. Prints what it found, and exits 1 where it is not
as it should be.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from faults.acceptance import Checks
from faults.fleet import Fleet
from faults.mishaps import Mishaps, rests
from support.lone_network import lone_network

_CALM_SECONDS = 20.0
_DRAIN_SECONDS = 300.0
_LONG_CUT_SECONDS = 600.0
_CUT_SHARE = 1 / 3
"""Of the whole time, at most, for the long cut."""


def main(minutes: float = 30, lines: int = 3, rate: float = 200, seed: int = 1) -> int:
    """Run everything; the exit code."""
    checks = Checks()
    with (
        tempfile.TemporaryDirectory(prefix="fleet-") as name,
        lone_network(),
        Fleet(Path(name), lines, rate, steps_clock=True) as fleet,
    ):
        alone = fleet.p99_ms(_CALM_SECONDS)
        fleet.start_servers()
        fleet.start_clients()
        first = fleet.drained(_DRAIN_SECONDS)
        calm = fleet.p99_ms(_CALM_SECONDS)
        print(f"what was there before, forwarded in {first:.1f} s; calm", flush=True)
        began = time.monotonic()

        def say(text: str) -> None:
            print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

        chooser = random.Random(seed)
        mishaps = Mishaps(fleet, chooser, say)
        fleet.order()
        for kind in mishaps.every():
            kind()
            fleet.hear(2)
        mishaps.cut_link_for(min(_LONG_CUT_SECONDS, minutes * 60 * _CUT_SHARE))
        for rest in rests(minutes * 60 - (time.monotonic() - began), chooser):
            mishaps.one()
            fleet.hear(rest)
        wild = fleet.p99_so_far_ms()
        drained = fleet.drained(_DRAIN_SECONDS)
        checks.that("mishaps", mishaps.counts, ok=True)
        checks.that("backlog drained", f"{drained:.1f} s after the last", ok=True)
        runs = {line: fleet.runs(line) for line in fleet.names}
        fleet.stop_lines()  # on one machine they leave the hub little of the processors
        in_hub = fleet.read_by_hub(2 * _DRAIN_SECONDS)
        for line in fleet.names:
            found = fleet.compared(line)
            is_whole = not (found.lost or found.double or found.out_of_order)
            checks.that(line, found, ok=is_whole and found.published > rate * 60 * minutes * 0.8)
            read = in_hub[line]
            checks.that(f"{line} in the hub", read, ok=not read.lost and read.counted == read.rows)
            said = runs[line]
            has_run = said is not None and (said.state, said.wanted_serial) == ("running", 1)
            checks.that(f"{line}: runs what was ordered", said and said.state, ok=has_run)
            metrics = fleet.forwarders[line].metrics()
            heatmaps = metrics.get('inspectd_forward_extras_total{kind="h",result="stored"}', 0)
            checks.that(f"{line}: heatmaps stored since its forwarder's last start", heatmaps, ok=True)
        text = f"alone {alone:.1f}, with calm servers {calm:.1f}, with mishaps {wild:.1f} ms"
        checks.that("the lines' latency, p99", text, ok=wild < 2 * calm + 20)
    return len(checks.wrong)


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    sys.exit(main(*given[:1], *(int(word) for word in given[1:])) > 0)
