"""The wall clock of a running daemon is set an hour forward and back (libfaketime, preloaded)."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from faults import audit
from faults.fault import Context, Outcome, percentiles
from faults.kill_daemon import check_record
from faults.rig import HOOK, Rig

_HOUR_SECONDS: Final = 3600
_BETWEEN_SECONDS: Final = 2.4
_LIBRARY: Final = "faketime/libfaketimeMT.so.1"


def library() -> Path | None:
    """Where Debian's `faketime` put its library."""
    return next((path for path in Path("/usr/lib").glob(f"*/{_LIBRARY}")), None)


def missing() -> str | None:
    """Reason why this machine cannot step clocks; None when it can."""
    return None if library() else "there is no libfaketime: run tools/install_debian_packages.sh"


def run(context: Context) -> Outcome:
    """Step the clock, now and then with a restart after the step, and watch what must not move."""
    outcome = Outcome()
    clock = context.folder / "clock"
    context.folder.mkdir(parents=True, exist_ok=True)
    set_to(clock, 0)
    environment = by(clock)
    steps: list[int] = []
    seed = context.random.randrange(10**6)
    up = []
    with Rig(context.folder, context.bank, seed, environment=environment) as rig:
        for number in range(context.count):
            up.append((time.monotonic_ns(), 0))
            time.sleep(_BETWEEN_SECONDS / 2)
            steps.append(-1 if sum(steps) > 0 or (sum(steps) == 0 and number % 2) else 1)
            set_to(clock, sum(steps) * _HOUR_SECONDS)
            time.sleep(_BETWEEN_SECONDS)
            up[-1] = (up[-1][0], time.monotonic_ns() - int(1e9))
            if number % 4 == 3:
                rig.line.restart()  # after a step: numbering and recovery may not believe the clock
                rig.line.wait_ready()
            outcome.injected += 1
            context.advance()
        evidence = rig.settle(outcome)
    check_record(outcome, evidence, rig.lost)
    outcome.demand(audit.unanswered(evidence, up))
    outcome.demand(audit.idle(evidence, least_opened=2))
    late = audit.lateness_ns(evidence)
    outcome.demand(audit.too_late(late))
    stale = [o for o in evidence.openings if o.because == "the line is silent" and _within(o.at_ns, up)]
    outcome.demand(f"{opening.trigger_id} was rejected because the line seemed silent" for opening in stale)
    outcome.require(_stepped(evidence), "no verdict shows that the daemon's clock was stepped at all")
    answered = [v.header["latency_ms"] for v in evidence.heard if audit.is_part(v.header)]
    outcome.figures["latency as the daemon says"] = percentiles(answered, "ms")
    return outcome


def by(clock: Path) -> dict[str, str]:
    """Environment of a program whose wall clock goes by that file."""
    return {
        "PYTHONPATH": f"{HOOK}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # its detection is wrong here, and every timed wait would be too
        "NO_FAKE_STAT": "1",
    }


def set_to(clock: Path, seconds: int) -> None:
    """Have that clock be so many seconds ahead of the machine's."""
    new = clock.with_suffix(".new")
    new.write_text(f"{seconds:+d}s\n")
    new.rename(clock)


def _within(at_ns: int, spans: list[tuple[int, int]]) -> bool:
    return any(start <= at_ns < end for start, end in spans)


def _stepped(evidence: audit.Evidence) -> bool:
    """Some verdict was stamped about an hour away from when it arrived."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    away = [abs(v.header["decided_utc_ns"] - v.at_ns - offset_ns) / 1e9 for v in evidence.heard]
    return any(abs(seconds - _HOUR_SECONDS) < 60 for seconds in away)
