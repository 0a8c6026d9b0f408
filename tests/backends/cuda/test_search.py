import numpy as np
import pytest
import torch

from inspectd.backends.cuda.search import HalfSearch
from inspectd.backends.cuda.tile_search import TileSearch
from inspectd.model.search import ExactSearch

GENERATOR = torch.Generator().manual_seed(0)
BANK = torch.randn(2000, 40, generator=GENERATOR)
QUERIES = torch.randn(300, 40, generator=GENERATOR)
SPACING = 0.1 + 3.0 * torch.rand(2000, generator=GENERATOR)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("spacing", [None, SPACING], ids=["plain", "relative"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_it_finds_what_the_exact_search_finds(
    scale: float, neighbours: int, spacing: torch.Tensor | None, device: str
) -> None:
    bank, queries = (BANK * scale + 3).to(device), (QUERIES * scale + 3).to(device)
    spacing = None if spacing is None else spacing.to(device)
    distances, rows = HalfSearch(bank, spacing=spacing).search(queries, neighbours)
    expected, best = ExactSearch(bank, spacing).search(queries, neighbours)
    assert (rows == best).float().mean() > 0.99
    assert (distances >= expected * (1 - 1e-3)).all()
    np.testing.assert_allclose(distances.cpu().numpy(), expected.cpu().numpy(), rtol=0.01)


def test_far_points_stay_far() -> None:
    distances, _ = HalfSearch(BANK).search(QUERIES + 1000, 1)
    assert torch.isfinite(distances).all()
    assert distances.min() > 1000


def test_a_bank_of_one_row_is_searched() -> None:
    distances, rows = HalfSearch(BANK[:1]).search(QUERIES, 1)
    np.testing.assert_allclose(distances[:, 0].numpy(), (QUERIES - BANK[0]).norm(dim=1).numpy(), rtol=1e-3)
    assert rows.max() == 0


@pytest.mark.parametrize("dims", [40, 1536])
def test_queries_too_far_for_half_precision_keep_their_direction(dims: int) -> None:
    generator = torch.Generator().manual_seed(1)
    bank = torch.randn(300, dims, generator=generator)
    spacing = 0.5 + torch.rand(300, generator=generator)
    points = bank.mean(dim=0) + 1e4 * (bank[:50] - bank.mean(dim=0))
    for of in (None, spacing):
        distances, _ = HalfSearch(bank, spacing=of).search(points, 1)
        expected, _ = ExactSearch(bank, of).search(points, 1)
        assert (distances >= expected * (1 - 1e-3)).all()
        np.testing.assert_allclose(distances.numpy(), expected.numpy(), rtol=0.1)


def test_what_is_no_number_or_infinite_is_no_near_row() -> None:
    points = QUERIES[:3].clone()
    points[0, 5], points[1, 5], points[2] = torch.nan, torch.inf, -torch.inf
    for spacing in (None, SPACING):
        distances, rows = HalfSearch(BANK, neighbours=2, spacing=spacing).search(points, 2)
        assert distances[0].isnan().all()
        assert torch.isinf(distances[1:]).all()
        assert (rows >= 0).all()
        assert (rows < len(BANK)).all()


@pytest.mark.parametrize("kind", ["exact-float8", "exact-fused"])
def test_more_neighbours_than_it_was_made_for_are_a_mistake(kind: str) -> None:
    search = HalfSearch(BANK)
    search._way = TileSearch(BANK, kind)
    with pytest.raises(ValueError, match=r"9 neighbours .* expected at most 4"):
        search.search(QUERIES, 9)
