"""Exact search on a CPU as one OpenVINO model: matrix products in blocks, the smallest kept of each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as op

from inspectd.backends.openvino.runtime import Precision, compiled
from inspectd.backends.shortlist import Shortlist

_BLOCK_ROWS: Final = 512
"""A block's distances to all of an image's patches stay in the cache until their minimum is taken."""


class ExactIndex:
    """Proposes the rows of a bank that lie nearest to the patches of one image.

    ||q - c||^2 = ||q||^2 + ||c||^2 - 2 q.c, in bfloat16 or float32 around the bank's mean with its norms kept
    ready. bfloat16 orders near-equal distances at random, so several rows are proposed for each patch and
    the caller measures those again.

    Args:
        bank: (M, D) float32.
        queries: patches of an image.
        shortlist: numbers of nearest rows and of candidates.
        precision: of the products.
        threads: CPU threads.
    """

    approximate = False

    def __init__(
        self,
        bank: NDArray[np.float32],
        queries: int,
        shortlist: Shortlist,
        precision: Precision,
        threads: int,
    ) -> None:
        self.kind = f"exact-{precision}"
        self.proposed = shortlist.k_candidates
        self._request = compiled(_graph(bank, queries, shortlist), precision, threads).create_infer_request()

    def search(self, queries: NDArray[np.float32]) -> NDArray[np.int32]:
        """See `CandidateIndex.search`; valid until the next call."""
        self._request.infer([queries], share_inputs=True)
        return np.asarray(self._request.get_output_tensor(0).data)


def _graph(bank: NDArray[np.float32], queries: int, shortlist: Shortlist) -> Any:
    mean = bank.mean(axis=0)
    centred = bank - mean
    norms = np.square(centred).sum(axis=1)
    points = op.parameter([queries, bank.shape[1]], np.float32, name="queries")
    # The rotation by the identity leaves the queries in the products' precision once, not block by block.
    identity = op.constant(np.eye(bank.shape[1], dtype=np.float32))
    moved = _product(op.subtract(points, op.constant(mean[None])), identity)
    blocks = -(-len(bank) // _BLOCK_ROWS)
    # The nearest may all lie in one block; few blocks must propose all there are to propose.
    of_each = shortlist.k if blocks >= shortlist.k_candidates else shortlist.k_candidates
    values, rows = [], []
    for start in range(0, len(bank), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        products = _product(moved, op.constant(-2.0 * centred[block].T))
        distances = op.add(products, op.constant(norms[None, block]))
        count = min(of_each, len(centred[block]))
        best = op.topk(distances, op.constant(np.int32(count)), 1, "min", "value")
        values.append(best.output(0))
        rows.append(op.add(best.output(1), op.constant(np.int32(start))).output(0))
    nearest = op.topk(op.concat(values, 1), op.constant(np.int32(shortlist.k_candidates)), 1, "min", "value")
    found = op.gather_elements(op.concat(rows, 1), nearest.output(1), 1)
    return openvino.Model([found], [points], "search")


def _product(one: Any, other: Any) -> Any:
    return op.matmul(one, other, transpose_a=False, transpose_b=False)
