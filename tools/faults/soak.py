"""Half of what the line can do, for a long time: does anything grow?"""

from __future__ import annotations

import time
from typing import Final

from faults import line, processes
from faults.audit import idle
from faults.fault import Context, Outcome
from faults.kill_daemon import check_record
from faults.parts import write_pictures
from faults.rig import Rig

_SAMPLE_SECONDS: Final = 5.0
_WARM_UP_SHARE: Final = 0.2
_MIB_PER_HOUR: Final = 1.0
_PICTURES: Final = 40
_TRIAL_FPS: Final = 400
_TRIAL_SECONDS: Final = 10.0
_CONFIDENCE: Final = 0.95
_EVIDENCE: Final = "[evidence]\nquota_mb = 4\n"
"""Little enough to be full after the warm-up: until then the list of what is kept grows."""


def run(context: Context) -> Outcome:
    """Run for `count` minutes; sample every process's memory and descriptors."""
    outcome = Outcome()
    fps = _capacity(context) / 2
    memory: dict[str, list[tuple[float, int]]] = {}
    files: dict[str, list[int]] = {}
    pictures = write_pictures(context.folder / "soak-pictures", _PICTURES)
    rig = Rig(
        context.folder / "soak",
        context.bank,
        context.random.randrange(10**6),
        more_cameras=line.camera("free", pictures, fps=fps),
        extra=_EVIDENCE,
    )
    with rig:
        began = time.monotonic()
        for minute in range(context.count):
            while time.monotonic() - began < 60 * (minute + 1):
                _sample(rig.line.pid, time.monotonic() - began, memory, files)
                time.sleep(_SAMPLE_SECONDS)
            outcome.injected += 1
            context.advance()
        evidence = rig.settle(outcome)
    check_record(outcome, evidence, rig.lost)
    outcome.demand(idle(evidence, least_opened=context.count))
    outcome.figures["load"] = f"{fps:.0f} of {2 * fps:.0f} frames a second"
    for name, samples in memory.items():
        _judge(outcome, name, samples, files[name])
    return outcome


def slope_mib_per_hour(samples: list[tuple[float, int]]) -> tuple[float, float, float]:
    """Theil-Sen slope of memory over time and its 95 % confidence interval.

    Args:
        samples: seconds and bytes.
    """
    from scipy.stats import theilslopes  # noqa: PLC0415 - takes as long to load as all else here, in every worker

    slope, _, low, high = theilslopes(
        [memory / 2**20 for _, memory in samples], [at / 3600 for at, _ in samples], _CONFIDENCE
    )
    return float(slope), float(low), float(high)


def _judge(outcome: Outcome, name: str, samples: list[tuple[float, int]], files: list[int]) -> None:
    end = samples[-1][0]
    warm = [sample for sample in samples if sample[0] >= _WARM_UP_SHARE * end]
    slope, low, high = slope_mib_per_hour(warm)
    outcome.figures[f"{name}"] = (
        f"{slope:+.2f} MiB/h (95 %: {low:+.2f} to {high:+.2f}), {warm[-1][1] / 2**20:.0f} MiB, "
        f"{min(files)} to {max(files)} files"
    )
    outcome.require(slope < _MIB_PER_HOUR, f"{name} grows by {slope:.2f} MiB an hour")
    settled = files[len(files) // 5 :]
    outcome.require(
        max(settled) - min(settled) <= 4, f"{name} has {min(settled)} to {max(settled)} files open"
    )


def _sample(
    pid: int, at: float, memory: dict[str, list[tuple[float, int]]], files: dict[str, list[int]]
) -> None:
    for name, process in {"main": pid, **processes.children(pid)}.items():
        memory.setdefault(name, []).append((at, processes.rss_bytes(process)))
        files.setdefault(name, []).append(processes.open_files(process))


def _capacity(context: Context) -> float:
    """Frames a second that the line judges when it is given far too many."""
    pictures = write_pictures(context.folder / "trial-pictures", _PICTURES)
    free = line.camera("free", pictures, fps=_TRIAL_FPS)
    with Rig(context.folder / "trial", context.bank, 0, more_cameras=free) as rig:
        time.sleep(2)
        since = len(rig.line.listener.numbered)
        time.sleep(_TRIAL_SECONDS)
        judged = [v for v in rig.line.listener.numbered[since:] if v.header.get("score") is not None]
    return len(judged) / _TRIAL_SECONDS
