import numpy as np
import pytest
import torch

from inspectd.model.search import ExactSearch


@pytest.mark.parametrize("neighbours", [1, 3, 9])
@pytest.mark.parametrize(("rows", "queries"), [(9, 1), (500, 700), (4000, 130)])
@pytest.mark.parametrize("relative", [False, True])
def test_it_finds_what_a_plain_search_finds(
    rows: int, queries: int, neighbours: int, *, relative: bool
) -> None:
    rng = np.random.default_rng(rows)
    bank, points = rng.normal(3, 2, (rows, 24)), rng.normal(3, 2, (queries, 24))
    spacing = rng.uniform(0.1, 4.0, rows) if relative else np.ones(rows)
    given = torch.from_numpy(spacing).float() if relative else None
    distances, found = ExactSearch(torch.from_numpy(bank).float(), given).search(
        torch.from_numpy(points).float(), neighbours
    )
    every = np.linalg.norm(points[:, None] - bank[None], axis=2) / spacing
    expected = np.sort(every, axis=1)[:, :neighbours]
    np.testing.assert_allclose(distances.numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(every, found.numpy(), axis=1), expected, rtol=1e-4)


def test_a_row_of_the_bank_is_at_distance_zero_even_far_from_the_origin() -> None:
    bank = torch.rand(300, 16) + 1000
    distances, found = ExactSearch(bank).search(bank[40:50], 1)
    assert found[:, 0].tolist() == list(range(40, 50))
    assert distances.max() < 2e-3
