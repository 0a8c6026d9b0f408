"""Times scoring call by call, whatever computes it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_WARM_UP_CALLS: Final = 3
_LEAST_CALLS: Final = 5

Frame = NDArray[np.uint8]
Score = Callable[[Sequence[Frame]], Mapping[str, float]]
"""Scores frames, each (H, W, 3) uint8 BGR, to the end, and returns the milliseconds of each stage."""

Begin = Callable[[Sequence[Frame]], Callable[[], object]]
"""Begins to score frames; the returned call waits until they are."""
_UNDER_WAY: Final = 2


@dataclass(frozen=True)
class Latency:
    """Percentiles of durations, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Latency:
        """The percentiles of at least one duration."""
        p50, p99 = np.percentile(np.asarray(milliseconds, dtype=np.float64), (50, 99))
        return cls(float(p50), float(p99))

    def rounded(self) -> dict[str, float]:
        """As it is printed."""
        return {"p50": round(self.p50, 3), "p99": round(self.p99, 3)}


@dataclass(frozen=True)
class BatchTiming:
    """Times of one batch size.

    Attributes:
        batch: frames in a call.
        calls: calls measured.
        latency: of a whole call, host frames in, scores and heatmaps out.
        images_per_second: over all calls, one after the other; where scoring overlaps, with two batches under
            way, as the daemon scores.
        stages_ms: median of each stage, for the whole call.
    """

    batch: int
    calls: int
    latency: Latency
    images_per_second: float
    stages_ms: dict[str, float]


def time_batches(
    score: Score,
    frames: Sequence[Frame],
    batch: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    *,
    begin: Begin | None = None,
) -> BatchTiming:
    """Score batches one after the other for so long, after a few calls to warm up.

    Args:
        score: the call to time.
        frames: (H, W, 3) uint8 BGR each; taken in turn, so that no two calls in a row see the same ones
            where there are enough of them.
        batch: frames in a call.
        seconds: duration, at least five calls.
        clock: seconds, never running backwards.
        begin: where scoring overlaps.
    """
    for call in range(_WARM_UP_CALLS):
        score(_turn(frames, call, batch))
    durations_ms: list[float] = []
    stages: list[Mapping[str, float]] = []
    began = clock()
    while clock() - began < seconds or len(durations_ms) < _LEAST_CALLS:
        chosen = _turn(frames, len(durations_ms), batch)
        start = clock()
        stages.append(score(chosen))
        durations_ms.append(1000 * (clock() - start))
    rate = 1000 * batch * len(durations_ms) / sum(durations_ms)
    if begin is not None:
        rate = _overlapped_rate(begin, frames, batch, seconds, clock)
    return BatchTiming(batch, len(durations_ms), Latency.of(durations_ms), rate, _medians(stages))


def _overlapped_rate(
    begin: Begin, frames: Sequence[Frame], batch: int, seconds: float, clock: Callable[[], float]
) -> float:
    """Images a second with the next batch begun before the last one is waited for."""
    began, calls = clock(), 0
    under_way: deque[Callable[[], object]] = deque()
    while clock() - began < seconds or calls < _LEAST_CALLS:
        under_way.append(begin(_turn(frames, calls, batch)))
        calls += 1
        if len(under_way) == _UNDER_WAY:
            under_way.popleft()()
    for collect in under_way:
        collect()
    return batch * calls / (clock() - began)


def summary(timings: Sequence[BatchTiming]) -> dict[str, Any]:
    """All figures as JSON values; `single_ms` and `stages_ms` are of the smallest batch."""
    first = min(timings, key=lambda timing: timing.batch)
    return {
        "single_ms": first.latency.rounded(),
        "stages_ms": first.stages_ms,
        "images_per_second": {str(t.batch): round(t.images_per_second, 1) for t in timings},
        "latency_ms_by_batch": {str(t.batch): t.latency.rounded() for t in timings},
        "stages_ms_by_batch": {str(t.batch): t.stages_ms for t in timings},
        "calls_by_batch": {str(t.batch): t.calls for t in timings},
    }


def _turn(frames: Sequence[Frame], call: int, batch: int) -> list[Frame]:
    return [frames[(call * batch + i) % len(frames)] for i in range(batch)]


def _medians(stages: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = list(dict.fromkeys(name for measured in stages for name in measured))
    return {
        name: round(float(np.median([measured.get(name, 0.0) for measured in stages])), 3) for name in names
    }
