"""The nearest rows of a bank by three Triton kernels: no matrix of distances is written to memory.

Queries are prepared, the smallest distances of every tile of rows found in low precision, and the rows of the
best of these measured again in float32. Imported only where Triton is, by `backends.cuda.search`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
import triton
import triton.language as tl
from torch.nn import functional

from inspectd.backends.cuda.proposals import BLOCK_BYTES, MOST_BY_TILES, weights_of
from inspectd.backends.shortlist import shortlist

_FAR: Final = 3.0e38
"""Stands where there is no row; infinity would become a NaN when a column is packed into it."""
_GROUP: Final = 16
"""Tiles of queries whose rows are gone through together, so that these stay in a card's L2 cache."""
_LISTED: Final = 256
_MEASURED_QUERIES: Final = 2
_MEASURED_DIMS: Final = 128
"""Most minima looked at together, queries of a program of `measure_again`, and dimensions at a time.

A program is one warp, so that nothing waits at a barrier."""
_PREPARED: Final = 2048
"""Values of a program of `prepare`."""
_BLOCK_ROWS: Final = 8192
_HOST_PROGRAMS: Final = 4
_SMALL_CARD: Final = 99 << 10
_SHALLOW: Final = 512
_OPTIONS: Final = {"enable_fp_fusion": True}
"""Of every launch: Triton's default is about to change, and it warns of that."""


@dataclass(frozen=True)
class Precision:
    """What rows and queries are multiplied in, with sums in float32.

    Attributes:
        most_of_rows: the largest component of a row after scaling.
        most_of_queries: that of a query; one that is larger is shortened.
        spare: minima of each tile beyond the number of neighbours.
    """

    dtype: torch.dtype
    most_of_rows: float
    most_of_queries: float
    spare: int


PRECISIONS: Final = {
    "exact-float8": Precision(torch.float8_e4m3fn, 112.0, 448.0, 1),
    "exact-fused": Precision(torch.float16, 16.0, 16384.0, 0),
}
"""By kind of search. float8 confuses near rows of one tile, so it has more of each measured again."""


@dataclass(frozen=True)
class Tile:
    """Queries and rows of a tile, how many dimensions are multiplied at a time, and a program's size."""

    queries: int
    rows: int
    dims: int
    warps: int
    stages: int

    @property
    def options(self) -> dict[str, int]:
        """As a launch takes them."""
        return {"num_warps": self.warps, "num_stages": self.stages, **_OPTIONS}


