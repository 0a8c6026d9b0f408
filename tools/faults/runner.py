"""Runs faults one after the other and keeps what came of each."""

from __future__ import annotations

import json
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faults.fault import Context, Fault, Outcome
from faults.parts import Bank

from inspectd import __version__


def run_fault(
    fault: Fault, count: int, bank: Bank, seed: int, advance: Callable[[], None] = lambda: None
) -> Outcome:
    """Inject one fault so many times, in a folder that is gone afterwards; what breaks off is a violation.

    The folder's path is short because a socket's may have 107 bytes.
    """
    with tempfile.TemporaryDirectory(prefix="inspectd-") as folder:
        context = Context(Path(folder) / "l", bank, count, random.Random(seed), advance)
        try:
            return fault.run(context)
        except (TimeoutError, RuntimeError, OSError) as error:
            log = next(iter(sorted(Path(folder).rglob("log"))), None)
            tail = log.read_text()[-1500:] if log else ""
            return Outcome(0, [f"{type(error).__name__}: {error}; the daemon's log ends with: {tail}"])


def result(fault: Fault, count: int, seed: int, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Record of a run to be kept: a JSON object."""
    return {
        "name": fault.name,
        "what": fault.what,
        "must_hold": fault.must_hold,
        "asked": count,
        "full": fault.full,
        "injected": outcome.injected,
        "held": not outcome.violations and outcome.injected == count,
        "violations": outcome.violations,
        "figures": outcome.figures,
        "seconds": round(seconds, 1),
        "seed": seed,
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "machine": machine(),
        "load": round(os.getloadavg()[1], 1),
    }


def machine() -> str:
    """The machine of this run."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if lines:
            model = f"{len(lines)} x {lines[0].partition(':')[2].strip()}"
    return f"{model}, Linux {platform.release()}, Python {platform.python_version()}"


def write_result(folder: Path, found: dict[str, Any]) -> None:
    """Keep a result; the newest of each fault and whether it was the full count stays."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{found['name']}.json"
    new = file.with_suffix(".new")
    new.write_text(json.dumps(found, indent=2) + "\n")
    new.rename(file)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Every result that was kept."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def timed(run: Callable[[], Outcome]) -> tuple[Outcome, float]:
    """An outcome and the seconds it took."""
    began = time.monotonic()
    outcome = run()
    return outcome, time.monotonic() - began
