"""Makes an approximate search exact for patches far from the bank, where a missed row costs most."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.openvino.candidates import CandidateIndex
from inspectd.backends.openvino.exact import ExactIndex
from inspectd.backends.shortlist import Shortlist

_REACH: Final = 2.0
"""Patches farther than so many spacings are searched for again; few of a good part are."""
_AT_ONCE: Final = 64


class RescanOutliers:
    """Searches again, in the whole bank, for patches that lie far from what was proposed.

    Where a patch's distance is divided by its nearest row's spacing (`local_scale`), the row that was missed
    may lie in a denser part of the bank than the one found, and the patch then scores too low. Near the bank
    rows are alike; far from it, where a defect's patches are, they are not. Far is more than two spacings of
    the row found. The threshold is capped at the median spacing, so an isolated entry cannot enlarge it. For
    nearer patches the recall that was measured is all there is.

    Args:
        proposing: proposes rows, of which the first is nearest.
        bank: (M, D) float32.
        spacing: (M,) float32, what a distance to each row is divided by.
        shortlist: as for `proposing`.
        threads: CPU threads.
    """

    def __init__(
        self,
        proposing: CandidateIndex,
        bank: NDArray[np.float32],
        spacing: NDArray[np.float32],
        shortlist: Shortlist,
        threads: int,
    ) -> None:
        self.kind = proposing.kind
        self.approximate = proposing.approximate
        self.proposed = proposing.proposed
        self._proposing = proposing
        self._bank = bank
        self._reach2 = np.square(_REACH * np.minimum(spacing, np.median(spacing)))
        # In bfloat16 the first of its candidates is not the nearest.
        self._exact = ExactIndex(bank, _AT_ONCE, shortlist, "float32", threads)
        self._queries = np.zeros((_AT_ONCE, bank.shape[1]), dtype=np.float32)

    def search(self, queries: NDArray[np.float32]) -> NDArray[np.int32]:
        """See `CandidateIndex.search`."""
        rows = self._proposing.search(queries)
        nearest = rows[:, 0]
        off = queries - self._bank[nearest]
        far = np.flatnonzero(np.einsum("qd,qd->q", off, off) > self._reach2[nearest])
        for start in range(0, len(far), _AT_ONCE):
            chosen = far[start : start + _AT_ONCE]
            self._queries[: len(chosen)] = queries[chosen]
            rows[chosen] = self._exact.search(self._queries)[: len(chosen), : self.proposed]
        return rows
