"""Search by proposals: a few rows found by a library in half precision, then measured in float32."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ClassVar, Final, Protocol

import torch

from inspectd.backends.shortlist import shortlist

BLOCK_BYTES: Final = 256 << 20
"""Of distances at a time: large enough to fill a card, small beside its memory."""


MOST_BY_TILES: Final = 4
"""Nearest rows that a search by tiles finds; each costs a pass over a tile: for more, selection is faster."""
_RADIUS: Final = 8.0
_FARTHEST: Final = 200.0
"""Half precision ends at 65504: squares of lengths must stay below it, whatever the features' scale."""
_HUGE: Final = 1e15


class Proposals(Protocol):
    """Proposes rows of a bank in half precision, for the caller to measure again."""

    kind: ClassVar[str]
    """Its name in settings, logs and figures."""
    recordable: ClassVar[bool]
    """Whether it can be part of a CUDA graph: every step of a fixed shape, and none waits for the device."""
    most_neighbours: ClassVar[int]
    """Most nearest rows it can be asked for."""

    def propose(self, queries: torch.Tensor, candidates: int) -> torch.Tensor:
        """Propose rows.

        Args:
            queries: (Q, D) float16, finite, moved and scaled as the bank was.
            candidates: rows to propose for each query, at most the bank's.

        Returns:
            (Q, candidates) int64, rows of the bank.
        """


class ProductProposals:
    """By matrix products and a selection over them, block by block: the rows with the least n - 2 q.c.

    Args:
        rows: (M, D) float16, on the device that searches.
        norms: (M,) float32, n: their squared lengths, or what stands for these in `ProposedSearch`.
    """

    kind: ClassVar[str] = "exact-float16"
    recordable: ClassVar[bool] = True
    most_neighbours: ClassVar[int] = sys.maxsize

    def __init__(self, rows: torch.Tensor, norms: torch.Tensor) -> None:
        self._columns = rows.T
        self._norms = norms.half()
        self._block = max(64, BLOCK_BYTES // (2 * max(1, rows.shape[0])))

    def propose(self, queries: torch.Tensor, candidates: int) -> torch.Tensor:
        """See `Proposals.propose`."""
        found = []
        for block in queries.split(self._block):  # type: ignore[no-untyped-call]
            distances = torch.addmm(self._norms, block, self._columns, alpha=-2.0)
            found.append(distances.topk(candidates, dim=1, largest=False)[1])
        return torch.cat(found)


class ProposedSearch:
    """Searches a bank by proposals; see `model.search.NearestNeighbours`.

    Rows are proposed by the relative distance itself, w ||q - c||^2 with w = 1 / s^2, which is
    ||c||^2 w - 2 [q, ||q||^2] . [w c, -w / 2]: to proposals that is one dimension more.

    Args:
        bank: (M, D) float32, kept.
        make: proposals of rows (M, D) float16 and their squared lengths (M,) float32.
        spacing: (M,) float32, kept, what the distance to each row is divided by; None: nothing.
    """

    def __init__(
        self,
        bank: torch.Tensor,
        make: Callable[[torch.Tensor, torch.Tensor], Proposals],
        spacing: torch.Tensor | None = None,
    ) -> None:
        self._bank = bank
        self._spacing = spacing
        self._mean = bank.mean(dim=0)
        # Few copies at a time: this is when a bank takes most of a device.
        scaled = bank - self._mean
        self._scale = _RADIUS / scaled.norm(dim=1).max().clamp_min(1e-6)
        scaled.mul_(self._scale)
        if spacing is None:
            rows = scaled.half()
            del scaled
            norms = rows.float().square_().sum(dim=1)
        else:
            weights = weights_of(spacing)
            rows = scaled.new_empty((len(bank), bank.shape[1] + 1), dtype=torch.half)
            rows[:, :-1] = scaled.mul_(weights[:, None])
            rows[:, -1] = -0.5 * weights
            del scaled
            norms = rows[:, :-1].float().square_().sum(dim=1) / weights
        # Lengths of the rows as they are multiplied: rounding then weighs by distance, not by length.
        self._proposals = make(rows, norms)
        self.kind = self._proposals.kind
        self.recordable = self._proposals.recordable
        self.most_neighbours = self._proposals.most_neighbours

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NearestNeighbours.search`."""
        exact = queries.float()
        # NaN has no nearest row; any will do, as the distance measured to it is NaN.
        scaled = ((exact - self._mean) * self._scale).nan_to_num(nan=0.0).clamp(-_HUGE, _HUGE)
        scaled *= (_FARTHEST / scaled.norm(dim=1, keepdim=True).clamp_min(1e-6)).clamp_(max=1.0)
        scaled = scaled.half()
        if self._spacing is not None:
            lengths = scaled.float().square_().sum(dim=1, keepdim=True)
            scaled = torch.cat([scaled, lengths.half()], dim=1)
        count = shortlist(neighbours, self._bank.shape[0]).k_candidates
        candidates = self._proposals.propose(scaled, count)
        block = max(64, BLOCK_BYTES // (4 * count * self._bank.shape[1]))
        measured = [
            self._measured(some, rows, neighbours)
            for some, rows in zip(exact.split(block), candidates.split(block), strict=True)  # type: ignore[no-untyped-call]
        ]
        return torch.cat([distances for distances, _ in measured]), torch.cat([rows for _, rows in measured])

    def _measured(
        self, queries: torch.Tensor, candidates: torch.Tensor, neighbours: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        offsets = queries[:, None, :] - self._bank[candidates]
        distances = offsets.square().sum(dim=2).sqrt()
        if self._spacing is not None:
            distances = distances / self._spacing[candidates]
        nearest, order = distances.topk(neighbours, dim=1, largest=False)
        return nearest, candidates.gather(1, order)


def weights_of(spacing: torch.Tensor) -> torch.Tensor:
    """Weights (M,), at most 1, of squared distances to rows with that spacing (M,)."""
    return (spacing.min() / spacing).square_()
