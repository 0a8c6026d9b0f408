"""Times of each step and of each kind of search on a CUDA device, by its own clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.backends.cuda.faults import exhausted
from inspectd.backends.cuda.half import STAGES, HalvedPipeline
from inspectd.backends.cuda.pipeline import CudaPipeline
from inspectd.backends.cuda.search import HalfSearch
from inspectd.errors import InputError
from inspectd.model.patchcore import PatchCore

SEARCHES: Final = ("exact-float8", "exact-fused", "exact-float16", "flat")
_WARM_UPS: Final = 3
_ROUNDS: Final = 7

Timer = Callable[[Callable[[Callable[[], None]], object]], list[float]]
"""Runs work that is handed a `mark` to call, and gives the milliseconds from each mark to the next."""


def inside(pipeline: object, frames: Sequence[NDArray[np.uint8]]) -> Mapping[str, Any]:
    """`stages_ms` and `search_ms` as JSON values; empty where a pipeline does not compute by CUDA graphs.

    Args:
        pipeline: of the scorer.
        frames: a batch, each (H, W, 3) uint8 BGR.
    """
    if not isinstance(pipeline, CudaPipeline):
        return {}
    with torch.cuda.device(pipeline.steps.device):
        stages = stages_ms(pipeline.steps, frames, by_events)
        return {"stages_ms": stages, "search_ms": searches_ms(pipeline.steps, frames, by_events)}


def stages_ms(steps: HalvedPipeline, frames: Sequence[NDArray[np.uint8]], timer: Timer) -> dict[str, float]:
    """Milliseconds of each of `half.STAGES`, run one after the other; a graph replays them as one.

    Args:
        steps: of the pipeline.
        frames: a batch, each (H, W, 3) uint8 BGR.
        timer: takes the times.
    """
    spent = _median(lambda mark: steps.step_by_step(frames, mark), timer)
    return {stage: round(milliseconds, 4) for stage, milliseconds in zip(STAGES, spent, strict=True)}


def searches_ms(
    steps: HalvedPipeline, frames: Sequence[NDArray[np.uint8]], timer: Timer, kinds: Sequence[str] = SEARCHES
) -> dict[str, float | str]:
    """Milliseconds each kind of search takes for a batch's patches, or why it cannot be had.

    Args:
        steps: of the pipeline.
        frames: a batch, each (H, W, 3) uint8 BGR.
        timer: takes the times.
        kinds: of search, as `HalfSearch` takes them.
    """
    if steps.memory is None:
        return {}
    found: dict[str, float | str] = {}
    with torch.inference_mode():
        queries = steps.features(steps.images(frames)).flatten(0, 2)
        for kind in kinds:
            try:
                found[kind] = _search_ms(steps.memory, kind, queries, timer)
            except InputError as error:
                found[kind] = str(error)
            except RuntimeError as error:
                if not exhausted(error):
                    raise
                found[kind] = "out of memory: " + str(error).partition("\n")[0]
    return found


def _search_ms(detector: PatchCore, kind: str, queries: torch.Tensor, timer: Timer) -> float:
    """Milliseconds of one kind; its copies of the bank are gone before those of the next are made."""
    search = HalfSearch(detector.bank, kind, detector.neighbours, detector.scale)
    (spent,) = _median(_marked(search, queries, detector.neighbours), timer)
    return round(spent, 4)


def by_events(work: Callable[[Callable[[], None]], object]) -> list[float]:
    """A `Timer` by events in the current CUDA stream."""
    events: list[torch.cuda.Event] = []

    def mark() -> None:
        events.append(torch.cuda.Event(enable_timing=True))  # type: ignore[no-untyped-call]
        events[-1].record()

    work(mark)
    events[-1].synchronize()
    return [float(start.elapsed_time(end)) for start, end in pairwise(events)]


def _marked(
    search: HalfSearch, queries: torch.Tensor, neighbours: int
) -> Callable[[Callable[[], None]], object]:
    def work(mark: Callable[[], None]) -> None:
        mark()
        search.search(queries, neighbours)
        mark()

    return work


def _median(work: Callable[[Callable[[], None]], object], timer: Timer) -> list[float]:
    for _ in range(_WARM_UPS):
        timer(work)
    rounds = [timer(work) for _ in range(_ROUNDS)]
    return [statistics.median(of_one) for of_one in zip(*rounds, strict=True)]
