"""faiss's searches on a CPU: flat (exact), IVF and HNSW (approximate)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.search.candidates import Wanted

_LISTS_PER_ROOT: Final = 2.0
"""Inverted lists for each square root of the rows."""
_PROBED_SHARE: Final = 1 / 8
"""Of the lists: measured to find 99.9 % of coreset neighbours or others within 1 %."""
_LINKS: Final = 32
_BEAM: Final = 96


class FaissSearch:
    """A faiss index of a bank.

    Args:
        kind: `flat`, `ivf` or `hnsw`.
        bank: (M, D) float32.
        wanted: how many candidates to propose.
        threads: CPU threads.

    Raises:
        InputError: faiss is not installed.
    """

    def __init__(self, kind: str, bank: NDArray[np.float32], wanted: Wanted, threads: int) -> None:
        self.kind = kind
        self.approximate = kind != "flat"
        self._candidates = wanted.candidates
        self._index = _index(kind, np.ascontiguousarray(bank), threads)

    def find(self, queries: NDArray[np.float32]) -> NDArray[np.int32]:
        """See `Candidates.find`."""
        rows = self._index.search(queries, self._candidates)[1]
        # An index that finds fewer rows than asked for fills up with -1; the first, its best, stands in.
        filled: NDArray[np.int32] = np.where(rows < 0, np.maximum(rows[:, :1], 0), rows).astype(np.int32)
        return filled


def _index(kind: str, bank: NDArray[np.float32], threads: int) -> Any:
    try:
        import faiss  # noqa: PLC0415 - large, and missing on some machines
    except ImportError as error:
        raise InputError(
            f"search {kind!r} needs the package faiss, which cannot be loaded: {error}"
        ) from error
    faiss.omp_set_num_threads(threads)
    rows, dims = bank.shape
    if kind == "flat":
        index: Any = faiss.IndexFlatL2(dims)
    elif kind == "ivf":
        lists = max(1, min(rows, int(_LISTS_PER_ROOT * rows**0.5)))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dims), dims, lists)
        index.own_fields = False
        index.cp.min_points_per_centroid = 1
        index.train(bank)
        index.nprobe = max(1, round(lists * _PROBED_SHARE))
    else:
        index = faiss.IndexHNSWFlat(dims, _LINKS)
        index.hnsw.efConstruction = _BEAM
        index.hnsw.efSearch = _BEAM
    index.add(bank)
    return index
