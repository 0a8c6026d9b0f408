import numpy as np
import pytest
import torch
from scipy import stats

from inspectd.errors import InputError
from inspectd.model.dfkde import DFKDE, image_vectors
from inspectd.model.options import DFKDEOptions

GENERATOR = torch.Generator().manual_seed(0)
MIX = torch.randn(10, 10, generator=GENERATOR)
GOOD = torch.randn(80, 2, 3, 10, generator=GENERATOR) @ MIX + 3
TEST = torch.randn(6, 2, 3, 10, generator=GENERATOR) @ MIX + 4


def reduced(components: int) -> tuple[np.ndarray, np.ndarray]:
    good, test = (image_vectors(features).double().numpy() for features in (GOOD, TEST))
    centre = good.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(good, rowvar=False))
    projection = (vectors / np.sqrt(values))[:, ::-1][:, :components]
    return (good - centre) @ projection, (test - centre) @ projection


@pytest.mark.parametrize("rule", ["scott", "silverman"])
@pytest.mark.parametrize("components", [1, 4, 10])
def test_scores_agree_with_scipys_density(rule: str, components: int) -> None:
    detector = DFKDE.fit(GOOD, DFKDEOptions(components=components, bandwidth=rule))
    good, test = reduced(components)
    # The points have unit variance, so scipy's covariance-scaled kernel is ours.
    expected = -stats.gaussian_kde(good.T, bw_method=rule).logpdf(test.T)
    np.testing.assert_allclose(detector.score_maps(TEST).numpy().ravel(), expected, rtol=1e-3)


def test_cross_validation_finds_the_likeliest_bandwidth() -> None:
    detector = DFKDE.fit(GOOD, DFKDEOptions(components=2, bandwidth="cross-validation"))
    good, _ = reduced(2)
    squared = ((good[:, None] - good[None]) ** 2).sum(axis=2)

    def likelihood(width: float) -> float:
        kernel = np.exp(-squared / (2 * width**2)) / width**2
        np.fill_diagonal(kernel, 0)
        return float(np.log(kernel.sum(axis=1)).sum())

    best = max(likelihood(width) for width in np.geomspace(0.05, 5, 400))
    assert likelihood(float(detector.tensors()["bandwidth"])) >= best - 0.5


def test_no_more_components_than_images_allow() -> None:
    detector = DFKDE.fit(GOOD[:5], DFKDEOptions(components=16))
    assert (detector.rows, detector.dims) == (5, 4)
    assert torch.isfinite(detector.score_maps(TEST)).all()


def test_images_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(InputError, match="12 good images look all the same where they are judged"):
        DFKDE.fit(GOOD[:1].expand(12, -1, -1, -1), DFKDEOptions())
