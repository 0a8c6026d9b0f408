import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.bank.coreset import greedy_coreset


def plain_greedy(points: torch.Tensor, count: int, seed: int) -> list[int]:
    """Algorithm 1 of the paper, word for word, in float64; of equally far points the first is taken."""
    points = points.double()
    chosen = [int(np.random.default_rng(seed).integers(len(points)))]
    farthest = torch.full((len(points),), torch.inf, dtype=torch.float64)
    while len(chosen) < count:
        farthest = torch.minimum(farthest, (points - points[chosen[-1]]).square().sum(dim=1))
        farthest[chosen] = -torch.inf
        chosen.append(int(farthest.numpy().argmax()))
    return chosen


@pytest.mark.parametrize(("points", "dims", "count"), [(5000, 16, 600), (3000, 152, 300), (400, 3, 400)])
def test_it_chooses_what_the_plain_loop_chooses(points: int, dims: int, count: int) -> None:
    cloud = torch.randn(points, dims, generator=torch.Generator().manual_seed(points))
    assert greedy_coreset(cloud, count, seed=1).tolist() == plain_greedy(cloud, count, seed=1)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), points=st.integers(1, 700), dims=st.integers(1, 6))
def test_also_where_points_are_tied_or_equal(data: st.DataObject, seed: int, points: int, dims: int) -> None:
    """Whole numbers have exact distances, many of them equal, so the order of ties shows."""
    side = data.draw(st.integers(1, 6))
    count = data.draw(st.integers(1, points))
    generator = torch.Generator().manual_seed(seed % 2**31)
    cloud = torch.randint(-side, side + 1, (points, dims), generator=generator).float()
    chosen = greedy_coreset(cloud, count, seed).tolist()
    assert chosen == plain_greedy(cloud, count, seed)
    assert len(set(chosen)) == count


def test_the_seed_names_the_first_point_and_progress_is_told() -> None:
    cloud = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    told: list[int] = []
    first = greedy_coreset(cloud, 200, seed=3, progress=told.append)
    assert torch.equal(first, greedy_coreset(cloud, 200, seed=3))
    assert not torch.equal(first, greedy_coreset(cloud, 200, seed=4))
    assert told == sorted(told)
    assert told[-1] == 200


@pytest.mark.parametrize("count", [0, 11])
def test_a_count_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"cannot choose {count} of 10"):
        greedy_coreset(torch.zeros(10, 2), count, seed=0)


@pytest.mark.gpu
def test_cuda_chooses_the_same() -> None:
    cloud = torch.randint(-9, 10, (4000, 16), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(greedy_coreset(cloud.cuda(), 300, seed=0), greedy_coreset(cloud, 300, seed=0))
