"""Exact search on a CPU by OpenVINO: products in blocks propose a few rows, which are measured again."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as op

from inspectd.backends.openvino.runtime import Precision, compiled, shared
from inspectd.backends.shortlist import Shortlist, shortlist

_BLOCK_ROWS: Final = 512
"""A block's distances to all of an image's patches stay in the cache until their minimum is taken."""
LENGTHS: Final = 6
"""Last rows of `Expansion.columns`, those of the squared lengths; the work of all others is products."""
_BFLOAT16: Final = np.uint32(0xFFFF0000)
"""The bits of a float32 that bfloat16 has."""


class Expansion:
    """Squared distances to the rows of a bank, divided by their squared spacings, as one matrix product.

    ||q - c||^2 / s^2 = [q, ||q||^2, 1] . [-2 c, 1, ||c||^2] / s^2, around the bank's mean. What is large and
    cancels is split in two, so that in bfloat16, too, little is lost of it.

    Args:
        bank: (M, D) float32.
        spacing: (M,) float32, what the distance to each row is divided by; None: nothing.
    """

    def __init__(self, bank: NDArray[np.float32], spacing: NDArray[np.float32] | None) -> None:
        self.bank = bank
        self._mean = bank.mean(axis=0)
        self.weights: NDArray[np.float32] = np.ones(len(bank), dtype=np.float32)
        if spacing is not None:
            self.weights /= np.square(spacing)

    def queries(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The left matrix (Q, D + 6) of points (Q, D)."""
        with np.errstate(over="ignore", invalid="ignore"):  # the pipeline refuses what is not finite
            moved = points - self._mean
            high, low = _halves(np.einsum("qd,qd->q", moved, moved))
        ones = np.ones_like(high)
        return np.concatenate([moved, np.stack([high, high, low, low, ones, ones], axis=1)], axis=1)

    def columns(self, rows: slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """The right matrix (..., D + 6, n) of rows of the bank, a slice of n or their numbers (..., n)."""
        moved, weights = self.bank[rows] - self._mean, self.weights[rows]
        own = _halves(weights)
        lengths = _halves(np.einsum("...d,...d->...", moved, moved) * weights)
        last = np.stack([*own, *own, *lengths], axis=-1)
        return np.concatenate([-2.0 * weights[..., None] * moved, last], axis=-1).swapaxes(-1, -2)


def _halves(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The part that bfloat16 holds exactly, and the rest."""
    high = (values.view(np.uint32) & _BFLOAT16).view(np.float32)
    return high, values - high


class ExactIndex:
    """Finds the rows of a bank that lie nearest to patches, by distances relative to each row's spacing.

    bfloat16 orders near-equal distances at random, so several rows are proposed for each patch and measured
    again in float32. A row that is missed all the same can only make a patch's distance larger.

    Args:
        expansion: of the bank.
        neighbours: nearest rows to find.
        precision: of the products.
        queries: number of patches in every search.
        threads: CPU threads.
    """

    def __init__(
        self, expansion: Expansion, neighbours: int, precision: Precision, queries: int, threads: int
    ) -> None:
        self.kind = f"exact-{precision}"
        self._expansion = expansion
        count = shortlist(neighbours, len(expansion.bank))
        proposing = _proposing(expansion, queries, count)
        self._propose = compiled(proposing, precision, threads).create_infer_request()
        measuring = _measuring(expansion, queries, count)
        self._measure = compiled(measuring, "float32", threads).create_infer_request()
        self._measure.set_input_tensor(2, shared(expansion.bank))

    def search(self, queries: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Find each patch's nearest rows.

        Args:
            queries: (Q, D) float32.

        Returns:
            distances (Q, k) float32, relative, ascending; row numbers (Q, k) int32; k is at most the rows
            of the bank. Both are valid until the next call.
        """
        self._propose.infer([self._expansion.queries(queries)], share_inputs=True)
        self._measure.set_input_tensor(0, shared(queries))
        self._measure.set_input_tensor(1, self._propose.get_output_tensor(0))
        self._measure.infer()
        distances, rows = (self._measure.get_output_tensor(position).data for position in range(2))
        return distances, rows


def _proposing(expansion: Expansion, queries: int, shortlist: Shortlist) -> Any:
    """`Expansion.queries` (Q, D + 6) -> numbers of the rows (Q, k_candidates) with the smallest distances."""
    rows, first = len(expansion.bank), expansion.columns(slice(0, 1))
    points = op.parameter([queries, len(first)], np.float32, name="queries")
    # A product with the identity leaves the queries in the products' precision once, not block by block.
    rounded = product(points, op.constant(np.eye(len(first), dtype=np.float32)))
    blocks = -(-rows // _BLOCK_ROWS)
    # The nearest may all lie in one block; few blocks must propose all there are to propose.
    of_each = shortlist.k if blocks >= shortlist.k_candidates else shortlist.k_candidates
    values, numbers = [], []
    for start in range(0, rows, _BLOCK_ROWS):
        columns = expansion.columns(slice(start, start + _BLOCK_ROWS))
        squared = product(rounded, op.constant(np.ascontiguousarray(columns)))
        best = op.topk(squared, op.constant(np.int32(min(of_each, columns.shape[1]))), 1, "min", "value")
        values.append(best.output(0))
        numbers.append(op.add(best.output(1), op.constant(np.int32(start))).output(0))
    nearest = op.topk(op.concat(values, 1), op.constant(np.int32(shortlist.k_candidates)), 1, "min", "value")
    found = op.gather_elements(op.concat(numbers, 1), nearest.output(1), 1)
    return openvino.Model([found], [points], "propose")


def _measuring(expansion: Expansion, queries: int, shortlist: Shortlist) -> Any:
    """Queries (Q, D), numbers of rows (Q, k_candidates) and the bank -> distances and numbers (Q, k)."""
    points = op.parameter([queries, expansion.bank.shape[1]], np.float32, name="queries")
    candidates = op.parameter([queries, shortlist.k_candidates], np.int32, name="candidates")
    memory = op.parameter(list(expansion.bank.shape), np.float32, name="bank")
    first = op.constant(np.int32(0))
    offsets = op.subtract(op.gather(memory, candidates, first), op.unsqueeze(points, op.constant(1)))
    squared = op.reduce_sum(op.multiply(offsets, offsets), op.constant(np.array([2])), keep_dims=False)
    relative = op.multiply(squared, op.gather(op.constant(expansion.weights), candidates, first))
    nearest = op.topk(relative, op.constant(np.int32(shortlist.k)), 1, "min", "value")
    rows = op.gather_elements(candidates, nearest.output(1), 1)
    return openvino.Model([op.sqrt(nearest.output(0)), rows], [points, candidates, memory], "measure")


def product(one: Any, other: Any) -> Any:
    """A matrix product, of every pair of matrices where there are several."""
    return op.matmul(one, other, transpose_a=False, transpose_b=False)
