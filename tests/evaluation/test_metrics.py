import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from inspectd.evaluation.metrics import PixelCounts, PixelMetrics, image_metrics

RNG = np.random.default_rng(0)
MASKS = [ndimage.binary_dilation(RNG.random((60, 50)) > 0.998, iterations=3) for _ in range(6)]
MASKS += [np.zeros((60, 50), dtype=bool)] * 4
MAPS = [ndimage.gaussian_filter(mask * 2.0 + RNG.normal(size=mask.shape), 1.5) for mask in MASKS]


def pixel_metrics(maps, masks) -> PixelMetrics | None:
    counts = PixelCounts()
    for heat, mask in zip(maps, masks, strict=True):
        counts.add(heat, mask if mask.any() else None)
    return counts.metrics()


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


def test_small_ones_agree_with_what_is_worked_out_by_hand() -> None:
    """Four pixels, of which the first and third are good; then the good one is the higher of two."""
    values, mask = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[False, True, False, True]])
    assert pixel_metrics([values], [mask]).pixel_auroc == 0.25
    worst = pixel_metrics([np.array([[2.0, 1.0]])], [np.array([[False, True]])])
    assert (worst.pixel_auroc, worst.aupro) == (0.0, 0.0)


def test_every_defect_counts_the_same_whatever_its_size() -> None:
    """One of 10,000 pixels is found, one of a single pixel is not."""
    mask = np.zeros((400, 400), bool)
    mask[:100, :100] = mask[300, 300] = True
    heat = np.zeros((400, 400))
    heat[:100, :100] = 1.0
    found = pixel_metrics([heat], [mask])
    assert found.aupro == pytest.approx(0.5 + 0.5 * 0.15)  # half, and what one threshold for the rest gives
    assert found.pixel_auroc == pytest.approx(1.0, abs=1e-4)


def test_what_is_no_number_is_the_highest_and_nothing_is_known_without_a_defect() -> None:
    mask = np.array([[True, False, False, False]])
    assert pixel_metrics([np.array([[np.nan, np.inf, 9e9, -np.inf]])], [mask]).pixel_auroc == pytest.approx(
        2 / 3
    )
    assert pixel_metrics([np.ones((1, 4))], [np.zeros((1, 4), bool)]) is None
    assert pixel_metrics([np.ones((1, 4))], [np.ones((1, 4), bool)]) is None
    zeros = np.array([[0.0, -0.0]])
    assert pixel_metrics([zeros], [np.array([[True, False]])]).pixel_auroc == 0.5


@pytest.mark.parametrize("side", [40, 20])
def test_a_smaller_region_makes_no_figure_of_pixels_better(side: int) -> None:
    """Values that tell nothing have the figures of chance, however little of the picture is looked at."""
    counts, generator = PixelCounts(), np.random.default_rng(0)
    for image in range(200):
        heatmap, mask = np.full((40, 40), -np.inf), np.zeros((40, 40), bool)
        heatmap[:side, :side] = generator.normal(size=(side, side))
        row, column = generator.integers(0, side - 5, 2)
        mask[row : row + 5, column : column + 5] = True
        counts.add(heatmap, mask if image % 2 else None, np.isfinite(heatmap))
    result = counts.metrics()
    assert result is not None
    assert result.pixel_auroc == pytest.approx(0.5, abs=0.02)
    assert result.aupro == pytest.approx(0.15, abs=0.02)