def tile_for(dtype: torch.dtype, dims: int, shared_bytes: int) -> Tile:
    """The tile for a card.

    Args:
        dtype: rows and queries are multiplied in.
        dims: of them.
        shared_bytes: shared memory that a program can have on it.
    """
    # Few dimensions would be filled up with many zeros.
    depth = (32 if dims < _SHALLOW else 64) * (2 // dtype.itemsize)
    if shared_bytes <= _SMALL_CARD:
        return Tile(128, 128, 32 * (2 // dtype.itemsize), warps=8, stages=3)
    return Tile(128, 256, depth, warps=8, stages=3)


@triton.jit(do_not_specialize=["count"])  # type: ignore[untyped-decorator]
def prepare(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0917 - Triton reads annotations, and launches
    queries, mean, low, shifts,  # noqa: ANN001 - pointers
    count, scale, most,  # noqa: ANN001 - int32, float32, float32
    dims: tl.constexpr, filled: tl.constexpr, queries_tile: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """Move and scale queries as the bank was, and round them.

    Args:
        queries: (count, dims) float32.
        mean: (dims,) float32.
        low: (count, filled) float16 or float8 e4m3, written; finite, filled up with zeros.
        shifts: (count,) float32, written: -||q||^2 / 2 of the rounded queries.
        count: queries.
        scale: of the bank.
        most: the largest component; a longer query is shortened to it and keeps its direction.
        dims: of a query.
        filled: a multiple of a tile's dimensions.
        queries_tile: queries of a program.
        width: a power of two, at least `filled`.
    """
    places = tl.program_id(0) * queries_tile + tl.arange(0, queries_tile)
    depth = tl.arange(0, width)
    there = (places < count)[:, None] & (depth < dims)[None, :]
    values = tl.load(queries + places[:, None].to(tl.int64) * dims + depth[None, :], mask=there, other=0.0)
    values = (values - tl.load(mean + depth, mask=depth < dims, other=0.0)[None, :]) * scale
    # NaN has no nearest row; any will do, as the distance measured to it is NaN.
    values = tl.where(values == values, values, 0.0)  # noqa: PLR0124
    values = tl.minimum(tl.maximum(values, -1.0e30), 1.0e30)
    largest = tl.max(tl.abs(values), axis=1)
    values = values * tl.minimum(most / tl.maximum(largest, 1.0e-30), 1.0)[:, None]
    rounded = values.to(low.dtype.element_ty)
    stored = (places < count)[:, None] & (depth < filled)[None, :]
    tl.store(low + places[:, None].to(tl.int64) * filled + depth[None, :], rounded, mask=stored)
    exact = rounded.to(tl.float32)
    tl.store(shifts + places, -0.5 * tl.sum(exact * exact, axis=1), mask=places < count)


@triton.jit(do_not_specialize=["count", "row_tiles", "query_tiles", "programs"])  # type: ignore[untyped-decorator]
def tile_minima(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0917 - as above
    queries, shifts, rows, nears, slopes, minima,  # noqa: ANN001 - pointers
    count, row_tiles, query_tiles, programs, dims,  # noqa: ANN001 - int32
    queries_tile: tl.constexpr, rows_tile: tl.constexpr, dims_tile: tl.constexpr,
    group: tl.constexpr, taken: tl.constexpr, relative: tl.constexpr,
):  # fmt: skip
    """Find the smallest distances of every query to every tile of rows: w ||q - c||^2.

    Programs go through all pairs of a tile of queries and one of rows, with a stride of their number. The
    column of a row takes the place of its distance's lowest bits, an error of at most 3e-5 of it.

    Args:
        queries: (count, dims) float16 or float8 e4m3, finite.
        shifts: (count,) float32, -||q||^2 / 2.
        rows: (row_tiles * rows_tile, dims), as the queries.
        nears: (row_tiles * rows_tile,) float32, w ||c||^2; _FAR where there is no row.
        slopes: (row_tiles * rows_tile,) float32, -2 w; not looked at where not `relative`, when w is 1.
        minima: (row_tiles * taken, count) float32, written: distances with columns in their lowest bits.
        count: queries.
        row_tiles: tiles of rows.
        query_tiles: tiles of queries.
        programs: launched.
        dims: a multiple of dims_tile.
        queries_tile: queries of a tile.
        rows_tile: rows of a tile, a power of two.
        dims_tile: dimensions multiplied at a time.
        group: tiles of queries that go through all rows together.
        taken: distances of each tile.
        relative: whether rows have weights.
    """
    columns = tl.arange(0, rows_tile)
    depth = tl.arange(0, dims_tile)
    for number in range(tl.program_id(0), row_tiles * query_tiles, programs):
        first = number // (group * row_tiles) * group
        wide = tl.minimum(query_tiles - first, group)
        inside = number - first * row_tiles
        tile = inside // wide
        places = (first + inside % wide) * queries_tile + tl.arange(0, queries_tile)
        # Queries past the end compute what the last one does; nothing is stored of them.
        own = tl.minimum(places, count - 1)
        at = tile * rows_tile + columns
        left = queries + own[:, None].to(tl.int64) * dims + depth[None, :]
        right = rows + at[None, :].to(tl.int64) * dims + depth[:, None]
        products = tl.zeros((queries_tile, rows_tile), tl.float32)
        for _ in range(0, dims, dims_tile):
            products = tl.dot(tl.load(left), tl.load(right), products)
            left += dims_tile
            right += dims_tile
        products += tl.load(shifts + own)[:, None]
        if relative:
            distances = tl.load(nears + at)[None, :] + tl.load(slopes + at)[None, :] * products
        else:
            distances = tl.load(nears + at)[None, :] - 2.0 * products
        packed = (distances.to(tl.int32, bitcast=True) & (-rows_tile)) | columns[None, :]
        keys = packed.to(tl.float32, bitcast=True)
        for turn in tl.static_range(taken):
            least = tl.min(keys, axis=1)
            tl.store(minima + (tile * taken + turn).to(tl.int64) * count + places, least, mask=places < count)
            if turn + 1 < taken:
                keys = tl.where(keys == least[:, None], float("inf"), keys)


@triton.jit(do_not_specialize=["count", "listed", "last"])  # type: ignore[untyped-decorator]
def measure_again(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0917 - as above
    queries, bank, spacing, minima, distances, found,  # noqa: ANN001 - pointers
    count, listed, last,  # noqa: ANN001 - int32
    dims: tl.constexpr, queries_tile: tl.constexpr, rows_tile: tl.constexpr, dims_tile: tl.constexpr,
    chunk: tl.constexpr, at_once: tl.constexpr, taken: tl.constexpr, kept: tl.constexpr,
    neighbours: tl.constexpr, relative: tl.constexpr,
):  # fmt: skip
    """Measure the rows of the smallest minima in float32 and keep the nearest.

    Args:
        queries: (count, dims) float32.
        bank: (last + 1, dims) float32.
        spacing: (last + 1,) float32, what distances are divided by; not looked at where not `relative`.
        minima: (listed, count) float32, of `tile_minima`.
        distances: (count, neighbours) float32, written, ascending; NaN where a query holds one.
        found: (count, neighbours) int64, written; rows of the bank in any case.
        count: queries.
        listed: minima of a query.
        last: row of the bank.
        dims: of a query.
        queries_tile: queries of a program.
        rows_tile: rows of a tile of `tile_minima`.
        dims_tile: dimensions at a time, a power of two.
        chunk: minima at a time, a power of two.
        at_once: whether `listed` is at most that.
        taken: minima of each tile.
        kept: minima whose rows are measured, a power of two.
        neighbours: nearest rows of the answer.
        relative: whether distances are divided.
    """
    places = tl.program_id(0) * queries_tile + tl.arange(0, queries_tile)
    there = places < count
    own = tl.minimum(places, count - 1)
    ranks = tl.arange(0, kept)
    slots = tl.arange(0, chunk)
    best = tl.full((queries_tile, kept), float("inf"), tl.float32)
    chosen = tl.zeros((queries_tile, kept), tl.int32)
    for start in range(0, listed, chunk):
        at = start + slots
        keys = tl.load(
            minima + at[None, :].to(tl.int64) * count + own[:, None],
            mask=(at < listed)[None, :],
            other=float("inf"),
        )
        for rank in tl.static_range(kept):
            least, slot = tl.min(keys, axis=1, return_indices=True)
            row = (start + slot) // taken * rows_tile + (least.to(tl.int32, bitcast=True) & (rows_tile - 1))
            if at_once:
                replaced = ranks[None, :] == rank
            else:
                worst, worst_rank = tl.max(best, axis=1, return_indices=True)
                replaced = (ranks[None, :] == worst_rank[:, None]) & (least < worst)[:, None]
            best = tl.where(replaced, least[:, None], best)
            chosen = tl.where(replaced, row.to(tl.int32)[:, None], chosen)
            keys = tl.where(slots[None, :] == slot[:, None], float("inf"), keys)
    chosen = tl.minimum(chosen, last)
    squares = tl.zeros((queries_tile, kept, dims_tile), tl.float32)
    for start in range(0, dims, dims_tile):
        depth = start + tl.arange(0, dims_tile)
        inside = depth < dims
        query = tl.load(
            queries + own[:, None].to(tl.int64) * dims + depth[None, :], mask=inside[None, :], other=0.0
        )
        row = tl.load(
            bank + chosen[:, :, None].to(tl.int64) * dims + depth[None, None, :],
            mask=inside[None, None, :],
            other=0.0,
        )
        offsets = query[:, None, :] - row
        squares += offsets * offsets
    sums = tl.sum(squares, axis=2)
    if relative:
        width = tl.load(spacing + chosen)
        sums = sums / (width * width)
    # A distance that is no number comes last of the rows measured, and what is no row after it.
    order = tl.where(sums < 3.0e38, sums, 3.0e38)
    order = tl.where(best < 1.0e38, order, float("inf"))
    for rank in tl.static_range(neighbours):
        here = ranks[None, :] == tl.argmin(order, axis=1)[:, None]
        nearest = tl.sum(tl.where(here, sums, 0.0), axis=1)
        row = tl.sum(tl.where(here, chosen, 0), axis=1)
        tl.store(distances + own.to(tl.int64) * neighbours + rank, tl.sqrt_rn(nearest), mask=there)
        tl.store(found + own.to(tl.int64) * neighbours + rank, row.to(tl.int64), mask=there)
        order = tl.where(here, float("inf"), order)


class TileSearch:
    """Searches a bank by tiles; see `model.search.NearestNeighbours`.

    A query's nearest rows are among those measured unless low precision takes others of their tile for
    nearer; then a distance is larger than it should be, never smaller.

    Args:
        bank: (M, D) float32, kept.
        kind: one of `PRECISIONS`.
        spacing: (M,) float32, kept, what the distance to each row is divided by; None: nothing.
    """

    recordable: ClassVar[bool] = True
    most_neighbours: ClassVar[int] = MOST_BY_TILES

    def __init__(self, bank: torch.Tensor, kind: str, spacing: torch.Tensor | None = None) -> None:
        self.kind = kind
        self._bank = bank.contiguous()
        self._spacing = spacing
        self._precision = PRECISIONS[kind]
        count, dims = bank.shape
        shared_bytes, processors = _card(bank.device)
        self._tile = tile_for(self._precision.dtype, dims, shared_bytes)
        self._programs = processors  # a tile takes most registers of a multiprocessor
        self._row_tiles = -(-count // self._tile.rows)
        self._mean = bank.mean(dim=0)
        self._filled = dims + -dims % self._tile.dims
        there = self._row_tiles * self._tile.rows
        blocks = [slice(start, start + _BLOCK_ROWS) for start in range(0, count, _BLOCK_ROWS)]
        largest = max(float((bank[block] - self._mean).abs().max()) for block in blocks)
        self._scale = self._precision.most_of_rows / max(largest, 1e-30)
        rows = torch.zeros((there, self._filled), dtype=self._precision.dtype, device=bank.device)
        nears = torch.full((there,), _FAR, dtype=torch.float32, device=bank.device)
        for block in blocks:
            scaled = (bank[block] - self._mean).mul_(self._scale)
            rounded = functional.pad(scaled, (0, self._filled - dims)).to(self._precision.dtype)
            part = slice(block.start, block.start + len(rounded))
            rows[part] = rounded
            # Of the rows as they are multiplied: rounding then weighs by distance, not by length.
            nears[part] = rounded.float().square().sum(dim=1)
        self._slopes = None
        if spacing is not None:
            weights = weights_of(spacing)
            nears[:count] *= weights
            self._slopes = functional.pad(-2.0 * weights, (0, there - count))
        self._rows, self._nears = rows, nears

    def search(
        self, queries: torch.Tensor, neighbours: int, most_programs: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `NearestNeighbours.search`.

        Args:
            queries: (Q, D) float32 on the bank's device.
            neighbours: rows to find for each, at most the bank's and `most_neighbours`.
            most_programs: that search together; None: as many as the card runs at a time.
        """
        queries = queries.float().contiguous()
        candidates = shortlist(neighbours, len(self._bank)).k_candidates
        taken = neighbours + self._precision.spare
        # Where there are few tiles each has to give more, so that there are enough candidates.
        if self._row_tiles * taken < candidates:
            taken = candidates
        taken = min(taken, len(self._bank))
        # Blocks begin at a multiple of a tile, so that Triton sees the same alignment in all of them.
        tiles = max(1, BLOCK_BYTES // (4 * self._row_tiles * taken * self._tile.queries))
        answers = []
        for block in queries.split(tiles * self._tile.queries):  # type: ignore[no-untyped-call]
            minima = self._minima(block, taken, most_programs or self._programs)
            answers.append(self._measured(block, minima, taken, candidates, neighbours))
        if len(answers) == 1:
            return answers[0]
        return torch.cat([distances for distances, _ in answers]), torch.cat([rows for _, rows in answers])

    def programs_for(self, count: int, rounds: int) -> int:
        """So few programs that each of them goes through `rounds` pairs of tiles for `count` queries."""
        pairs = self._row_tiles * -(-count // self._tile.queries)
        return max(1, min(self._programs, pairs // rounds))

    def _minima(self, queries: torch.Tensor, taken: int, most_programs: int) -> torch.Tensor:
        count, dims = queries.shape
        width = triton.next_power_of_2(self._filled)
        together = max(1, _PREPARED // width)
        low = torch.empty((count, self._filled), dtype=self._precision.dtype, device=queries.device)
        shifts = torch.empty(count, dtype=torch.float32, device=queries.device)
        prepare[(-(-count // together),)](
            queries, self._mean, low, shifts, count, self._scale, self._precision.most_of_queries,
            dims=dims, filled=self._filled, queries_tile=together, width=width, num_warps=4, **_OPTIONS,
        )  # fmt: skip
        query_tiles = -(-count // self._tile.queries)
        programs = min(most_programs, self._row_tiles * query_tiles)
        minima = torch.empty((self._row_tiles * taken, count), dtype=torch.float32, device=queries.device)
        tile_minima[(programs,)](
            low, shifts, self._rows, self._nears, self._nears if self._slopes is None else self._slopes,
            minima, count, self._row_tiles, query_tiles, programs, self._filled,
            queries_tile=self._tile.queries, rows_tile=self._tile.rows, dims_tile=self._tile.dims,
            group=_GROUP, taken=taken, relative=self._slopes is not None, **self._tile.options,
        )  # fmt: skip
        return minima

    def _measured(
        self, queries: torch.Tensor, minima: torch.Tensor, taken: int, candidates: int, neighbours: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count, dims = queries.shape
        distances = torch.empty((count, neighbours), dtype=torch.float32, device=queries.device)
        rows = torch.empty((count, neighbours), dtype=torch.int64, device=queries.device)
        chunk = min(triton.next_power_of_2(len(minima)), _LISTED)
        measure_again[(-(-count // _MEASURED_QUERIES),)](
            queries, self._bank, self._bank if self._spacing is None else self._spacing, minima,
            distances, rows, count, len(minima), len(self._bank) - 1,
            dims=dims, queries_tile=_MEASURED_QUERIES, rows_tile=self._tile.rows, dims_tile=_MEASURED_DIMS,
            chunk=chunk, at_once=len(minima) <= chunk, taken=taken, kept=triton.next_power_of_2(candidates),
            neighbours=neighbours, relative=self._spacing is not None, num_warps=1, **_OPTIONS,
        )  # fmt: skip
        return distances, rows


def _card(device: torch.device) -> tuple[int, int]:
    """Bytes of shared memory a program can have, and multiprocessors."""
    if device.type != "cuda":  # Triton's interpreter
        return _SMALL_CARD, _HOST_PROGRAMS
    card = torch.cuda.get_device_properties(device)
    return int(card.shared_memory_per_block_optin), int(card.multi_processor_count)
