"""Run by test_tile_search.py with TRITON_INTERPRET=1: the kernels on the CPU, their findings as JSON."""

import json
from typing import Any

import torch

from inspectd.backends.cuda import search as searches
from inspectd.backends.cuda import tile_search
from inspectd.backends.cuda.tile_search import PRECISIONS, TileSearch

HOPPER = (227 << 10, 3)
"""Shared memory and multiprocessors: larger tiles."""
CASES = [(1, 7, 3, 1), (5, 7, 3, 4), (130, 40, 129, 1), (300, 1100, 5, 2), (257, 40, 6, 4), (700, 152, 8, 1)]
"""Rows, dimensions, queries and neighbours: fewer and more than a tile, few tiles and many."""

generator = torch.Generator().manual_seed(0)


def random(rows: int, dims: int) -> torch.Tensor:
    return 5.0 + 3.0 * torch.randn(rows, dims, generator=generator)


def held(search: TileSearch, bank: torch.Tensor, points: torch.Tensor, neighbours: int) -> dict[str, Any]:
    """What a search finds, against float64."""
    distances, rows = search.search(points, neighbours)
    every = torch.cdist(points.double(), bank.double())
    if search._spacing is not None:
        every /= search._spacing.double()
    nearest = every.topk(neighbours, dim=1, largest=False)[0]
    own = every.gather(1, rows)
    return {
        "shape": [list(distances.shape), list(rows.shape)],
        "wanted": [len(points), neighbours],
        "farthest": (own / nearest.clamp_min(1e-9)).max().item(),
        "off": (distances / own.clamp_min(1e-9) - 1.0).abs().max().item(),
        "twice": sum(len(set(some.tolist())) < neighbours for some in rows),
    }


def against_float64(kind: str, cases: list[tuple[int, ...]]) -> list[dict[str, Any]]:
    found = []
    for number, (rows, dims, queries, neighbours) in enumerate(cases):
        bank, points = random(rows, dims), random(queries, dims)
        near = torch.randint(rows, (queries // 2,), generator=generator)
        points[: queries // 2] = bank[near] + 0.3 * torch.randn(queries // 2, dims, generator=generator)
        spacing = None if number % 2 else 0.2 + torch.rand(rows, generator=generator)
        found.append(held(TileSearch(bank, kind, spacing), bank, points, neighbours))
    return found


def unusual(kind: str) -> dict[str, Any]:
    """Queries that are no numbers, infinite or far away, and rows that are equal."""
    bank = random(300, 24)
    bank[7] = bank[200] = bank[100]
    search = TileSearch(bank, kind, torch.full((300,), 0.5))
    points = bank[100:106].clone()
    points[1, 3] = torch.nan
    points[2] = torch.inf
    points[3] = 1e30
    points[4] += 1e6 * torch.sign(bank[4] - bank.mean(dim=0))
    points[5] = -torch.inf
    distances, rows = search.search(points, 3)
    return {
        "equal": [sorted(rows[0].tolist()), distances[0].tolist()],
        "no_number": distances[1].isnan().all().item(),
        "infinite": [distances[place].tolist() for place in (2, 5)],
        "far": [bool(torch.isfinite(distances[place]).all()) for place in (3, 4)],
        "least_far": distances[4].min().item(),
        "outside": int(((rows < 0) | (rows >= 300)).sum()),
    }


def divided(kind: str) -> dict[str, bool]:
    """The same answers however the work is divided."""
    bank, points = random(600, 24), random(9, 24)
    search = TileSearch(bank, kind)
    expected = search.search(points, 2)

    def same(answer: tuple[torch.Tensor, torch.Tensor]) -> bool:
        return all(torch.equal(one, other) for one, other in zip(answer, expected, strict=True))

    found = {"one program": same(search.search(points, 2, 1))}
    tile_search._LISTED, chunk = 4, tile_search._LISTED  # type: ignore[misc]
    found["minima in turn"] = same(search.search(points, 2))
    tile_search._LISTED, tile_search.BLOCK_BYTES = chunk, 1  # type: ignore[misc]
    found["queries in turn"] = same(search.search(points, 2))
    return found


def tried() -> list[str | None]:
    """What a trial says of a search of its bank, and of one with a tile that is another's."""
    bank, spacing = random(600, 24), 0.5 + torch.rand(600, generator=generator)
    search = TileSearch(bank, "exact-fused", spacing)
    right = searches.wrong_rows(search, bank, 1, spacing)
    search._rows[128:256] = search._rows[:128]
    return [right, searches.wrong_rows(search, bank, 1, spacing)]


searches._SAMPLE = 60  # type: ignore[misc]
found: dict[str, Any] = {"tried": tried()}
for kind in PRECISIONS:
    found[kind] = {"cases": against_float64(kind, CASES), "unusual": unusual(kind)}
    tile_search._card, host = lambda _device: HOPPER, tile_search._card
    found[kind]["cases"] += against_float64(kind, CASES[-2:])
    tile_search._card = host
    block_bytes = tile_search.BLOCK_BYTES
    found[kind]["divided"] = divided(kind)
    tile_search.BLOCK_BYTES = block_bytes  # type: ignore[misc]
print(json.dumps(found))
