"""Search on a CUDA device: candidates found in low precision, measured again in float32."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import torch

from inspectd.backends.cuda.proposals import MOST_BY_TILES, ProductProposals, ProposedSearch
from inspectd.backends.cuda.trials import KernelRefusal, missing_for_kernels, tried
from inspectd.errors import InputError
from inspectd.log import event
from inspectd.model.search import ExactSearch

if TYPE_CHECKING:
    from inspectd.backends.cuda.tile_search import TileSearch

_log: Final = logging.getLogger("inspectd.search")
_OLDEST_FOR: Final = {"exact-float8": (8, 9), "exact-fused": (8, 0)}
"""Compute capability, by kind of search by tiles, the preferred one first."""
_SAMPLE: Final = 2100
_EACH_TILE: Final = 128
TRIAL_ROWS: Final = 8192
"""Rows that a trial's queries are held against at a time."""
_ASIDE: Final = (0.1, 0.45)
"""Trial queries are rows moved so far to another one: near to one, or about as near to two."""
_NEAR_ENOUGH: Final = 1.01
_LEAST_NEAR: Final = 0.999
"""Of the rows found so many must be as near as the nearest, or 1 % farther."""
_ROUNDING: Final = 1e-3
_ROUNDS: Final = 4


class BankSearch(Protocol):
    """One way to search a bank; see `model.search.NearestNeighbours`."""

    @property
    def kind(self) -> str:
        """Its name in settings, logs and figures."""

    @property
    def recordable(self) -> bool:
        """Whether it can be part of a CUDA graph: steps of a fixed shape that do not wait for the device."""

    @property
    def most_neighbours(self) -> int:
        """Most nearest rows it can be asked for."""

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NearestNeighbours.search`."""


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
    """As `ExactSearch`, with a second bank in half precision or float8.

    Distances are measured in float32. A row that low precision misses can only make a distance larger.

    Args:
        bank: (M, D) float32; the search happens on its device.
        kind: `auto` or `exact`: the first that runs of `exact-float8`, `exact-fused` (float16) and
            `exact-float16` (by a library's products); one of these: that one; `flat`: faiss.
        neighbours: the most that will be searched for.
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
        self._way = _way(bank, kind, neighbours, spacing)

    @property
    def kind(self) -> str:
        """Name of the search in settings, logs and figures."""
        return self._way.kind

    @property
    def recordable(self) -> bool:
        """Whether it can be part of a CUDA graph."""
        return self._way.recordable

    def search(self, queries: torch.Tensor, neighbours: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NearestNeighbours.search`.

        Raises:
            ValueError: more neighbours than the search can find.
        """
        if neighbours > self._way.most_neighbours:
            raise ValueError(
                f"{neighbours} neighbours of search {self.kind!r}: expected at most "
                f"{self._way.most_neighbours}; name the most that are needed when it is made"
            )
        return self._way.search(queries, neighbours)


def _way(bank: torch.Tensor, kind: str, neighbours: int, spacing: torch.Tensor | None) -> BankSearch:
    refuse_on_cuda(kind, "auto")
    if kind == "flat":
        from inspectd.backends.cuda.faiss_index import FlatProposals  # noqa: PLC0415 - large, for this kind only

        return ProposedSearch(bank, FlatProposals, spacing)
    if kind in _OLDEST_FOR:
        made = _tiled(bank, kind, neighbours, spacing)
        if isinstance(made, KernelRefusal):
            raise InputError(f"search {kind!r} cannot run on {bank.device}: {made.reason}: {made.detail}")
        return made
    if kind not in ("auto", "exact", ProductProposals.kind):
        raise InputError(
            f"search {kind!r}: unknown on CUDA; expected auto, exact, {', '.join(_OLDEST_FOR)}, "
            f"{ProductProposals.kind} or flat"
        )
    for tiled in _OLDEST_FOR if kind != ProductProposals.kind else ():
        made = _tiled(bank, tiled, neighbours, spacing)
        if not isinstance(made, KernelRefusal):
            return made
        if not made.unexpected:  # else its trial has told
            event(
                _log, logging.INFO, "kernel_unavailable", kernel=tiled, reason=made.reason, detail=made.detail
            )
    return ProposedSearch(bank, ProductProposals, spacing)


def _tiled(
    bank: torch.Tensor, kind: str, neighbours: int, spacing: torch.Tensor | None
) -> TileSearch | KernelRefusal:
    """A search by tiles that was tried on its bank, or why it is not used."""
    missing = missing_for_kernels(bank.device)
    if missing is not None:
        return missing
    capability, oldest = torch.cuda.get_device_capability(bank.device), _OLDEST_FOR[kind]
    if capability < oldest:
        return KernelRefusal("card_too_old", f"compute capability {capability}, expected {oldest} or newer")
    if neighbours > MOST_BY_TILES:
        return KernelRefusal("many_neighbours", f"{neighbours}, expected at most {MOST_BY_TILES}")
    made: list[TileSearch] = []

    def trial() -> str | None:
        from inspectd.backends.cuda.tile_search import TileSearch  # noqa: PLC0415 - it needs Triton

        made.append(TileSearch(bank, kind, spacing))
        return wrong_rows(made[0], bank, neighbours, spacing)

    return tried(kind, trial) or made[0]


def wrong_rows(
    search: TileSearch, bank: torch.Tensor, neighbours: int, spacing: torch.Tensor | None
) -> str | None:
    """Hold a search against float32 near rows from the whole bank: what is wrong with it, or None.

    Every tile of rows is the nearest of some query, every program goes through several tiles, and every
    neighbour counts. It tells a kernel that is wrong on this card, and a bank whose rows float8 confuses;
    it cannot tell how far patches of parts lie from it.

    Args:
        search: to try.
        bank: (M, D) float32, its rows.
        neighbours: nearest rows to ask for.
        spacing: (M,) float32, what distances are divided by; None: nothing.
    """
    neighbours = min(neighbours, len(bank))
    sample = max(_SAMPLE, _ROUNDS * len(bank) // _EACH_TILE)
    near = torch.linspace(0, len(bank) - 1, sample, device=bank.device, dtype=torch.float64).long()
    aside = torch.tensor(_ASIDE, device=bank.device).repeat(sample // 2 + 1)[:sample, None]
    queries = torch.lerp(bank[near], bank[near.roll(sample // 2)], aside)
    distances, rows = search.search(queries, neighbours, search.programs_for(sample, _ROUNDS))
    nearest = torch.full_like(distances, torch.inf)
    for start in range(0, len(bank), TRIAL_ROWS):
        block = slice(start, start + TRIAL_ROWS)
        exact = ExactSearch(bank[block], None if spacing is None else spacing[block])
        _, best = exact.search(queries, min(neighbours, len(bank[block])))
        some = torch.cat([nearest, _measured(queries, bank, spacing, best + start)], dim=1)
        nearest = some.topk(neighbours, dim=1, largest=False)[0]
    measured = _measured(queries, bank, spacing, rows)
    slack = _ROUNDING * nearest.mean()
    if bool(((measured - distances).abs() > _ROUNDING * measured + slack).any()):
        return "distances that are not those to the rows named"
    if bool((rows.sort(dim=1)[0].diff(dim=1) == 0).any()):
        return "a row named twice"
    missed = (distances > nearest * _NEAR_ENOUGH + slack).any(dim=1)
    if float(missed.double().mean()) > 1.0 - _LEAST_NEAR:
        return f"{int(missed.sum())} of {sample} nearest rows missed"
    return None


def _measured(
    queries: torch.Tensor, bank: torch.Tensor, spacing: torch.Tensor | None, rows: torch.Tensor
) -> torch.Tensor:
    """Distances (Q, k) from queries (Q, D) to rows (Q, k) of a bank."""
    distances = (queries[:, None] - bank[rows]).square().sum(dim=2).sqrt()
    return distances if spacing is None else distances / spacing[rows]
