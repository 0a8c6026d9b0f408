"""Which search a machine runs fastest for a bank: measured, not guessed."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from inspectd.processor import cpu_threads, has_bfloat16
from inspectd.search.candidates import Candidates, wanted
from inspectd.search.compiled import CompiledSearch
from inspectd.search.faiss_search import FaissSearch

Kind = Literal["auto", "exact", "flat", "ivf", "hnsw"]

MOST_ROWS_EXACT: Final = 8_000
"""Up to here auto tries exact kinds only: inverted lists gain little in a bank so small."""
LEAST_RECALL: Final = 0.999
"""Share of neighbours that must be the nearest, or within 1 % of its distance, for auto to take a kind."""
_ROUNDS: Final = 5
_RECALL_IMAGES: Final = 4
"""Images' worth of points that recall is measured on; fewer show no 99.9 %."""
_NEARBY: Final = 32
_CLEARLY: Final = 0.9
"""A kind named later must take less than this share of the time: measurements are noisy."""


@dataclass(frozen=True)
class SearchChoice:
    """What searches, and why.

    Attributes:
        kind: such as `exact-bfloat16` or `ivf`.
        search_ms: for one image, by kind measured; empty where nothing was measured.
        recall: share of neighbours that are the nearest row or within 1 % of its distance.
    """

    kind: str
    search_ms: dict[str, float]
    recall: float


def make_search(
    kind: str, bank: NDArray[np.float32], queries: int, neighbours: int, threads: int
) -> Candidates:
    """A search of a kind that is not `auto`.

    Args:
        kind: `exact` (bfloat16 where the processor has it), `exact-bfloat16`, `exact-float32`, `flat`,
            `ivf` or `hnsw`.
        bank: (M, D) float32.
        queries: patches of an image.
        neighbours: nearest rows wanted for each.
        threads: CPU threads; 0: one per core.

    Raises:
        InputError: the kind needs a package that is not installed.
    """
    count, use = wanted(neighbours, len(bank)), cpu_threads(threads)
    if kind in ("exact", "exact-bfloat16", "exact-float32"):
        fast = has_bfloat16() if kind == "exact" else kind == "exact-bfloat16"
        return CompiledSearch(bank, queries, count, "bfloat16" if fast else "float32", use)
    return FaissSearch(kind, bank, count, use)


def measure(
    kinds: Sequence[str],
    bank: NDArray[np.float32],
    queries: int,
    neighbours: int,
    threads: int,
    *,
    any_recall: bool = False,
) -> tuple[Candidates, SearchChoice]:
    """The fastest of some kinds that finds what there is to find, on `perturbed` rows of the bank itself.

    Args:
        kinds: as `make_search` takes them.
        bank: (M, D) float32.
        queries: patches of an image.
        neighbours: nearest rows wanted for each.
        threads: CPU threads; 0: one per core.
        any_recall: take the fastest however much it misses.
    """
    images = np.split(perturbed(bank, queries * _RECALL_IMAGES), _RECALL_IMAGES)
    searches = [make_search(kind, bank, queries, neighbours, threads) for kind in kinds]
    recalls = [
        float(np.mean([recall_of(search.find(points)[:, 0], points, bank) for points in images]))
        for search in searches
    ]
    times = _milliseconds(searches, images[0])
    chosen: int | None = None
    for position, recall in enumerate(recalls):
        better = chosen is None or times[position] < _CLEARLY * times[chosen]
        if better and (any_recall or recall >= LEAST_RECALL):
            chosen = position
    measured = {search.kind: spent for search, spent in zip(searches, times, strict=True)}
    if chosen is None:
        search = make_search("exact-float32", bank, queries, neighbours, threads)
        return search, SearchChoice(search.kind, measured, 1.0)
    return searches[chosen], SearchChoice(searches[chosen].kind, measured, recalls[chosen])


def kinds_to_try(rows: int) -> list[str]:
    """What `auto` measures for a bank of so many rows."""
    exact = ["exact-bfloat16", "exact-float32"] if has_bfloat16() else ["exact-float32"]
    return [*exact, "ivf"] if rows > MOST_ROWS_EXACT and is_installed("ivf") else exact


def is_installed(kind: str) -> bool:
    """Whether what a kind computes with is there."""
    return kind.startswith("exact") or importlib.util.find_spec("faiss") is not None


def perturbed(bank: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(count, D) float32 points that stand for a new image's patches.

    Each lies off one of the M rows by most of the difference of two rows near it, as a good part differs from
    what is remembered of good parts. What inverted lists miss of such points is what they miss of real
    patches, or a little more; of points halfway between any two rows they miss many times that.
    """
    generator = np.random.default_rng(0)
    own = generator.integers(len(bank), size=count)
    norms, reach = np.square(bank).sum(axis=1), min(_NEARBY, len(bank))
    pairs = np.empty((count, 2), dtype=np.int64)
    for block in np.array_split(np.arange(count), max(1, count // 256)):
        distances = norms - 2.0 * (bank[own[block]] @ bank.T)
        near = np.argpartition(distances, reach - 1, axis=1)[:, :reach]
        chosen = generator.integers(reach, size=(len(block), 2))
        pairs[block] = np.take_along_axis(near, chosen, axis=1)
    share = generator.uniform(0.6, 0.9, (count, 1)).astype(np.float32)
    return np.ascontiguousarray(bank[own] + share * (bank[pairs[:, 0]] - bank[pairs[:, 1]]))


def recall_of(rows: NDArray[np.int32], points: NDArray[np.float32], bank: NDArray[np.float32]) -> float:
    """Share of rows (Q,) found for points (Q, D) that are the nearest or within 1 % of its distance."""
    norms = np.square(bank).sum(axis=1)
    nearest = np.concatenate(
        [
            (norms - 2.0 * (block @ bank.T)).argmin(axis=1)
            for block in np.array_split(points, max(1, len(points) // 256))
        ]
    )
    found = np.linalg.norm(points - bank[rows], axis=1)
    best = np.linalg.norm(points - bank[nearest], axis=1)
    return float(((rows == nearest) | (found <= 1.01 * best + 1e-6)).mean())


def _milliseconds(searches: Sequence[Candidates], points: NDArray[np.float32]) -> list[float]:
    """The least time of each, taken in turns: a disturbance then slows all of them, or none for good."""
    spent: list[list[float]] = [[] for _ in searches]
    for _ in range(_ROUNDS):
        for search, own in zip(searches, spent, strict=True):
            start = time.perf_counter()
            search.find(points)
            own.append(1e3 * (time.perf_counter() - start))
    return [min(own) for own in spent]
