"""What every way of searching a bank offers."""

from __future__ import annotations

from typing import Protocol

import torch


class NearestNeighbours(Protocol):
    """Finds the rows of a bank that lie nearest to given points."""

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Find each query's nearest rows.

        Args:
            queries: (Q, D) float32 on the bank's device.
            neighbours: how many rows to find for each query, at most the bank's rows.

        Returns:
            distances (Q, neighbours) float32, Euclidean, ascending; row numbers (Q, neighbours) int64.
        """
