"""faiss's searches on a CPU: flat (exact), IVF and HNSW (approximate)."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.shortlist import Shortlist
from inspectd.errors import InputError
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.search")
_LISTS_PER_ROOT: Final = 0.75
"""Inverted lists for each square root of the rows."""
_PROBED_SHARE: Final = 1 / 4
"""Of the lists."""
_DIMS_PER_CODE: Final = 2
"""Dimensions that four bits stand for."""
_REFINED: Final = 8
"""Rows measured again in float32 for each candidate: 32 where one neighbour is wanted."""
_TRAINING_POINTS: Final = 64
"""For each centroid; more find no better centroids and take seconds at every load."""
_SCANNED_FOR_ONE: Final = 4
"""Rows in the scanned lists for each that is measured again; a bank with fewer is searched whole."""
_LINKS: Final = 32
_BEAM: Final = 96


class FaissIndex:
    """A faiss index of a bank.

    Args:
        kind: `flat`, `ivf` or `hnsw`.
        bank: (M, D) float32.
        shortlist: its `k` rows are proposed.
        threads: CPU threads.

    Raises:
        InputError: faiss is not installed.
    """

    def __init__(self, kind: str, bank: NDArray[np.float32], shortlist: Shortlist, threads: int) -> None:
        self.kind = kind
        self.approximate = kind != "flat"
        self.proposed = shortlist.k  # faiss orders what it returns by distances in float32
        self._index = _index(kind, np.ascontiguousarray(bank), shortlist, threads)

    def search(self, queries: NDArray[np.float32]) -> NDArray[np.int32]:
        """See `CandidateIndex.search`."""
        rows = self._index.search(queries, self.proposed)[1]
        # An index that finds fewer rows than asked for fills up with -1; the farthest it found stands in.
        last = np.maximum((rows >= 0).sum(axis=1, keepdims=True) - 1, 0)
        farthest = np.maximum(np.take_along_axis(rows, last, axis=1), 0)
        filled: NDArray[np.int32] = np.where(rows < 0, farthest, rows).astype(np.int32)
        return filled


def has_faiss() -> bool:
    """Whether faiss is installed and can be loaded; where it is there and cannot, that is logged."""
    if importlib.util.find_spec("faiss") is None:
        return False
    try:
        importlib.import_module("faiss")
    except ImportError as error:
        event(_log, logging.WARNING, "faiss_unusable", detail=str(error))
        return False
    return True


def _index(kind: str, bank: NDArray[np.float32], shortlist: Shortlist, threads: int) -> Any:
    try:
        import faiss  # noqa: PLC0415 - large, and missing on some machines
    except ImportError as error:
        raise InputError(
            f"search {kind!r} needs the package faiss, which cannot be loaded: {error}"
        ) from error
    faiss.omp_set_num_threads(threads)
    rows, dims = bank.shape
    refined = _REFINED * shortlist.k_candidates
    scanned_enough = rows * _PROBED_SHARE >= _SCANNED_FOR_ONE * refined
    if kind == "flat" or (kind == "ivf" and not scanned_enough):
        index: Any = faiss.IndexFlatL2(dims)
    elif kind == "ivf":
        return _inverted_lists(faiss, bank, refined / shortlist.k, threads)
    else:
        index = faiss.IndexHNSWFlat(dims, _LINKS)
        index.hnsw.efConstruction = _BEAM
        index.hnsw.efSearch = _BEAM
    index.add(bank)
    return index


def _inverted_lists(faiss: Any, bank: NDArray[np.float32], refined: float, threads: int) -> Any:
    """Lists of rows in 4-bit codes, scanned in registers, the best `refined` a neighbour measured again.

    Jegou et al., "Product quantization for nearest neighbor search", PAMI 2011; Andre et al., "Cache locality
    is not enough", VLDB 2015.
    """
    rows, dims = bank.shape
    lists = max(1, min(rows, int(_LISTS_PER_ROOT * rows**0.5)))
    quantiser = faiss.IndexFlatL2(dims)
    codes = dims // _DIMS_PER_CODE if dims % _DIMS_PER_CODE == 0 else dims
    coarse = faiss.IndexIVFPQFastScan(quantiser, dims, lists, codes, 4)
    # Codes of the rows themselves: one table of distances a patch serves all its lists.
    coarse.by_residual = False
    for training in (coarse.cp, coarse.pq.cp):
        training.min_points_per_centroid = 1
        training.max_points_per_centroid = _TRAINING_POINTS
    coarse.nprobe = max(1, round(lists * _PROBED_SHARE))
    index = faiss.IndexRefineFlat(coarse)
    index.k_factor = refined
    faiss.omp_set_num_threads(1)  # the many small trainings would wait for each other's threads
    index.train(bank)
    index.add(bank)
    faiss.omp_set_num_threads(threads)
    return index
