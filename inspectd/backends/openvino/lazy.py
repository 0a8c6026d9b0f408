"""Exact search that skips the patches an image's score cannot depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as op

from inspectd.backends.openvino.exact import LENGTHS, ExactIndex, Expansion, product
from inspectd.backends.openvino.runtime import compiled
from inspectd.model.lists import blocks

_SLACK: Final = 1.0 + 3e-6
AT_ONCE: Final = 64
"""Patches searched for together: fewer take hardly less time, and one shape of model is faster than any."""

Heatmap = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The heatmap (h, w) of an image's distances (h * w, k)."""


class PlaceBounds:
    """Upper bounds of an image's distances: each patch's to the rows in its place's list alone.

    Args:
        expansion: of the bank.
        lists: (B, L) integers, rows for each of `model.lists.blocks`.
        grid: height and width of an image's patches.
        neighbours: nearest rows to find, at most L.
        threads: CPU threads.
    """

    def __init__(
        self,
        expansion: Expansion,
        lists: NDArray[np.integer],
        grid: tuple[int, int],
        neighbours: int,
        threads: int,
    ) -> None:
        self._blocks = blocks(*grid)
        self._expansion = expansion
        columns = self._expansion.columns(lists)
        # What is added to the squared distance is never negative; rounding must not make a bound too small.
        columns[:, -LENGTHS:] *= _SLACK
        patches = op.parameter([*self._blocks.shape, columns.shape[1]], np.float32, name="patches")
        squared = product(patches, op.constant(np.ascontiguousarray(columns)))
        nearest = op.topk(squared, op.constant(np.int32(neighbours)), 2, "min", "value")
        distances = op.sqrt(op.relu(nearest.output(0)))
        model = openvino.Model([distances], [patches], "bounds")
        self._request = compiled(model, "float32", threads).create_infer_request()

    def search(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bounds (h * w, k) float32, ascending, of an image's patches (h * w, D)."""
        self._request.infer([self._expansion.queries(queries)[self._blocks]], share_inputs=True)
        found = self._request.get_output_tensor(0).data
        bounds = np.empty((len(queries), found.shape[2]), dtype=np.float32)
        bounds[self._blocks] = found
        return bounds


@dataclass(frozen=True)
class Windows:
    """The patches that an image's score depends on.

    Attributes:
        grid: height and width of an image's patches.
        reach: patches to each side that a place of the heatmap is smoothed from.
        scored: (h * w,) bool, places that can make the score.
        top: the score is the mean of so many largest places.
    """

    grid: tuple[int, int]
    reach: int
    scored: NDArray[np.bool_]
    top: int

    def wanted(self, heatmap: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Patches whose distances must be known before the score is; none where it is.

        Where no place of a heatmap is too low, its largest places are the true ones once all they depend on
        is known. More patches than are needed are those of the next places, as they cost little.

        Args:
            heatmap: (h, w) float32, of known distances and upper bounds.
            known: (h * w,) bool, patches whose distances are known.
        """
        order = np.argsort(-heatmap, axis=None, kind="stable")
        order = order[self.scored[order]]
        needed = self._around(order[: self.top]) & ~known
        count = int(needed.sum())
        if not count:
            return np.flatnonzero(needed)
        # As many again as are known: of a part that is odd everywhere, few heatmaps are made.
        most = max(count + -count % AT_ONCE, int(known.sum()))
        others = order[~(known | needed)[order]]
        return np.concatenate([np.flatnonzero(needed), others[: most - count]])

    def _around(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask (h * w,) of the patches that some places are smoothed from."""
        mask = np.zeros(self.grid, dtype=bool)
        for row, column in zip(*np.unravel_index(places, self.grid), strict=True):
            low, left = max(0, row - self.reach), max(0, column - self.reach)
            mask[low : row + self.reach + 1, left : column + self.reach + 1] = True
        return mask.reshape(-1)


class LazySearch:
    """Bounds for all patches, and exact distances for those that decide an image's score.

    The score is that of an exact search of all patches; the heatmap is nowhere lower than by such a search,
    and equal where the score comes from.

    Args:
        bounds: by place.
        exact: of the whole bank, `AT_ONCE` patches at a time.
        windows: of the head.
    """

    kind: ClassVar[str] = "exact-lazy"

    def __init__(self, bounds: PlaceBounds, exact: ExactIndex, windows: Windows) -> None:
        self._bounds = bounds
        self._exact = exact
        self._windows = windows

    def search(self, queries: NDArray[np.float32], heatmap: Heatmap) -> int:
        """Find distances until the score that `heatmap` has last made of them is exact.

        Args:
            queries: (h * w, D) float32, an image's patches.
            heatmap: called with distances (h * w, k) float32, relative: known ones and upper bounds.

        Returns:
            Number of patches that were searched for in the whole bank, each once.
        """
        distances = self._bounds.search(queries)
        known = np.zeros(len(queries), dtype=bool)
        while len(wanted := self._windows.wanted(heatmap(distances), known)):
            for start in range(0, len(wanted), AT_ONCE):
                part = wanted[start : start + AT_ONCE]
                # The last part is filled up with patches from its beginning.
                found, _ = self._exact.search(queries[np.resize(part, AT_ONCE)])
                distances[part] = found[: len(part)]
            known[wanted] = True
        return int(known.sum())
