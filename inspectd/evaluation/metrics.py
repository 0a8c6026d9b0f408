"""Figures of how well scores and heatmaps separate defective from good images."""

from __future__ import annotations

from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

_PRO_LIMIT: Final = 0.3
_CODES: Final = 1 << 16
"""Of values of float16."""

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


class PixelCounts:
    """Counts of good and defective pixels by what heatmaps have there, one image after another.

    Values are rounded to float16, which heatmaps are made of. The per-region overlap is that of Bergmann et
    al., "Uninformed Students", CVPR 2020, section 4.2: every connected defect counts the same, however
    large.
    """

    def __init__(self) -> None:
        self._good = np.zeros(_CODES, np.int64)
        self._defective = np.zeros(_CODES, np.int64)
        self._overlap = np.zeros(_CODES)
        self._defects = 0

    def add(self, heatmap: Floats, mask: Bools | None, judged: Bools | None = None) -> None:
        """Count an image's pixels.

        Good ones where nobody looked are no alarms that were avoided, and do not count: a bank that judges
        little would seem the better for them. Defective ones there are missed.

        Args:
            heatmap: (h, w) float, a value for each of its pixels; what is no number counts as the highest.
            mask: (h, w) bool, True where defective; None: it is good.
            judged: (h, w) bool, True where somebody looks; None: everywhere.
        """
        codes = _codes(heatmap)
        is_good = np.ones(heatmap.shape, bool) if judged is None else judged
        if mask is not None:
            is_good = is_good & ~mask
        self._good += np.bincount(codes[is_good], minlength=_CODES)
        if mask is None:
            return
        count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        own, of = codes[mask], labels[mask]
        self._defective += np.bincount(own, minlength=_CODES)
        self._overlap += np.bincount(own, 1.0 / facts[of, cv2.CC_STAT_AREA], minlength=_CODES)
        self._defects += count - 1

    def metrics(self) -> PixelMetrics | None:
        """The figures of all images so far; None: they have no defective pixel, or no good one."""
        if not self._defects or not self._good.any():
            return None
        false_positive, true_positive, overlap = (
            np.concatenate([[0.0], np.cumsum(counts[::-1]) / total])
            for counts, total in (
                (self._good, self._good.sum()),
                (self._defective, self._defective.sum()),
                (self._overlap, self._defects),
            )
        )
        return PixelMetrics(
            pixel_auroc=float(np.trapezoid(true_positive, false_positive)),
            aupro=_area_up_to(_PRO_LIMIT, false_positive, overlap),
        )


def _codes(values: Floats) -> NDArray[np.uint16]:
    """Numbers in the order of these values as float16."""
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    halves[np.isnan(halves)] = np.inf
    bits = (halves + np.float16(0.0)).view(np.uint16)  # of -0 it makes 0
    return np.where(bits >> 15, ~bits, bits | np.uint16(1 << 15))


def _area_up_to(limit: float, x: Floats, y: Floats) -> float:
    """Area under the line through (x, y), which rise from 0 to 1, up to `limit`, as a share of `limit`."""
    inside = int(np.searchsorted(x, limit, side="right"))
    last = y[inside - 1]
    if inside < len(x):
        step = x[inside] - x[inside - 1]
        last = last + (y[inside] - last) * (limit - x[inside - 1]) / step
    across, up = np.append(x[:inside], limit), np.append(y[:inside], last)
    return float(np.trapezoid(up, across) / limit)
