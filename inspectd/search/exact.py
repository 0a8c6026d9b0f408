"""Exact nearest neighbours by blocked matrix products."""

from __future__ import annotations

from typing import Final

import torch

_CPU_BLOCK_BYTES: Final = 1 << 20
_CUDA_BLOCK_BYTES: Final = 1 << 30


class ExactSearch:
    """Brute-force search with the bank's norms kept ready.

    ||q - c||^2 = ||q||^2 + ||c||^2 - 2 q.c, so the work is one matrix product. The rows are moved so that
    their mean is the origin first: the norms stay small and little precision is lost in the subtraction.

    Args:
        bank: (M, D) float32; the search happens on its device.
    """

    def __init__(self, bank: torch.Tensor) -> None:
        self._mean = bank.mean(dim=0)
        centred = bank - self._mean
        self._columns = centred.T.contiguous()
        self._norms = centred.square().sum(dim=1)
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
            partial = torch.addmm(self._norms, centred, self._columns, alpha=-2.0)
            if neighbours == 1:
                best, index = partial.min(dim=1, keepdim=True)
            else:
                best, index = partial.topk(neighbours, dim=1, largest=False)
            distances[block] = best.add_(centred.square().sum(dim=1, keepdim=True)).clamp_(min=0).sqrt_()
            rows[block] = index
        return distances, rows
