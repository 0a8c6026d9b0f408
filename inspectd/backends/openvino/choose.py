"""Measures which search is fastest for a bank on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.openvino.candidates import CandidateIndex
from inspectd.backends.openvino.exact import ExactIndex
from inspectd.backends.openvino.faiss_index import FaissIndex, has_faiss
from inspectd.backends.openvino.rescan import RescanOutliers
from inspectd.backends.openvino.runtime import cpu_threads, has_bfloat16
from inspectd.backends.shortlist import shortlist

MOST_ROWS_EXACT: Final = 8_000
"""Up to here auto tries exact kinds only: inverted lists gain little in a bank so small."""
LEAST_RECALL: Final = 0.999
"""Share of neighbours that must be the nearest, or within 1 % of its distance, for auto to take a kind."""
_ROUNDS: Final = 5
_RECALL_POINTS: Final = 4096
"""Points that recall is measured on, rounded to whole images; fewer cannot show 99.9 %."""
_NEARBY: Final = 32
_NEAR: Final = (0.6, 0.9)
_FAR: Final = (0.9, 5.0)
"""Offsets of a good part's patches, and of a defect's, from the bank, in differences of near rows."""
_AT_ONCE: Final = 4_000_000
"""Distances held at a time."""
_CLEARLY: Final = 0.9
"""A kind named later must take less than this share of the time: measurements are noisy."""


@dataclass(frozen=True)
class SearchChoice:
    """The chosen search, and the measurements it rests on.

    Attributes:
        kind: such as `exact-bfloat16` or `ivf`.
        search_ms: for one image, by kind measured; empty where nothing was measured.
        recall: the smaller of two shares. Of points as near as a good part's patches, those whose row is at
            most 1.01 times as far as the nearest and scores no lower. Of points farther off, those whose row
            scores no lower, by less than 1 %.
    """

    kind: str
    search_ms: dict[str, float]
    recall: float


def make_search(
    kind: str,
    bank: NDArray[np.float32],
    queries: int,
    neighbours: int,
    threads: int,
    *,
    spacing: NDArray[np.float32] | None,
) -> CandidateIndex:
    """A search of a kind that is not `auto`.

    Args:
        kind: `exact` (bfloat16 where the processor has it), `exact-bfloat16`, `exact-float32`, `flat`,
            `ivf` or `hnsw`.
        bank: (M, D) float32.
        queries: patches of an image.
        neighbours: nearest rows wanted for each.
        threads: CPU threads; 0: one per core.
        spacing: (M,) float32, what distances to each row are divided by; None: nothing.

    Raises:
        InputError: the kind needs a package that is not installed.
    """
    count, use = shortlist(neighbours, len(bank)), cpu_threads(threads)
    if kind in ("exact", "exact-bfloat16", "exact-float32"):
        fast = has_bfloat16() if kind == "exact" else kind == "exact-bfloat16"
        return ExactIndex(bank, queries, count, "bfloat16" if fast else "float32", use)
    search = FaissIndex(kind, bank, count, use)
    if spacing is None or not search.approximate:
        return search
    return RescanOutliers(search, bank, spacing, count, use)


def measure(
    kinds: Sequence[str],
    bank: NDArray[np.float32],
    queries: int,
    neighbours: int,
    threads: int,
    *,
    spacing: NDArray[np.float32] | None = None,
    any_recall: bool = False,
) -> tuple[CandidateIndex, SearchChoice]:
    """Choose the fastest kind whose recall suffices, on `perturbed` rows of the bank itself.

    A kind named later has to be clearly faster. Where the recall of none suffices, `exact-float32` is taken.

    Args:
        kinds: as `make_search` takes them.
        bank: (M, D) float32.
        queries: patches of an image.
        neighbours: nearest rows wanted for each.
        threads: CPU threads; 0: one per core.
        spacing: (M,) float32, what distances to each row are divided by; None: nothing.
        any_recall: take the fastest however much it misses.
    """
    images = max(1, round(_RECALL_POINTS / queries))
    near, far = (
        [
            RecallTrial.of(points, bank)
            for points in np.split(perturbed(bank, queries * images, shares), images)
        ]
        for shares in (_NEAR, _FAR)
    )
    searches = [make_search(kind, bank, queries, neighbours, threads, spacing=spacing) for kind in kinds]
    recalls = [
        min(
            float(np.mean([t.recall(search.search(t.points)[:, 0], bank, spacing) for t in near])),
            float(np.mean([t.share_not_lower(search.search(t.points)[:, 0], bank, spacing) for t in far])),
        )
        for search in searches
    ]
    times = _milliseconds(searches, near[0].points)
    chosen: int | None = None
    for position, recall in enumerate(recalls):
        better = chosen is None or times[position] < _CLEARLY * times[chosen]
        if better and (any_recall or recall >= LEAST_RECALL):
            chosen = position
    measured = {search.kind: spent for search, spent in zip(searches, times, strict=True)}
    if chosen is None:
        search = make_search("exact-float32", bank, queries, neighbours, threads, spacing=spacing)
        return search, SearchChoice(search.kind, measured, 1.0)
    return searches[chosen], SearchChoice(searches[chosen].kind, measured, recalls[chosen])


def kinds_to_try(rows: int) -> list[str]:
    """Kinds that `auto` measures for a bank of so many rows."""
    exact = ["exact-bfloat16", "exact-float32"] if has_bfloat16() else ["exact-float32"]
    return [*exact, "ivf"] if rows > MOST_ROWS_EXACT and is_installed("ivf") else exact


def is_installed(kind: str) -> bool:
    """Whether the package that a kind computes with is installed."""
    return kind.startswith("exact") or has_faiss()


def perturbed(
    bank: NDArray[np.float32], count: int, shares: tuple[float, float] = _NEAR
) -> NDArray[np.float32]:
    """(count, D) float32 points that stand for a new image's patches.

    Each lies off one of the M rows by most of the difference of two rows near it, as a good part differs from
    what is remembered of good parts. What inverted lists miss of such points is what they miss of real
    patches, or a little more; of points halfway between any two rows they miss many times that.

    Args:
        bank: (M, D) float32.
        count: points.
        shares: least and most of the difference.
    """
    generator = np.random.default_rng(0)
    own = generator.integers(len(bank), size=count)
    reach = min(_NEARBY, len(bank))
    pairs = np.empty((count, 2), dtype=np.int64)
    for block, distances in _distances(bank[own], bank):
        near = np.argpartition(distances, reach - 1, axis=1)[:, :reach]
        chosen = generator.integers(reach, size=(len(near), 2))
        pairs[block] = np.take_along_axis(near, chosen, axis=1)
    share = generator.uniform(*shares, (count, 1)).astype(np.float32)
    return np.ascontiguousarray(bank[own] + share * (bank[pairs[:, 0]] - bank[pairs[:, 1]]))


@dataclass(frozen=True)
class RecallTrial:
    """Points and their true nearest rows, to measure a search's recall.

    Attributes:
        points: (Q, D) float32.
        nearest: (Q,) int64, the row of the bank that is nearest to each.
    """

    points: NDArray[np.float32]
    nearest: NDArray[np.int64]

    @classmethod
    def of(cls, points: NDArray[np.float32], bank: NDArray[np.float32]) -> RecallTrial:
        """Search a bank (M, D) for points (Q, D), one by one."""
        return cls(points, np.concatenate([d.argmin(axis=1) for _, d in _distances(points, bank)]))

    def recall(
        self, rows: NDArray[Any], bank: NDArray[np.float32], spacing: NDArray[np.float32] | None = None
    ) -> float:
        """Share of rows (Q,) found that are the nearest, or within 1 % of its distance and score no lower."""
        found, best = self._found(rows, bank), self._found(self.nearest, bank)
        close = found <= 1.01 * best + 1e-6
        return float((close & self._not_lower(rows, found, best, spacing)).mean())

    def share_not_lower(
        self, rows: NDArray[Any], bank: NDArray[np.float32], spacing: NDArray[np.float32] | None = None
    ) -> float:
        """Share of rows (Q,) found by which a point scores no lower than by the nearest, or by less than 1 %.

        A row that is farther makes a point odder, but where distances are divided by the bank's own spacing
        it may make it less odd, and a defect could pass for it.
        """
        found, best = self._found(rows, bank), self._found(self.nearest, bank)
        return float(self._not_lower(rows, found, best, spacing).mean())

    def _found(self, rows: NDArray[Any], bank: NDArray[np.float32]) -> NDArray[np.float32]:
        distances: NDArray[np.float32] = np.linalg.norm(self.points - bank[rows], axis=1)
        return distances

    def _not_lower(
        self,
        rows: NDArray[Any],
        found: NDArray[np.float32],
        best: NDArray[np.float32],
        spacing: NDArray[np.float32] | None,
    ) -> NDArray[np.bool_]:
        if spacing is None:
            return np.asarray(found >= 0.99 * best - 1e-6)
        same = rows == self.nearest
        return np.asarray(same | (found / spacing[rows] >= 0.99 * best / spacing[self.nearest]))


def _distances(
    points: NDArray[np.float32], bank: NDArray[np.float32]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Blocks of points, and their squared distances to every row less the points' own squared lengths."""
    norms, rows = np.square(bank).sum(axis=1), max(1, _AT_ONCE // len(bank))
    for start in range(0, len(points), rows):
        block = slice(start, start + rows)
        yield block, norms - 2.0 * (points[block] @ bank.T)


def _milliseconds(searches: Sequence[CandidateIndex], points: NDArray[np.float32]) -> list[float]:
    """The least time of each, taken in turns: a disturbance then slows all of them, or none for good."""
    spent: list[list[float]] = [[] for _ in searches]
    for _ in range(_ROUNDS):
        for search, own in zip(searches, spent, strict=True):
            start = time.perf_counter()
            search.search(points)
            own.append(1e3 * (time.perf_counter() - start))
    return [min(own) for own in spent]
