"""What the steps that compute on the card use: the device, its clock, and pipelines."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator

import calls
import torch
from calls import DRY

CUDA = torch.cuda.is_available() and not DRY
DEV = "cuda:0" if CUDA else "cpu"


@contextlib.contextmanager
def step(name: str, needs_seconds: float = 0.0) -> Iterator[bool]:
    """As `calls.step`; what the card finds out later belongs to it, too."""
    with calls.step(name, needs_seconds) as go:
        yield go
        sync()


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
