"""Products and their minima in one Triton kernel: the matrix of distances is never written to memory.

Imported only where Triton is installed, which `backends.cuda.search` looks for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import ClassVar, Final

import torch
import triton
import triton.language as tl
from torch.nn import functional
from triton.runtime.errors import TritonError

from inspectd.backends.cuda.proposals import Proposals, SearchRefusal
from inspectd.backends.shortlist import shortlist

QUERIES: Final = 128
ROWS: Final = 128
DIMS: Final = 32
"""A tile of queries, of rows, and how many dimensions are multiplied at a time."""
OPTIONS: Final = {"num_warps": 8, "num_stages": 3, "enable_fp_fusion": True}
_WAVES: Final = 2
"""Programs for each multiprocessor: few queries alone would leave most of a card idle."""
_OLDEST: Final = (8, 0)
_HOST_PROCESSORS: Final = 4
_SAMPLE: Final = 64
_TRIED_ROWS: Final = 8192
_ASIDE: Final = 0.05
"""Trial queries are bank rows moved 5 % towards another row."""
_TOLERANCE: Final = 0.01
"""Of squared distances, where a bank's radius is 8: sums in another order differ by less."""


@triton.jit  # type: ignore[untyped-decorator]
def nearest_rows(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0917 - Triton reads annotations, and launches
    queries, rows, norms, kept_values, kept_rows,  # noqa: ANN001 - pointers
    count, tiles, tiles_each,  # noqa: ANN001 - int32
    dims: tl.constexpr, queries_tile: tl.constexpr, rows_tile: tl.constexpr, dims_tile: tl.constexpr,
    taken: tl.constexpr, kept: tl.constexpr,
):  # fmt: skip
    """Keep the rows that lie nearest to a tile of queries, of one share of the bank.

    Program (i, s) holds queries i and goes through share s of the bank tile by tile: ||c||^2 - 2 q.c in
    float32 from float16 products, the `taken` smallest of a tile compared with the worst of the `kept`.

    Args:
        queries: (count, dims) float16, finite.
        rows: (tiles * rows_tile, dims) float16.
        norms: (tiles * rows_tile,) float32, infinite where there is no row.
        kept_values: (count, shares, kept) float32, written; infinite where nothing was kept.
        kept_rows: (count, shares, kept) int32, written; a row of the bank in any case.
        count: queries.
        tiles: of rows.
        tiles_each: of a share.
        dims: a multiple of dims_tile; vectors are filled up with zeros.
        queries_tile: queries of a program.
        rows_tile: rows of a tile.
        dims_tile: dimensions multiplied at a time.
        taken: rows a tile may contribute.
        kept: rows kept of a share, a power of two and at least `taken`.
    """
    share = tl.program_id(1)
    places = tl.program_id(0) * queries_tile + tl.arange(0, queries_tile)
    # Queries past the end compute what the last one does; nothing is stored of them.
    own = tl.minimum(places, count - 1)
    columns = tl.arange(0, rows_tile)
    depth = tl.arange(0, dims_tile)
    slots = tl.arange(0, kept)
    best = tl.full((queries_tile, kept), float("inf"), tl.float32)
    found = tl.zeros((queries_tile, kept), tl.int32)
    for tile in range(share * tiles_each, tl.minimum((share + 1) * tiles_each, tiles)):
        at = tile * rows_tile + columns
        products = tl.zeros((queries_tile, rows_tile), tl.float32)
        for start in range(0, dims, dims_tile):
            left = tl.load(queries + own[:, None].to(tl.int64) * dims + (start + depth)[None, :])
            right = tl.load(rows + at[None, :].to(tl.int64) * dims + (start + depth)[:, None])
            products = tl.dot(left, right, products)
        distances = tl.load(norms + at)[None, :] - 2.0 * products
        for _ in tl.static_range(taken):
            value = tl.min(distances, axis=1)
            column = tl.argmin(distances, axis=1)
            worst = tl.max(best, axis=1)
            replaced = (slots[None, :] == tl.argmax(best, axis=1)[:, None]) & (value < worst)[:, None]
            best = tl.where(replaced, value[:, None], best)
            found = tl.where(replaced, (tile * rows_tile + column).to(tl.int32)[:, None], found)
            distances = tl.where(columns[None, :] == column[:, None], float("inf"), distances)
    target = (places[:, None].to(tl.int64) * tl.num_programs(1) + share) * kept + slots[None, :]
    tl.store(kept_values + target, best, mask=(places < count)[:, None])
    tl.store(kept_rows + target, found, mask=(places < count)[:, None])


