import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from inspectd.evaluation.metrics import image_metrics, pixel_metrics

RNG = np.random.default_rng(0)
MASKS = [ndimage.binary_dilation(RNG.random((60, 50)) > 0.998, iterations=3) for _ in range(6)]
MASKS += [np.zeros((60, 50), dtype=bool)] * 4
MAPS = [ndimage.gaussian_filter(mask * 2.0 + RNG.normal(size=mask.shape), 1.5) for mask in MASKS]


def test_perfect_and_reversed_image_scores() -> None:
    truth = np.array([False] * 5 + [True] * 3)
    perfect = image_metrics(truth, np.arange(8.0))
    assert (perfect.image_auroc, perfect.average_precision, perfect.f1_max) == (1.0, 1.0, 1.0)
    assert image_metrics(truth, -np.arange(8.0)).image_auroc == 0.0


def test_pixel_auroc_agrees_with_sklearns() -> None:
    expected = roc_auc_score(
        np.concatenate([m.ravel() for m in MASKS]), np.concatenate([m.ravel() for m in MAPS])
    )
    assert pixel_metrics(MAPS, MASKS).pixel_auroc == pytest.approx(expected, abs=1e-3)


def test_aupro_agrees_with_its_definition() -> None:
    """Bergmann et al.: the mean overlap over all regions, integrated over the false-positive rate to 0.3."""
    good = np.concatenate([heat[~mask] for heat, mask in zip(MAPS, MASKS, strict=True)])
    rates, overlaps = [], []
    for threshold in np.quantile(good, 1 - np.linspace(0, 0.3, 301)):
        shares = []
        for heat, mask in zip(MAPS, MASKS, strict=True):
            labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
            shares += [np.mean(heat[labels == region] > threshold) for region in range(1, count + 1)]
        rates.append(np.mean(good > threshold))
        overlaps.append(np.mean(shares))
    expected = np.trapezoid(overlaps, rates) / 0.3
    assert pixel_metrics(MAPS, MASKS).aupro == pytest.approx(expected, abs=5e-3)


def test_a_perfect_heatmap_has_both_figures_one() -> None:
    result = pixel_metrics([mask.astype(float) for mask in MASKS], MASKS)
    assert result.pixel_auroc == pytest.approx(1.0)
    assert result.aupro == pytest.approx(1.0)
