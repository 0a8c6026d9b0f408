"""Exact nearest neighbours by blocked matrix products."""

from __future__ import annotations

from typing import Final, Protocol

import torch


class NearestNeighbours(Protocol):
    """Finds the rows of a bank that lie nearest to given points."""

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Find each query's nearest rows.

        Args:
            queries: (Q, D) float32 on the bank's device.
            neighbours: rows to find for each query, at most the bank's rows.

        Returns:
            distances (Q, neighbours) float32, ascending: Euclidean, divided by the row's spacing where the
            search was made with spacings; row numbers (Q, neighbours) int64.
        """


_CPU_BLOCK_BYTES: Final = 1 << 20
_CUDA_BLOCK_BYTES: Final = 1 << 30
_MOST_PASSES: Final = 16


class ExactSearch:
    """Brute-force search with the bank's norms kept ready.

    ||q - c||^2 / s^2 = [q, ||q||^2] . [-2 c, 1] / s^2 + ||c||^2 / s^2, so the work is one matrix product. The
    rows are moved so that their mean is the origin first: the norms stay small and little precision is lost
    in the subtraction.

    Args:
        bank: (M, D) float32; the search happens on its device.
        spacing: (M,) float32, what the distance to each row is divided by; None: nothing.
    """

    def __init__(self, bank: torch.Tensor, spacing: torch.Tensor | None = None) -> None:
        self._mean = bank.mean(dim=0)
        centred = bank - self._mean
        weights = torch.ones_like(bank[:, 0]) if spacing is None else spacing.square().reciprocal()
        self._norms = centred.square().sum(dim=1) * weights
        self._columns = bank.new_empty((bank.shape[1] + 1, bank.shape[0]))
        torch.mul(centred.T, -2.0 * weights, out=self._columns[:-1])
        self._columns[-1] = weights
        # Distances of a block must stay in the cache: the minimum over them costs more than the product.
        budget = _CPU_BLOCK_BYTES if bank.device.type == "cpu" else _CUDA_BLOCK_BYTES
        self._block = max(64, budget // (4 * max(1, bank.shape[0])))

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NearestNeighbours.search`."""
        distances = queries.new_empty((queries.shape[0], neighbours))
        rows = torch.empty((queries.shape[0], neighbours), dtype=torch.int64, device=queries.device)
        for start in range(0, queries.shape[0], self._block):
            block = slice(start, start + self._block)
            centred = queries[block] - self._mean
            lengths = centred.square().sum(dim=1, keepdim=True)
            squared = torch.addmm(self._norms, torch.cat([centred, lengths], dim=1), self._columns)
            best, index = _smallest(squared, neighbours)
            distances[block] = best.clamp_(min=0).sqrt_()
            rows[block] = index
        return distances, rows


def _smallest(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` smallest of every row, ascending, and where they are; may change `values`."""
    if count > _MOST_PASSES or values.is_cuda:
        return values.topk(count, dim=1, largest=False)
    # A few passes of a vectorised minimum are many times faster than a selection on a CPU.
    found = []
    for last in range(count - 1, -1, -1):
        best, index = values.min(dim=1, keepdim=True)
        found.append((best, index))
        if last:
            values.scatter_(1, index, torch.inf)
    return torch.cat([best for best, _ in found], dim=1), torch.cat([index for _, index in found], dim=1)
