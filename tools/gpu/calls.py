"""What a call on the GPU machine has: findings, time, and commands that it ends. It loads no torch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

OUT = Path(os.environ.get("OUT") or "/tmp/gpu-day-out")
WORK = Path(os.environ.get("GPU_DAY_WORK") or "/tmp/gpu-day")
"""For what does not come back: few files do."""
DRY = os.environ.get("GPU_DAY_DRY") == "1"
END = float(os.environ.get("GPU_DAY_END") or time.time() + 560)
PART = os.environ.get("GPU_DAY_PART", "x")
WRN = {
    "backbone": "wide_resnet50_2",
    "layers": ("layer2", "layer3"),
    "weights": "random",
    "height": 224,
    "width": 224,
    "rows": 16384,
    "dims": 1024,
}
LITE = {
    "backbone": "efficientnet_lite0",
    "layers": ("blocks.2", "blocks.4"),
    "weights": "random",
    "grid": "fine",
    "height": 256,
    "width": 256,
    "rows": 3072,
    "dims": 152,
}
if DRY:
    WRN |= {"backbone": "resnet18", "height": 64, "width": 64, "rows": 300, "dims": 64}
    LITE |= {"height": 64, "width": 64, "rows": 200}


def left() -> float:
    """Seconds this call may still take."""
    return END - time.time()


def put(kind: str, **facts: object) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    facts = {"part": PART, "kind": kind, **facts}
    with (OUT / f"part{PART}.jsonl").open("a") as file:
        file.write(json.dumps(facts, default=str) + "\n")
    print(f"  {kind}: {words(facts, '=')}", flush=True)


def words(facts: dict[str, object], between: str) -> str:
    """Facts in one line, for people."""
    told = {name: value for name, value in facts.items() if name not in ("part", "kind")}
    return ", ".join(
        f"{name}{between}{value:.4g}" if isinstance(value, float) else f"{name}{between}{value}"
        for name, value in told.items()
    )


@contextlib.contextmanager
def step(name: str, needs_seconds: float = 0.0) -> Iterator[bool]:
    """One experiment: what goes wrong in it is written down and ends nothing else."""
    if left() < needs_seconds:
        put("left out", what=name, seconds_left=round(left()))
        yield False
        return
    print(f"== {name} ({left():.0f} s left)", flush=True)
    try:
        yield True
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        put("failed", what=name, error=f"{type(error).__name__}: {str(error)[:600]}")
    except SystemExit as error:
        put("failed", what=name, error=f"exit {error.code}")


def run_to_end(
    command: list[str], seconds: float, *, shown: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command; whatever of it is there at its end or after that time, its daemons too, is ended.

    Args:
        command: its words.
        seconds: it may take, and no longer than the call.
        shown: whether what it says goes where this process's does, and not into the answer.

    Raises:
        TimeoutError: it took longer.
    """
    seconds = max(1.0, min(seconds, left()))
    pipe = None if shown else subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            said, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            end_session(process.pid)
            _, errors = process.communicate()
            raise TimeoutError(f"ended after {seconds:.0f} s; {(errors or '').strip()[-400:]}") from None
        finally:
            end_session(process.pid)
    return subprocess.CompletedProcess(command, process.returncode, said or "", errors or "")


def end_session(session: int) -> None:
    """End every process of a session: a daemon has a process group of its own, and would hold the card."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(stat.parent.name), signal.SIGKILL)
