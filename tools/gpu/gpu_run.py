"""What every step on the GPU machine uses: its device, its findings, its time and its banks."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

OUT = Path(os.environ.get("OUT") or "/tmp/gpuday-out")
DRY = os.environ.get("GPU_DAY_DRY") == "1"
CUDA = torch.cuda.is_available() and not DRY
DEV = "cuda:0" if CUDA else "cpu"
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
def step(name: str, needs_seconds: float = 0.0):
    """One experiment: what goes wrong in it is written down and ends nothing else."""
    if left() < needs_seconds:
        put("left out", what=name, seconds_left=round(left()))
        yield False
        return
    print(f"== {name} ({left():.0f} s left)", flush=True)
    try:
        yield True
        if CUDA:
            torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        put("failed", what=name, error=f"{type(error).__name__}: {str(error)[:600]}")
    except SystemExit as error:
        put("failed", what=name, error=f"exit {error.code}")


def sync() -> None:
    if CUDA:
        torch.cuda.synchronize()


def median_ms(work: Callable[[], object], rounds: int = 30, warm: int = 5) -> float:
    """Median milliseconds by device events (by the host's clock off a card)."""
    for _ in range(warm if CUDA else 1):
        work()
    if not CUDA:
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)
    pairs = [
        (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(rounds)
    ]
    for a, b in pairs:
        a.record()
        work()
        b.record()
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in pairs)


def graphed(work: Callable[[], object]) -> Callable[[], object]:
    """`work` recorded as a graph: what the product replays."""
    if not CUDA:
        return work
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.inference_mode():
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.inference_mode():
        graphed.kept = work()
    return graph.replay


def pipeline(spec: dict, grid: str = "fine", recipe: str = "default"):
    from inspectd.bench.subject import Synthetic
    from inspectd.bench.synthetic import synthetic_pipeline
    from inspectd.model.options import PatchCoreOptions

    options = (
        PatchCoreOptions()
        if recipe == "default"
        else PatchCoreOptions(local_scale=False, position_weight=0.0)
    )
    return synthetic_pipeline(Synthetic(**{**spec, "grid": grid, "options": options}), DEV)


def noise(count: int, height: int = 480, width: int = 640):
    from inspectd.bench.subject import noise_frames

    return noise_frames(count, height, width, DEV)


def run_to_end(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=max(30, left()),
        stdin=subprocess.DEVNULL,
    )
