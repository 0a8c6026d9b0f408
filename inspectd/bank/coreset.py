"""Greedy k-center coreset, exact and fast (Roth et al., CVPR 2022, algorithm 1; Gonzalez, 1985)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

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


def greedy_coreset(
    points: torch.Tensor, count: int, seed: int, progress: Progress | None = None
) -> torch.Tensor:
    """Choose `count` points: first a random one, then always the one farthest from those chosen.

    Every point keeps an upper bound of its distance to the nearest centre. The points with the largest
    bounds are candidates; greedy runs among them alone for as long as the best of them is farther than
    every bound outside, for then it is the farthest of all. After that all bounds are brought up to date
    against the new centres with one blocked matrix product. The choice is that of the plain loop.

    Args:
        points: (N, D) float32 or float16 on any device.
        count: number to choose, 1 to N.
        seed: names the first point.
        progress: called with the number of centres chosen.

    Returns:
        (count,) int64 on the CPU: rows of `points` in the order they were chosen.
    """
    total = points.shape[0]
    if not 1 <= count <= total:
        raise ValueError(f"cannot choose {count} of {total} points")
    chosen = [int(np.random.default_rng(seed).integers(total))]
    state = _Bounds(points, origin=points[chosen[0]])
    state.add(chosen)
    width = _FEWEST_CANDIDATES
    while len(chosen) < count:
        picked = _greedy_among(*state.candidates(width), count - len(chosen))
        state.add(picked)
        chosen += picked
        width = _next_width(width, len(picked))
        if progress is not None:
            progress(len(chosen))
    return torch.tensor(chosen, dtype=torch.int64)


def _next_width(width: int, picked: int) -> int:
    """More candidates while they last, fewer where few of them are used."""
    if picked * 4 > width:
        return min(width * 2, _MOST_CANDIDATES)
    return max(width // 2, _FEWEST_CANDIDATES) if picked * 32 < width else width


class _Bounds:
    """Upper bounds of every point's squared distance to the nearest centre."""

    def __init__(self, points: torch.Tensor, origin: torch.Tensor) -> None:
        self._points = points
        # Close to the origin ||x||^2 + ||c||^2 - 2 x.c loses little precision.
        self._origin = origin.float()
        self._bounds = torch.full((points.shape[0],), torch.inf, device=points.device)
        self._budget = _CPU_BLOCK_BYTES if points.device.type == "cpu" else _CUDA_BLOCK_BYTES

    def add(self, centres: list[int]) -> None:
        """Bring all bounds up to date against new centres."""
        rows = torch.tensor(centres, device=self._points.device)
        added = self._points[rows].float() - self._origin
        norms = added.square().sum(dim=1)
        columns = added.T.contiguous()
        block = max(256, self._budget // (4 * len(centres)))
        for start in range(0, len(self._points), block):
            part = self._points[start : start + block].float() - self._origin
            nearest = torch.addmm(norms, part, columns, alpha=-2.0).amin(dim=1)
            nearest += part.square().sum(dim=1)
            bounds = self._bounds[start : start + block]
            torch.minimum(bounds, nearest.clamp_(min=0), out=bounds)
        self._bounds[rows] = -torch.inf  # never chosen twice

    def candidates(self, width: int) -> tuple[Array, Array, Array, float]:
        """The `width` farthest points: rows, mutual distances, bounds; and the largest bound outside."""
        width = min(width, len(self._bounds))
        outside = -np.inf
        if width < len(self._bounds):
            outside = float(torch.topk(self._bounds, width + 1).values[-1])
            rows = torch.nonzero(self._bounds > outside).flatten()
            if len(rows) == 0:  # all tied: the lowest row is the plain loop's choice
                rows = torch.nonzero(self._bounds == outside)[:1].flatten()
        else:
            rows = torch.arange(width, device=self._bounds.device)
        values = self._points[rows].float() - self._origin
        norms = values.square().sum(dim=1)
        # One product for all pairs: a small one for every choice costs more where cores are busy.
        distances = torch.addmm(norms, values, values.T, alpha=-2.0).add_(norms[:, None])
        return rows.cpu().numpy(), distances.cpu().numpy(), self._bounds[rows].cpu().numpy(), outside


def _greedy_among(rows: Array, distances: Array, bounds: Array, outside: float, most: int) -> list[int]:
    """The plain loop among candidates, for as long as its choice is certain to be the farthest of all.

    Args:
        rows: (K,) int64, ascending.
        distances: (K, K) float32, squared, between all of them.
        bounds: (K,) float32, exact squared distances to the nearest centre.
        outside: the largest bound of any other point.
        most: number that may still be chosen.
    """
    bounds = bounds.copy()
    picked: list[int] = []
    while len(picked) < most:
        best = int(bounds.argmax())
        if picked and bounds[best] <= outside:
            break
        picked.append(int(rows[best]))
        np.minimum(bounds, distances[best], out=bounds)
        bounds[best] = -np.inf
    return picked
