"""Thresholds from the scores of held-out good images. The scoring process reads them too: no scipy here."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inspectd.model.options import OUTLIER_DEVIATIONS, ROBUST


def conformal_threshold(good_scores: NDArray[np.float64], false_reject_rate: float) -> float:
    """The score above which a new good image falls with at most the given probability.

    The k-th smallest of n exchangeable scores, k = ceil((n + 1)(1 - rate)) (Vovk et al., split conformal
    prediction); the largest where n is too small for the rate.

    Args:
        good_scores: (n,) scores of good images, none of which the bank has seen.
        false_reject_rate: 0 to 1.
    """
    ordered = np.sort(good_scores)
    rank = math.ceil((len(ordered) + 1) * (1.0 - false_reject_rate))
    return float(ordered[min(rank, len(ordered)) - 1])


def outliers(good_scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask (n,) of the scores (n,) of good images that lie far above the others; always fewer than half.

    Found by the median and the absolute deviation from it, which a few scores cannot move: such an image may
    show a defect, and a threshold taken from it would let that defect pass.
    """
    median = float(np.median(good_scores))
    deviation = ROBUST * float(np.median(np.abs(good_scores - median)))
    return np.asarray(good_scores > median + OUTLIER_DEVIATIONS * deviation)
