"""Figures of how well scores and heatmaps separate defective from good images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn import metrics

_STEPS: Final = 2000
_PRO_LIMIT: Final = 0.3

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]


class ImageMetrics(msgspec.Struct, frozen=True):
    """Figures that need no threshold, from image scores."""

    image_auroc: float
    average_precision: float
    f1_max: float
    """The best F1 over all thresholds."""


class PixelMetrics(msgspec.Struct, frozen=True):
    """Figures of the heatmaps against masks."""

    pixel_auroc: float
    aupro: float
    """Area under the per-region overlap up to a false-positive rate of 0.3, scaled to 0..1."""


def image_metrics(defective: Bools, scores: Floats) -> ImageMetrics:
    """Figures of image scores (n,) against the truth (n,)."""
    precision, recall, _ = metrics.precision_recall_curve(defective, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return ImageMetrics(
        float(metrics.roc_auc_score(defective, scores)),
        float(metrics.average_precision_score(defective, scores)),
        float(f1.max()),
    )


def pixel_metrics(heatmaps: Sequence[Floats], masks: Sequence[Bools]) -> PixelMetrics:
    """Figures of heatmaps against masks of the same sizes, over 2,000 thresholds.

    The per-region overlap is that of Bergmann et al., "Uninformed Students", CVPR 2020, section 4.2.

    Args:
        heatmaps: each (h, w) float.
        masks: each (h, w) bool, True where defective; at least one pixel of each kind among all.
    """
    values = np.concatenate([heatmap.ravel() for heatmap in heatmaps])
    truth = np.concatenate([mask.ravel() for mask in masks])
    thresholds = np.unique(np.quantile(values, np.linspace(0, 1, _STEPS)))
    false_positive = _shares_above(values[~truth], thresholds)
    true_positive = _shares_above(values[truth], thresholds)
    regions = [
        _shares_above(heatmap[labels == region], thresholds)
        for heatmap, mask in zip(heatmaps, masks, strict=True)
        for labels, count in [ndimage.label(mask, structure=np.ones((3, 3)))]
        for region in range(1, count + 1)
    ]
    return PixelMetrics(
        pixel_auroc=_area(false_positive, true_positive, 1.0),
        aupro=_area(false_positive, np.mean(regions, axis=0), _PRO_LIMIT),
    )


def _shares_above(values: Floats, thresholds: Floats) -> Floats:
    """For each threshold, the share of values at or above it; framed by 1 and 0."""
    ordered = np.sort(values)
    shares = 1.0 - np.searchsorted(ordered, thresholds, side="left") / len(ordered)
    return np.concatenate([[1.0], shares, [0.0]])


def _area(x: Floats, y: Floats, limit: float) -> float:
    """Area under y(x) from 0 to `limit`, divided by `limit`; both fall along the arrays."""
    ascending_x, ascending_y = x[::-1], y[::-1]
    grid = np.unique(np.append(ascending_x[ascending_x < limit], [0.0, limit]))
    # Where x stands still and y rises, the highest y belongs to that x.
    heights = np.interp(grid, *_upper(ascending_x, ascending_y))
    return float(np.trapezoid(heights, grid) / limit)


def _upper(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    unique, start = np.unique(x, return_index=True)
    return unique, np.maximum.reduceat(y, start)
