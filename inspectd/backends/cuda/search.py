"""Search on a CUDA device: candidates found in half precision, measured again in float32."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from typing import Final

import torch

from inspectd.backends.cuda.proposals import BLOCK_BYTES, ProductProposals, Proposals, SearchRefusal
from inspectd.backends.shortlist import shortlist
from inspectd.errors import InputError
from inspectd.log import event

_log: Final = logging.getLogger("inspectd.search")
_RADIUS: Final = 8.0
_FARTHEST: Final = 200.0
_LONGEST: Final = 60_000.0
"""Half precision ends at 65504: distances must stay below it, whatever the features' scale."""


def refuse_on_cuda(search: str, backend: str) -> None:
    """Refuse a search that the backend does not have on CUDA.

    Raises:
        InputError: the backend does not have it.
    """
    if search == "flat" and backend == "torch":
        raise InputError(
            "search 'flat' with backend torch: the reference has its own exact search; use exact"
        )


class HalfSearch:
    """As `ExactSearch`, with a second bank in half precision around its mean and its norms kept ready.

    Candidates are proposed by the relative distance itself, w ||q - c||^2 with w = 1 / s^2, which is
    ||c||^2 w - 2 [q, ||q||^2] . [w c, -w / 2]: to proposals that is one dimension more. A row that half
    precision misses can only make a distance larger.

    Args:
        bank: (M, D) float32; the search happens on its device.
        kind: `auto` or `exact`: fused products where they run, else matrix products; `exact-fused` or
            `exact-float16`: that one; `flat`: faiss.
        neighbours: usual number to search for; any number can be.
        spacing: (M,) float32, what the distance to each row is divided by; None: nothing.

    Raises:
        InputError: the kind is not one of these, or what it needs is not there.
        torch.OutOfMemoryError: the device does not hold it.
    """

    def __init__(
        self,
        bank: torch.Tensor,
        kind: str = "auto",
        neighbours: int = 1,
        spacing: torch.Tensor | None = None,
    ) -> None:
        self._bank = bank
        self._spacing = spacing
        self._mean = bank.mean(dim=0)
        # Few copies at a time: this is when a bank takes most of a device.
        scaled = bank - self._mean
        self._scale = _RADIUS / scaled.norm(dim=1).max().clamp_min(1e-6)
        norms = scaled.mul_(self._scale).norm(dim=1).square_()
        if spacing is None:
            rows = scaled.half()
        else:
            weights = (spacing.min() / spacing).square_()
            norms *= weights
            rows = scaled.new_empty((len(bank), bank.shape[1] + 1), dtype=torch.half)
            rows[:, :-1] = scaled.mul_(weights[:, None])
            rows[:, -1] = -0.5 * weights
        del scaled
        self._proposals = _proposals(kind, rows, norms, neighbours)

    @property
    def kind(self) -> str:
        """Name of the search in settings, logs and figures."""
        return self._proposals[0].kind

    @property
    def recordable(self) -> bool:
        """Whether it can be part of a CUDA graph."""
        return all(proposals.recordable for proposals in self._proposals)

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NearestNeighbours.search`."""
        exact = queries.float()
        scaled = ((exact - self._mean) * self._scale).clamp(-_FARTHEST, _FARTHEST)
        # NaN has no nearest row; any will do, as the distance measured to it is NaN.
        scaled = scaled.nan_to_num(nan=0.0)
        if self._spacing is not None:
            lengths = scaled.square().sum(dim=1, keepdim=True).clamp_(max=_LONGEST)
            scaled = torch.cat([scaled, lengths], dim=1)
        scaled = scaled.half()
        count = shortlist(neighbours, self._bank.shape[0]).k_candidates
        chosen = next(one for one in self._proposals if neighbours <= one.most_neighbours)
        candidates = chosen.propose(scaled, neighbours, count)
        block = max(64, BLOCK_BYTES // (4 * count * self._bank.shape[1]))
        measured = [
            self._reranked(some, rows, neighbours)
            for some, rows in zip(exact.split(block), candidates.split(block), strict=True)  # type: ignore[no-untyped-call]
        ]
        return torch.cat([distances for distances, _ in measured]), torch.cat([rows for _, rows in measured])

    def _reranked(
        self, queries: torch.Tensor, candidates: torch.Tensor, neighbours: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        offsets = queries[:, None, :] - self._bank[candidates]
        distances = offsets.square().sum(dim=2).sqrt()
        if self._spacing is not None:
            distances = distances / self._spacing[candidates]
        nearest, order = distances.topk(neighbours, dim=1, largest=False)
        return nearest, candidates.gather(1, order)


def _proposals(kind: str, rows: torch.Tensor, norms: torch.Tensor, neighbours: int) -> list[Proposals]:
    """Proposals in order of preference; the last takes any number of neighbours."""
    refuse_on_cuda(kind, "auto")
    if kind == "flat":
        from inspectd.backends.cuda.faiss_index import FlatProposals  # noqa: PLC0415 - large, for this kind only

        return [FlatProposals(rows, norms)]
    products = ProductProposals(rows, norms)
    if kind == products.kind:
        return [products]
    if kind not in ("auto", "exact", "exact-fused"):
        raise InputError(
            f"search {kind!r}: unknown on CUDA; expected auto, exact, exact-fused, exact-float16 or flat"
        )
    fused = _fused(rows, norms, neighbours)
    if not isinstance(fused, SearchRefusal):
        return [fused, products]
    if kind == "exact-fused":
        raise InputError(f"search {kind!r} cannot run on {rows.device}: {fused.reason}: {fused.detail}")
    level = logging.WARNING if fused.unexpected else logging.INFO
    event(_log, level, "fused_search_unavailable", reason=fused.reason, detail=fused.detail)
    return [products]


def _fused(rows: torch.Tensor, norms: torch.Tensor, neighbours: int) -> Proposals | SearchRefusal:
    if rows.device.type != "cuda":
        return SearchRefusal("not_on_cuda", f"device {rows.device}")
    make = fused_maker()
    return make if isinstance(make, SearchRefusal) else make(rows, norms, neighbours)


def fused_maker() -> Callable[[torch.Tensor, torch.Tensor, int], Proposals | SearchRefusal] | SearchRefusal:
    """`triton_kernel.fused_proposals`, or why Triton, which it needs, cannot be had."""
    if importlib.util.find_spec("triton") is None:
        return SearchRefusal("no_triton", "the package triton is not installed")
    try:
        from inspectd.backends.cuda.triton_kernel import fused_proposals  # noqa: PLC0415 - it needs Triton
    except ImportError as error:
        return SearchRefusal("no_triton", f"triton cannot be imported: {error}", unexpected=True)
    return fused_proposals
