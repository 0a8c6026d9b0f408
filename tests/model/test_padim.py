import numpy as np
import pytest
import torch

from inspectd.model.options import PaDiMOptions
from inspectd.model.padim import PaDiM

GENERATOR = torch.Generator().manual_seed(0)
MIX = torch.randn(12, 12, generator=GENERATOR)
GOOD = torch.randn(60, 3, 4, 12, generator=GENERATOR) @ MIX + 5
TEST = torch.randn(5, 3, 4, 12, generator=GENERATOR) @ MIX + 6


@pytest.mark.parametrize("reduction", ["selection", "projection"])
@pytest.mark.parametrize("dimensions", [7, 12, 100])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_maps_agree_with_a_float64_reference(reduction: str, dimensions: int, shrinkage: float) -> None:
    options = PaDiMOptions(dimensions=dimensions, reduction=reduction, shrinkage=shrinkage)
    detector = PaDiM.fit(GOOD, options, seed=3)
    matrix = detector.tensors()["reduction"].double().numpy()
    good, test = GOOD.double().numpy() @ matrix, TEST.double().numpy() @ matrix
    expected = np.empty(test.shape[:3])
    own = {(i, j): np.cov(good[:, i, j], rowvar=False) for i, j in np.ndindex(3, 4)}
    pooled = np.mean(list(own.values()), axis=0)
    for (i, j), place in own.items():
        covariance = (1 - shrinkage) * place + shrinkage * pooled + 0.01 * np.eye(matrix.shape[1])
        offsets = test[:, i, j] - good[:, i, j].mean(axis=0)
        expected[:, i, j] = np.sqrt(np.einsum("nd,de,ne->n", offsets, np.linalg.inv(covariance), offsets))
    np.testing.assert_allclose(detector.score_maps(TEST).numpy(), expected, rtol=1e-3)
    assert (detector.rows, detector.dims) == (12, min(dimensions, 12))


def test_the_seed_names_the_reduction() -> None:
    options = PaDiMOptions(dimensions=5)
    first, again, other = (PaDiM.fit(GOOD, options, seed).tensors()["reduction"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_28_by_28_places_of_100_dimensions_take_at_most_40_megabytes() -> None:
    detector = PaDiM.fit(torch.randn(8, 28, 28, 110), PaDiMOptions(dimensions=100), seed=0)
    assert sum(tensor.nbytes for tensor in detector.tensors().values()) <= 40e6
    restored = PaDiM.restore(detector.tensors())
    features = torch.randn(1, 28, 28, 110)
    assert torch.equal(restored.score_maps(features), detector.score_maps(features))


def test_a_selection_looks_dimensions_up_and_gives_what_the_product_gives() -> None:
    detector = PaDiM.fit(GOOD, PaDiMOptions(dimensions=7), seed=3)
    product = TEST @ detector.tensors()["reduction"] - detector.tensors()["means"]
    assert torch.equal(detector.offsets(TEST), product)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("reduction", ["selection", "projection"])
def test_a_value_that_is_no_number_shows_in_every_dimension(value: float, reduction: str) -> None:
    detector = PaDiM.fit(GOOD, PaDiMOptions(dimensions=7, reduction=reduction), seed=3)
    for dimension in range(12):
        features = TEST.clone()
        features[1, 2, 3, dimension] = value
        found = detector.score_maps(features)
        assert not found[1, 2, 3].isfinite()
        assert int(found.isfinite().logical_not().sum()) == 1
