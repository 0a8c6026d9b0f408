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
from hypothesis import example, given, settings
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
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    side=st.integers(1, 4),
    share=st.floats(0.01, 0.3),
)
@example(seed=1, sizes=[40, 300, 1], side=1, share=1)
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


def chosen(shared: SharedFeatures, images: np.ndarray, mask: torch.Tensor | None, count: int) -> Coreset:
    """What one process chooses."""
    features = shared.tensor[torch.from_numpy(images)]
    points = features.flatten(0, 2) if mask is None else features[:, mask].flatten(0, 1)
    return coreset_of(points, count, seed=3)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_choose_what_one_process_does_of_all_images_and_of_some(
    shared: SharedFeatures, workers: int
) -> None:
    """The same workers, each of which loads torch; those of three leave places out too."""
    mask = MASK if workers > 1 else None
    with CoresetWorkers(shared, IMAGES, mask, workers, seed=3) as made:
        for images, count in ((ALL, 500), (np.setdiff1d(ALL, np.arange(3, IMAGES, 10)), 300)):
            whole = chosen(shared, images, mask, count)
            found = made.choose(images, count, lambda _: None)
            assert torch.equal(found.values, whole.values)
            assert found.radius == pytest.approx(whole.radius, rel=1e-5)
            if images is ALL:
                assert torch.equal(found.rows, whole.rows)


def test_one_that_is_killed_is_made_anew_until_it_cannot_be_kept_alive(
    shared: SharedFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is chosen is the same; where none can be started any more, the build ends."""
    whole = chosen(shared, ALL, None, 600)
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
        assert torch.equal(found.values, whole.values)
        assert torch.equal(again.rows, whole.rows)
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