class FusedProposals:
    """Proposes a few rows for each query; see `proposals.Proposals`.

    A query's candidates are the smallest distance of each of several tiles, or the few smallest of each
    where the bank has few tiles, so that the nearest `neighbours` are always among them, up to the rounding
    of half precision.

    Args:
        rows: (M, D) float16, on the device that searches.
        norms: (M,) float32, their squared lengths.
    """

    kind: ClassVar[str] = "exact-fused"
    recordable: ClassVar[bool] = True
    most_neighbours: ClassVar[int] = 4  # each costs a pass over every tile; for more, selection is faster

    def __init__(self, rows: torch.Tensor, norms: torch.Tensor) -> None:
        self._tiles = -(-rows.shape[0] // ROWS)
        self._missing_dims = -rows.shape[1] % DIMS
        missing_rows = self._tiles * ROWS - rows.shape[0]
        self._rows = functional.pad(rows, (0, self._missing_dims, 0, missing_rows)).contiguous()
        self._norms = functional.pad(norms.float(), (0, missing_rows), value=torch.inf)
        self._programs = _WAVES * _processors(rows.device)

    def propose(self, queries: torch.Tensor, neighbours: int, candidates: int) -> torch.Tensor:
        """See `proposals.Proposals.propose`."""
        count = queries.shape[0]
        padded = functional.pad(queries, (0, self._missing_dims)).contiguous()
        taken = neighbours if self._tiles >= candidates else candidates
        kept = triton.next_power_of_2(candidates)
        query_tiles = -(-count // QUERIES)
        each = -(-self._tiles // max(1, min(self._tiles, self._programs // query_tiles)))
        shares = -(-self._tiles // each)
        values = torch.empty((count, shares, kept), dtype=torch.float32, device=queries.device)
        rows = torch.empty((count, shares, kept), dtype=torch.int32, device=queries.device)
        nearest_rows[(query_tiles, shares)](
            padded, self._rows, self._norms, values, rows, count, self._tiles, each,
            dims=padded.shape[1], queries_tile=QUERIES, rows_tile=ROWS, dims_tile=DIMS,
            taken=taken, kept=kept, **OPTIONS,
        )  # fmt: skip
        nearest = values.flatten(1).topk(candidates, dim=1, largest=False)[1]
        return rows.flatten(1).gather(1, nearest).long()


def fused_proposals(
    rows: torch.Tensor, norms: torch.Tensor, neighbours: int
) -> FusedProposals | SearchRefusal:
    """The kernel with a bank it was tried on, or why it is not used.

    Args:
        rows: (M, D) float16 on a CUDA device.
        norms: (M,) float32, their squared lengths.
        neighbours: nearest rows it will be asked for.

    Raises:
        torch.OutOfMemoryError: the device has not the memory to try it.
    """
    capability = torch.cuda.get_device_capability(rows.device)
    if capability < _OLDEST:
        return SearchRefusal("card_too_old", f"compute capability {capability}, expected {_OLDEST} or newer")
    if "CC" not in os.environ and shutil.which("gcc") is None and shutil.which("clang") is None:
        return SearchRefusal("no_c_compiler", "Triton needs a C compiler; install gcc or clang")
    made = FusedProposals(rows, norms)
    # Each number of neighbours is a kernel of its own; for more than these it is not asked.
    return refusal(made, rows, norms, min(neighbours, made.most_neighbours)) or made


def refusal(
    made: Proposals, rows: torch.Tensor, norms: torch.Tensor, neighbours: int
) -> SearchRefusal | None:
    """Try proposals on their own bank: the reason why they must not be used, or None.

    Args:
        made: the proposals.
        rows: (M, D) float16.
        norms: (M,) float32, their squared lengths.
        neighbours: nearest rows to ask for.

    Raises:
        torch.OutOfMemoryError: the device has not the memory to try it.
    """
    try:
        wrong = misses(made, rows, norms, neighbours)
    except torch.OutOfMemoryError:
        raise  # not the kernel's fault: whoever loads the bank reports a full device
    except (TritonError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return SearchRefusal("not_compiled", f"{type(error).__name__}: {error}", unexpected=True)
    return (
        SearchRefusal("wrong_rows", f"{wrong} of a sample's nearest rows", unexpected=True) if wrong else None
    )


def misses(made: Proposals, rows: torch.Tensor, norms: torch.Tensor, neighbours: int) -> int:
    """Number of a sample of queries whose nearest `neighbours` rows are not among those proposed.

    The queries lie near rows from the whole bank, so that every share and tile of it is tried, and not on
    them, so that no distance is zero by chance.
    """
    most = shortlist(neighbours, len(rows))
    spread = torch.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows)), device=rows.device).long()
    queries = torch.lerp(rows[spread].float(), rows[spread.flip(0)].float(), _ASIDE).half()
    found = made.propose(queries, most.k, most.k_candidates)
    exact = queries.float()
    nearest = torch.full((len(queries), most.k), torch.inf, device=rows.device)
    for start in range(0, len(rows), _TRIED_ROWS):
        block = slice(start, start + _TRIED_ROWS)
        distances = norms[block] - 2.0 * (exact @ rows[block].float().T)
        nearest = torch.cat([nearest, distances], dim=1).topk(most.k, dim=1, largest=False)[0]
    measured = norms[found] - 2.0 * (exact[:, None, :] * rows[found].float()).sum(dim=2)
    best = measured.topk(most.k, dim=1, largest=False)[0]
    # Nearer than the nearest is wrong, too: the same row was proposed twice.
    return int(((best - nearest).abs() > _TOLERANCE).any(dim=1).sum())


def _processors(device: torch.device) -> int:
    if device.type != "cuda":  # Triton's interpreter
        return _HOST_PROCESSORS
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
