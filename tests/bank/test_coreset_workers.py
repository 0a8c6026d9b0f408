import itertools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.bank.build import BankBuilder, build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.coreset import Coreset, PointsHere, coreset_of, first_of, greedy_coreset, greedy_over
from inspectd.bank.coreset_workers import CoresetWorkers
from inspectd.bank.images import find_images
from inspectd.bank.patches import SharedFeatures
from inspectd.errors import InputError, UnavailableError

IMAGES, PLACES, DIMS = 60, 64, 24
ALL = np.arange(IMAGES)
MASK = torch.arange(PLACES).reshape(8, 8) % 3 > 0


def features_like_real_ones() -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    shared = torch.randn(IMAGES * PLACES, 6, generator=generator) @ torch.randn(6, DIMS, generator=generator)
    noise = torch.randn(IMAGES * PLACES, DIMS, generator=generator)
    return (shared + 0.1 * noise).abs().reshape(IMAGES, 8, 8, DIMS)


@pytest.fixture
def shared() -> Iterator[SharedFeatures]:
    with closing(SharedFeatures.make((IMAGES + 5, 8, 8, DIMS), torch.float16)) as made:
        made.tensor[:IMAGES] = features_like_real_ones().half()
        yield made


def by_workers(
    shared: SharedFeatures, workers: int, images: np.ndarray, mask: torch.Tensor | None, count: int
) -> Coreset:
    with CoresetWorkers(shared, IMAGES, mask, workers, seed=3) as made:
        return made.choose(images, count, lambda _: None)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_in_one_process_choose_what_one_list_does(parts: int) -> None:
    points = features_like_real_ones().flatten(0, 2)
    whole = coreset_of(points, 700, seed=3)
    cuts = np.linspace(0, len(points), parts + 1).astype(int)
    pieces = [PointsHere(points[a:b], int(a)) for a, b in itertools.pairwise(cuts)]
    found = greedy_over(pieces, first_of(len(points), 3), 700)
    assert torch.equal(found.rows, whole.rows)
    assert torch.equal(found.values, points[whole.rows])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    side=st.integers(1, 4),
    share=st.floats(0.01, 1),
)
def test_also_where_points_are_tied_or_equal(seed: int, sizes: list[int], side: int, share: float) -> None:
    """Whole numbers have exact distances, many of them equal, so the order of ties shows."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(-side, side + 1, (sum(sizes), 3), generator=generator).float()
    count = max(1, round(share * len(points)))
    starts = np.cumsum([0, *sizes]).tolist()
    parts = [PointsHere(points[a : a + n], a) for a, n in zip(starts, sizes, strict=False)]
    found = greedy_over(parts, first_of(len(points), seed), count)
    assert torch.equal(found.rows, greedy_coreset(points, count, seed))


def test_the_radius_is_the_largest_distance_that_is_left() -> None:
    points = features_like_real_ones().flatten(0, 2)
    found = coreset_of(points, 100, seed=0)
    farthest = torch.cdist(points.double(), found.values.double()).amin(dim=1).max()
    assert found.radius == pytest.approx(float(farthest), rel=1e-4)
    assert coreset_of(points, len(points), seed=0).radius == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_choose_what_one_process_does(shared: SharedFeatures, workers: int) -> None:
    whole = coreset_of(shared.tensor[:IMAGES].flatten(0, 2), 500, seed=3)
    found = by_workers(shared, workers, ALL, None, 500)
    assert torch.equal(found.rows, whole.rows)
    assert torch.equal(found.values, whole.values)
    assert found.radius == pytest.approx(whole.radius, rel=1e-5)


def test_of_some_images_and_places(shared: SharedFeatures) -> None:
    kept = np.setdiff1d(ALL, np.arange(3, IMAGES, 10))
    points = shared.tensor[torch.from_numpy(kept)][:, MASK].flatten(0, 1)
    whole = coreset_of(points, 300, seed=3)
    found = by_workers(shared, 2, kept, MASK, 300)
    assert torch.equal(found.values, whole.values)


def test_one_that_is_killed_is_made_anew_and_the_choice_is_the_same(shared: SharedFeatures) -> None:
    whole = coreset_of(shared.tensor[:IMAGES].flatten(0, 2), 600, seed=3)
    with CoresetWorkers(shared, IMAGES, None, 2, seed=3) as workers:

        def kill(done: int) -> None:
            if workers.lost == (done > 200) + (done > 400):
                return
            victim = workers.parts[workers.lost].process
            os.kill(victim.pid, signal.SIGKILL)

        found = workers.choose(ALL, 600, kill)
        assert workers.lost == 2
        again = workers.choose(ALL, 600, lambda _: None)
    assert torch.equal(found.rows, whole.rows)
    assert torch.equal(again.rows, whole.rows)


def test_one_that_cannot_be_kept_alive_ends_the_build(
    shared: SharedFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CoresetWorkers(shared, IMAGES, None, 2, seed=3) as workers:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        os.kill(workers.parts[1].process.pid, signal.SIGKILL)
        expected = r"the one for images 31 to 60 was lost 3 times in a row, the last time with exit code 1"
        with pytest.raises(UnavailableError, match=expected):
            workers.choose(ALL, 50, lambda _: None)


def test_a_bank_by_workers_is_the_same_file(good_folder: Path, tmp_path: Path) -> None:
    images = find_images(good_folder)[:16]
    spec = BuildSpec(height=96, width=96, coreset=0.3)
    one = build_bank(images, tmp_path / "one", spec, lambda *_: None)
    two = build_bank(images, tmp_path / "two", replace(spec, workers=2), lambda *_: None)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert one.radius == pytest.approx(two.radius, rel=1e-4)
    assert two.workers_lost == 0


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (BuildSpec(workers=0), "--workers: got 0, expected 1 to 64"),
        (
            BuildSpec(workers=2, detector="padim"),
            "--workers: got 2 with padim on cpu, expected it with patchcore",
        ),
    ],
)
def test_workers_that_cannot_be_are_refused(spec: BuildSpec, said: str) -> None:
    with pytest.raises(InputError, match=said):
        BankBuilder(spec)


def test_they_count_in_the_memory_of_a_build() -> None:
    for workers, said in ((1, "at most 0.9 GB"), (2, "at most 1.5 GB")):
        assert said in BankBuilder(BuildSpec(workers=workers)).estimate(300)
