"""The process that reads a live camera gets too little of the processor, or none for a while."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Self

from faults import audit, line, processes
from faults.audit import Evidence
from faults.fault import Context, Outcome
from faults.live import LiveCamera, MjpegCamera
from faults.rig import BRISK, Rig
from faults.trial import Trial, answers, shares, show_pictures

LATENCY_MS: Final = 40
"""Of a camera on this host that sends at once, however busy the host is."""

MAIN_MIB: Final = 200
_SHARES: Final = (0.5, 0.2, 0.05)
_SPELL_SECONDS: Final = (4.0, 12.0)
_SHORT_SPELL_SECONDS: Final = 0.07
"""For each part of a run that is short: it has all of the shares, too."""
_SLICE_SECONDS: Final = (0.002, 0.008)
_STOPPED_SECONDS: Final = (0.05, 5.0)
_BETWEEN_SECONDS: Final = (0.1, 0.8)
_YOUNG: Final = "[cameras.quality]\nmax_age_ms = 100\n"
"""A part stays for little longer: running free, a frame's time has to show which one it is of."""

_GOOD_SHARE: Final = 0.5
_READERS: Final = frozenset({"top", "side", "free"})

Make = type[LiveCamera] | None
"""A live camera, seen twice: triggered, and running free. None: two triggered ones that read files."""


class Throttle:
    """Gives processes a share of a processor's time in slices of some milliseconds, at random."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self.share = 1.0
        self._rig = rig
        self._random = chance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="throttle", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.share == 1.0:
                self._stop.wait(0.05)
                continue
            runs = self._random.uniform(*_SLICE_SECONDS)
            with stopped(self._rig):
                time.sleep(runs * (1 - self.share) / self.share)
            time.sleep(runs)


@contextlib.contextmanager
def stopped(rig: Rig) -> Iterator[None]:
    """The processes that read the cameras are stopped meanwhile."""
    struck = [pid for name, pid in processes.children(rig.line.pid).items() if name in _READERS]
    for pid in struck:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in struck:
            _signal(pid, signal.SIGCONT)


def run_starved(context: Context, make: Make = MjpegCamera) -> Outcome:
    """One share of the processor after the other, for some seconds each."""
    outcome = Outcome()
    spells: list[tuple[int, float]] = [(0, 1.0)]
    with (
        _seen(context, make) as (camera, rig),
        Trial(context, outcome, rig, main_mib=MAIN_MIB) as trial,
        Throttle(rig, context.random) as throttle,
    ):
        trial.wait(camera.SETTLE_SECONDS if camera is not None else 0.0)
        for chosen in itertools.chain(_SHARES, iter(lambda: context.random.choice(_SHARES), None)):
            if not trial.lasts:
                break
            throttle.share = chosen
            spells.append((time.monotonic_ns(), chosen))
            spell = min(context.random.uniform(*_SPELL_SECONDS), context.count * _SHORT_SPELL_SECONDS)
            trial.wait(spell)
        throttle.share = 1.0
        evidence = trial.finish()
    for share in (1.0, *_SHARES):
        said = Counter(
            answer
            for name, answer in answers(evidence).items()
            if next(s for at, s in reversed(spells) if at <= evidence.parts[name].triggered_ns) == share
        )
        if said:
            outcome.figures[f"with {share:.0%} of a processor"] = shares(said)
    if camera is not None:
        _check_free(outcome, evidence, camera)
    return outcome


def run_stalled(context: Context, make: Make = MjpegCamera) -> Outcome:
    """Stop the readers for 50 ms to 5 s at random moments."""
    outcome = Outcome()
    spells: list[float] = []
    with _seen(context, make) as (camera, rig), Trial(context, outcome, rig, main_mib=MAIN_MIB) as trial:
        trial.wait(camera.SETTLE_SECONDS if camera is not None else 0.0)
        shortest, longest = _STOPPED_SECONDS
        while trial.lasts:
            # As many between 50 and 500 ms as above.
            spells.append(shortest * (longest / shortest) ** context.random.random())
            with stopped(rig):
                trial.wait(spells[-1])
            trial.wait(context.random.uniform(*_BETWEEN_SECONDS))
        evidence = trial.finish()
    outcome.figures["stopped"] = f"{len(spells)} times, {sum(spells):.0f} s in all"
    if camera is not None:
        _check_free(outcome, evidence, camera)
    return outcome


@contextlib.contextmanager
def _seen(context: Context, make: Make) -> Iterator[tuple[LiveCamera | None, Rig]]:
    """A line that sees its parts by such cameras."""
    seed = context.random.randrange(10**6)
    if make is None:
        with Rig(
            context.folder, context.bank, seed, pace=BRISK, good_share=_GOOD_SHARE, limit=context.count
        ) as rig:
            yield None, rig
        return
    later_ms = make.LATER_MS
    tell = f"latency_ms = {LATENCY_MS + later_ms}\n"
    with make(seed) as camera:
        rig = Rig(
            context.folder,
            context.bank,
            seed,
            more_cameras=line.live_camera("free", camera.url, more=tell + _YOUNG),
            pace=replace(
                BRISK, window_ms=BRISK.window_ms + later_ms, deadline_ms=BRISK.deadline_ms + later_ms
            ),
            live={"top": (camera, tell)},
            good_share=_GOOD_SHARE,
            limit=context.count,
        )
        with rig:
            yield camera, rig


def _check_free(outcome: Outcome, evidence: Evidence, camera: LiveCamera) -> None:
    """Check that the times in a free-running camera's verdicts are true."""
    show_pictures(outcome, evidence, camera.exposed_ns)
    offset_ns = time.time_ns() - time.monotonic_ns()
    exposed_ns = camera.exposed_ns
    latency_ns = (LATENCY_MS + camera.LATER_MS) * 1_000_000
    problems = audit.misdated(evidence, "free", exposed_ns, latency_ns, offset_ns)
    outcome.demand(problems)
    said = Counter(v.header["evaluation"] for v in evidence.heard if v.header.get("camera") == "free")
    outcome.figures["free running"] = f"{shares(said)}; {len(problems):,} of another time than they say"


def _signal(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)
