"""The score is that of an exact search, whatever the lists hold, and no patch is searched for twice."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from inspectd.backends.openvino.exact import ExactIndex, Expansion
from inspectd.backends.openvino.lazy import AT_ONCE, LazySearch, PlaceBounds, Windows
from inspectd.bank.lists import nearest_rows, place_lists
from inspectd.model.head import Head, image_embedding
from inspectd.model.lists import blocks
from inspectd.model.options import HeadOptions, PaDiMOptions, PatchCoreOptions, smoothing_reach
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore

GRID = (18, 23)  # no multiples of a block's side
PATCHES = GRID[0] * GRID[1]
DIMS = 40
GENERATOR = torch.Generator().manual_seed(0)
PLACE = 3 * torch.randn(*GRID, DIMS, generator=GENERATOR)
"""What a good part looks like at each place."""


def good(count: int) -> torch.Tensor:
    return PLACE + torch.randn(count, *GRID, DIMS, generator=GENERATOR)


def cases() -> Iterator[tuple[str, torch.Tensor]]:
    yield "good", good(1)
    spot = good(1)
    spot[0, 5:7, 9:12] += 2
    yield "spot", spot
    corner = good(1)
    corner[0, -1, -1] += 4
    yield "corner", corner
    yield "odd everywhere", good(1) + 5 * torch.randn(1, *GRID, DIMS, generator=GENERATOR)
    shuffled = good(1).flatten(1, 2)[:, torch.randperm(PATCHES, generator=GENERATOR)]
    yield "shuffled", shuffled.reshape(1, *GRID, DIMS)
    yield "flat", torch.zeros(1, *GRID, DIMS)


TRAINING = good(12)
CASES = dict(cases())
MASK = torch.ones(GRID, dtype=torch.bool)
MASK[:6] = False


class Trial:
    """A reference, and the same bank searched lazily; what was searched for, and every score on the way."""

    def __init__(
        self,
        rows: int = 700,
        neighbours: int = 1,
        mask: torch.Tensor | None = None,
        lists: Callable[[torch.Tensor], torch.Tensor] = lambda lists: lists,
        **head: float,
    ) -> None:
        bank = TRAINING.reshape(-1, DIMS)[torch.randperm(12 * PATCHES, generator=GENERATOR)[:rows]]
        options = PatchCoreOptions(neighbours=neighbours)
        self.detector = PatchCore(bank, options, positions=PaDiM.fit(TRAINING, PaDiMOptions(), 0))
        maps = self.detector.score_maps(good(8))
        self.head = Head.fit(HeadOptions(**head), maps, image_embedding(good(8)), mask)
        scale, own = (
            self.detector.scale.numpy(),
            lists(place_lists(nearest_rows(self.detector, TRAINING), self.detector.rows)).numpy(),
        )
        count = self.detector.neighbours
        expansion = Expansion(bank.numpy(), scale)
        self.whole = ExactIndex(expansion, count, "float32", PATCHES, 1)
        exact = ExactIndex(expansion, count, "float32", AT_ONCE, 1)
        bounds = PlaceBounds(expansion, own, GRID, count, 1)
        scored = np.ones(PATCHES, dtype=bool) if mask is None else mask.flatten().numpy()
        reach = smoothing_reach(self.head.options.smoothing)
        windows = Windows(GRID, reach, scored, self.head.options.top)
        self.search = LazySearch(bounds, exact, windows)

    def judged(self, features: torch.Tensor, distances: torch.Tensor) -> tuple[float, np.ndarray]:
        places = self.detector.positions.score_maps(features)
        rows = torch.zeros(distances.shape, dtype=torch.int64)
        maps = self.detector.score_maps_of(features, distances, rows, places)
        score, heatmap = self.head(maps, image_embedding(features))
        return float(score), heatmap[0].numpy()

    def lazy(self, features: torch.Tensor) -> tuple[list[float], np.ndarray, int]:
        """The score after every call of the judge, the last heatmap, and the patches searched for."""
        judged = []

        def heatmap(distances: np.ndarray) -> np.ndarray:
            judged.append(self.judged(features, torch.from_numpy(distances.copy())))
            return judged[-1][1]

        searched = self.search.search(features.reshape(-1, DIMS).numpy(), heatmap)
        return [score for score, _ in judged], judged[-1][1], searched

    def brute(self, features: torch.Tensor) -> tuple[float, np.ndarray]:
        distances, _ = self.whole.search(features.reshape(-1, DIMS).numpy())
        return self.judged(features, torch.from_numpy(distances.copy()))


@pytest.fixture(scope="module")
def usual() -> Trial:
    return Trial()


def holds(trial: Trial, features: torch.Tensor) -> int:
    scores, heatmap, searched = trial.lazy(features)
    score, whole = trial.brute(features)
    assert scores[-1] == pytest.approx(score, abs=1e-5, rel=1e-5)
    assert np.diff(scores).max(initial=0) <= 1e-5  # a bound is never too low
    assert (heatmap >= whole - 1e-4 * np.abs(whole).max()).all()
    assert searched <= PATCHES
    return searched


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_an_exact_search(usual: Trial, case: str) -> None:
    searched = holds(usual, CASES[case])
    if case in {"good", "spot", "corner"}:
        assert searched < PATCHES / 2


@pytest.mark.parametrize("case", ["good", "spot", "shuffled"])
@pytest.mark.parametrize(
    "trial",
    [
        {"neighbours": 3},
        {"rows": 3},
        {"mask": MASK},
        {"smoothing": 0.0, "top": 1},
        {"smoothing": 2.0, "top": 30},
        {"lists": lambda lists: lists.flip(1)},
        {"lists": lambda lists: lists.flip(0)},
        {"lists": torch.zeros_like},
    ],
    ids=["neighbours", "rows", "mask", "sharp", "smooth", "other rows", "other places", "one row"],
)
def test_so_they_are_with_any_settings_and_any_lists(trial: dict, case: str) -> None:
    holds(Trial(**trial), CASES[case])


def test_bounds_are_never_below_the_distances(usual: Trial) -> None:
    for features in CASES.values():
        queries = features.reshape(-1, DIMS).numpy()
        distances, _ = usual.whole.search(queries)
        assert (usual.search._bounds.search(queries) >= distances).all()


def test_no_patch_is_wanted_twice_and_few_calls_serve_all() -> None:
    windows = Windows(GRID, 2, np.ones(PATCHES, dtype=bool), 3)
    known = np.zeros(PATCHES, dtype=bool)
    heatmap = np.random.default_rng(0).uniform(size=GRID).astype(np.float32)
    calls = 0
    while len(wanted := windows.wanted(heatmap, known)):
        assert not known[wanted].any()
        assert len(set(wanted.tolist())) == len(wanted)
        known[wanted] = True
        heatmap.reshape(-1)[wanted] -= 10  # odder places turn up each time
        calls += 1
    assert known.all()
    assert calls <= 5


def test_blocks_hold_every_patch() -> None:
    for grid in [GRID, (1, 1), (4, 8), (3, 5)]:
        found = blocks(*grid)
        assert set(found.flatten().tolist()) == set(range(grid[0] * grid[1]))
        assert found.shape == (-(-grid[0] // 4) * -(-grid[1] // 4), 16)
    assert blocks(4, 8)[1].tolist() == [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]


def test_lists_hold_the_rows_that_win_at_their_place(usual: Trial) -> None:
    lists = place_lists(nearest_rows(usual.detector, TRAINING), usual.detector.rows)
    assert lists.shape == (len(blocks(*GRID)), 700 // 8)
    assert all(len(set(rows.tolist())) == len(rows) for rows in lists)
    features = good(1)
    _, rows = usual.whole.search(features.reshape(-1, DIMS).numpy())
    own = [
        np.isin(rows[patches], of_block).mean()
        for patches, of_block in zip(blocks(*GRID), lists, strict=True)
    ]
    assert np.mean(own) > 0.5
