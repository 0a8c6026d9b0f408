"""Proposals: rows of a bank found in half precision, or the reason why a search cannot run here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

import torch

BLOCK_BYTES: Final = 256 << 20
"""Of distances at a time: large enough to fill a card, small beside its memory."""


@dataclass(frozen=True)
class SearchRefusal:
    """Reason why a search cannot run, by name for machines and in words for people.

    Attributes:
        unexpected: the machine meets all requirements, and still it did not work.
    """

    reason: str
    detail: str
    unexpected: bool = False


class Proposals(Protocol):
    """Proposes rows of a bank in half precision, for the caller to measure again."""

    kind: ClassVar[str]
    """Its name in settings, logs and figures."""
    recordable: ClassVar[bool]
    """Whether it can be part of a CUDA graph: every step of a fixed shape, and none waits for the device."""
    most_neighbours: ClassVar[int]
    """Most nearest rows it can be asked for."""

    def propose(self, queries: torch.Tensor, neighbours: int, candidates: int) -> torch.Tensor:
        """Propose rows.

        Args:
            queries: (Q, D) float16, finite, moved and scaled as the bank was.
            neighbours: number of nearest rows that must be among them.
            candidates: rows to propose for each query, at most the bank's.

        Returns:
            (Q, candidates) int64, rows of the bank.
        """


class ProductProposals:
    """By matrix products and a selection over them, block by block: the rows with the least n - 2 q.c.

    Args:
        rows: (M, D) float16, on the device that searches.
        norms: (M,) float32, n: their squared lengths, or what stands for these in `search.HalfSearch`.
    """

    kind: ClassVar[str] = "exact-float16"
    recordable: ClassVar[bool] = True
    most_neighbours: ClassVar[int] = sys.maxsize

    def __init__(self, rows: torch.Tensor, norms: torch.Tensor) -> None:
        self._columns = rows.T
        self._norms = norms.half()
        self._block = max(64, BLOCK_BYTES // (2 * max(1, rows.shape[0])))

    def propose(self, queries: torch.Tensor, neighbours: int, candidates: int) -> torch.Tensor:  # noqa: ARG002
        """See `Proposals.propose`."""
        found = []
        for block in queries.split(self._block):  # type: ignore[no-untyped-call]
            distances = torch.addmm(self._norms, block, self._columns, alpha=-2.0)
            found.append(distances.topk(candidates, dim=1, largest=False)[1])
        return torch.cat(found)
