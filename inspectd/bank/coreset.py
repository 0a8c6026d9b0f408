"""Greedy k-center coreset, exact and fast (Roth et al., CVPR 2022, algorithm 1; Gonzalez, 1985).

The points may lie in several parts, each with a worker of its own (`bank.coreset_workers`): what is chosen
does not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

Progress = Callable[[int], None]
"""Called with the number of centres chosen so far."""

Array = NDArray[Any]

_FEWEST_CANDIDATES: Final = 256
_MOST_CANDIDATES: Final = 2048
_CPU_BLOCK_BYTES: Final = 1 << 20
_CUDA_BLOCK_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class Centres:
    """Points that were chosen.

    Attributes:
        rows: their numbers among all points.
        values: (n, D) float32.
    """

    rows: list[int]
    values: torch.Tensor


@dataclass(frozen=True)
class Candidates:
    """The points of a part that lie farthest from all centres.

    Attributes:
        rows: (K,) int64, ascending, their numbers among all points.
        values: (K, D) float32.
        bounds: (K,) float32, squared distances to the nearest centre.
        outside: the largest of these of any other point of the part; -inf: there is none.
    """

    rows: Array
    values: torch.Tensor
    bounds: Array
    outside: float


class Part(Protocol):
    """Some of the points, which never move, wherever they are.

    Attributes:
        stop: number, among all points, of the first one behind this part.
    """

    stop: int

    def value(self, row: int) -> torch.Tensor:
        """One of its points, (D,) float32, by its number among all."""

    def begin(self, origin: torch.Tensor) -> None:
        """Forget all centres; distances are measured from an origin (D,) float32."""

    def ask(self, added: Centres, width: int) -> None:
        """Have new centres taken in; `answer` gives its `width` farthest points then."""

    def answer(self) -> Candidates:
        """What was asked for."""


@dataclass(frozen=True)
class Coreset:
    """Chosen points.

    Attributes:
        rows: (count,) int64 on the CPU, their numbers in the order they were chosen.
        values: (count, D) float32.
        radius: the largest distance of any point to the nearest of these. That of the best choice of as many
            points is at least half of it: these and the farthest point are all at least `radius` apart, and
            two of them would share a centre (Gonzalez, 1985).
    """

    rows: torch.Tensor
    values: torch.Tensor
    radius: float


def greedy_coreset(
    points: torch.Tensor, count: int, seed: int, progress: Progress | None = None
) -> torch.Tensor:
    """Rows (count,) int64 on the CPU of points (N, D), chosen by `greedy_over`."""
    return coreset_of(points, count, seed, progress).rows


def coreset_of(points: torch.Tensor, count: int, seed: int, progress: Progress | None = None) -> Coreset:
    """Choose `count` of points (N, D) float32 or float16 on any device; see `greedy_over`."""
    total = points.shape[0]
    if not 1 <= count <= total:
        raise ValueError(f"cannot choose {count} of {total} points")
    return greedy_over([PointsHere(points)], first_of(total, seed), count, progress)


def first_of(total: int, seed: int) -> int:
    """The point, of so many, that a seed names."""
    return int(np.random.default_rng(seed).integers(total))


def greedy_over(parts: Sequence[Part], first: int, count: int, progress: Progress | None = None) -> Coreset:
    """Choose `count` points: a first one, then always the one farthest from those chosen.

    Every point keeps an upper bound of its distance to the nearest centre. The points with the largest
    bounds of each part are candidates; greedy runs among them alone for as long as the best of them is
    farther than every bound outside, in any part, for then it is the farthest of all. After that all bounds
    are brought up to date against the new centres with one blocked matrix product. The choice is that of the
    plain loop; of equally far points the first is taken.

    Args:
        parts: all points, one part behind the other.
        first: number of the first centre.
        count: number to choose, at most as many as there are.
        progress: called with the number of centres chosen.
    """
    origin = next(part for part in parts if first < part.stop).value(first)
    for part in parts:
        part.begin(origin)
    added = Centres([first], origin[None])
    rows, values, width = [first], [added.values], _FEWEST_CANDIDATES
    while len(rows) < count:
        candidates = _asked(parts, added, width)
        added = _picked(candidates, origin, count - len(rows))
        rows += added.rows
        values.append(added.values)
        width = _next_width(width, len(added.rows))
        if progress is not None:
            progress(len(rows))
    farthest = _asked(parts, added, 1)
    squared = max(farthest.outside, *farthest.bounds) if len(farthest.bounds) else farthest.outside
    return Coreset(torch.tensor(rows, dtype=torch.int64), torch.cat(values), math.sqrt(max(0.0, squared)))


def _asked(parts: Sequence[Part], added: Centres, width: int) -> Candidates:
    """Of so many candidates of all parts together those that are farther than everything outside."""
    for part in parts:
        part.ask(added, -(-width // len(parts)))
    answers = [part.answer() for part in parts]
    outside = max(answer.outside for answer in answers)
    rows = np.concatenate([answer.rows for answer in answers])
    bounds = np.concatenate([answer.bounds for answer in answers])
    kept = bounds > outside
    if not kept.any() and len(bounds):  # all tied: the lowest row is the plain loop's choice
        kept[bounds.argmax()] = True
    values = torch.cat([answer.values for answer in answers])
    return Candidates(rows[kept], values[torch.from_numpy(kept).to(values.device)], bounds[kept], outside)


def _picked(candidates: Candidates, origin: torch.Tensor, most: int) -> Centres:
    """The plain loop among candidates, for as long as its choice is certain to be the farthest of all."""
    centred = candidates.values - origin
    norms = centred.square().sum(dim=1)
    # One product for all pairs: a small one for every choice costs more where cores are busy.
    distances = torch.addmm(norms, centred, centred.T, alpha=-2.0).add_(norms[:, None]).cpu().numpy()
    bounds = candidates.bounds.copy()
    picked: list[int] = []
    while len(picked) < min(most, len(bounds)):
        best = int(bounds.argmax())
        if picked and bounds[best] <= candidates.outside:
            break
        picked.append(best)
        np.minimum(bounds, distances[best], out=bounds)
        bounds[best] = -np.inf
    rows = torch.tensor(picked, device=candidates.values.device)
    return Centres([int(candidates.rows[row]) for row in picked], candidates.values[rows])


def _next_width(width: int, picked: int) -> int:
    """More candidates while they last, fewer where few of them are used."""
    if picked * 4 > width:
        return min(width * 2, _MOST_CANDIDATES)
    return max(width // 2, _FEWEST_CANDIDATES) if picked * 32 < width else width


class PointsHere:
    """A part in this process.

    Args:
        points: (N, D) float32 or float16 on any device.
        start: number of the first one among all.
        left_out: slices of `points` that are never chosen.
    """

    def __init__(self, points: torch.Tensor, start: int = 0, left_out: Sequence[slice] = ()) -> None:
        self.stop = start + len(points)
        self.points = points
        self._start = start
        self._left_out = left_out
        self._bounds = torch.empty(len(points), device=points.device)
        self._origin = torch.empty(0)
        self._width = 0
        self._budget = _CPU_BLOCK_BYTES if points.device.type == "cpu" else _CUDA_BLOCK_BYTES

    def value(self, row: int) -> torch.Tensor:
        """See `Part.value`."""
        return self.points[row - self._start].float()

    def begin(self, origin: torch.Tensor) -> None:
        """See `Part.begin`."""
        # Close to the origin ||x||^2 + ||c||^2 - 2 x.c loses little precision.
        self._origin = origin
        self._bounds.fill_(torch.inf)
        for rows in self._left_out:
            self._bounds[rows] = -torch.inf

    def ask(self, added: Centres, width: int) -> None:
        """See `Part.ask`."""
        self.add(added)
        self._width = width

    def add(self, added: Centres) -> None:
        """Bring all bounds up to date against new centres."""
        centred = added.values - self._origin
        norms = centred.square().sum(dim=1)
        columns = centred.T.contiguous()
        # Dimensions count too: for one centre, distances alone would make blocks of 262,144 points.
        block = max(256, self._budget // (4 * max(centred.shape)))
        for start in range(0, len(self.points), block):
            part = self.points[start : start + block].float() - self._origin
            nearest = torch.addmm(norms, part, columns, alpha=-2.0).amin(dim=1)
            nearest += part.square().sum(dim=1)
            bounds = self._bounds[start : start + block]
            torch.minimum(bounds, nearest.clamp_(min=0), out=bounds)
        own = [row - self._start for row in added.rows if self._start <= row < self.stop]
        self._bounds[torch.tensor(own, dtype=torch.int64, device=self._bounds.device)] = -torch.inf

    def answer(self) -> Candidates:
        """See `Part.answer`."""
        rows, bounds, outside = self.farthest(self._width)
        own = torch.from_numpy(rows - self._start).to(self.points.device)
        return Candidates(rows, self.points[own].float(), bounds, outside)

    def farthest(self, width: int) -> tuple[Array, Array, float]:
        """`Candidates` without their values; fewer than `width` where some are tied."""
        if width >= len(self._bounds):
            outside = -math.inf
        else:
            outside = float(torch.topk(self._bounds, width + 1).values[-1])
        rows = torch.nonzero(self._bounds > outside).flatten()
        if len(rows) == 0 and outside > -math.inf:  # all tied
            rows = torch.nonzero(self._bounds == outside)[:1].flatten()
        return rows.cpu().numpy() + self._start, self._bounds[rows].cpu().numpy(), outside
