"""Scoring and capture processes are killed and stopped at random moments."""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from faults import audit, processes
from faults.fault import Context, Outcome, percentiles
from faults.kill_daemon import check_record
from faults.listener import wait_for
from faults.rig import Rig

STRIKES_A_LIFE: Final = 4
"""The daemon's back-off doubles with each strike; after so many it is started afresh."""

_LONGEST_SERVE_SECONDS: Final = 1.0
_BACK_SECONDS: Final = 30.0


def run_scoring(context: Context) -> Outcome:
    """Strike the scoring process."""
    return _strike(context, ("scoring",))


def run_capture(context: Context) -> Outcome:
    """Strike either capture process."""
    return _strike(context, ("top", "side"))


def _strike(context: Context, names: tuple[str, ...]) -> Outcome:
    """Half of the strikes kill and half stop; a stopped process has to be found out and replaced."""
    outcome = Outcome()
    back: dict[signal.Signals, list[float]] = {signal.SIGKILL: [], signal.SIGSTOP: []}
    signals = [signal.SIGKILL, signal.SIGSTOP] * (context.count // 2)
    context.random.shuffle(signals)
    with Rig(context.folder, context.bank, context.random.randrange(10**6)) as rig:
        up = [(time.monotonic_ns(), 0)]
        for number, signum in enumerate(signals):
            if number and number % STRIKES_A_LIFE == 0:
                up[-1] = (up[-1][0], time.monotonic_ns() - int(1e9))
                time.sleep(0.3)
                outcome.require(rig.line.stop() == 0, "the daemon did not end with code 0")
                rig.line.start()
                rig.line.wait_ready()
                up.append((time.monotonic_ns(), 0))
            time.sleep(context.random.uniform(0, _LONGEST_SERVE_SECONDS))
            back[signum].append(_strike_once(rig, context.random.choice(names), signum))
            outcome.injected += 1
            context.advance()
        evidence = rig.settle(outcome)
        up[-1] = (up[-1][0], time.monotonic_ns())
    check_record(outcome, evidence, rig.lost)
    outcome.demand(audit.unanswered(evidence, up))
    outcome.demand(audit.idle(evidence, least_opened=max(1, context.count // 4)))
    late = audit.lateness_ns(evidence)
    outcome.demand(audit.too_late(late))
    outcome.figures["undecidable after the deadline"] = percentiles([ns / 1e6 for ns in late], "ms")
    decided = [-header["deadline_margin_ms"] for header in audit.undecidable(evidence)]
    outcome.figures["of it until decided, as the daemon says"] = percentiles(decided, "ms")
    for signum, seconds in back.items():
        outcome.figures[f"back after {signum.name}"] = percentiles(seconds, "s", 2)
    return outcome


def _strike_once(rig: Rig, name: str, signum: signal.Signals) -> float:
    """Strike a process and wait until another one does its work; seconds until then."""
    old = wait_for(lambda: processes.children(rig.line.pid).get(name), 10, f"{name} is not there")
    struck_ns = time.monotonic_ns()
    os.kill(old, signum)
    replaced = "scoring_ready" if name == "scoring" else "camera_up"

    def is_back() -> bool:
        return any(
            event.header["event"] == replaced
            and event.header["camera"] == (None if name == "scoring" else name)
            for event in rig.line.listener.events_since(struck_ns)
        )

    wait_for(is_back, _BACK_SECONDS, f"{name} did not come back after {signum.name}")
    return (time.monotonic_ns() - struck_ns) / 1e9
