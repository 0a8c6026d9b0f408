"""Thresholds from the scores of held-out good images. The scoring process reads them too: no scipy here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.model.options import OUTLIER_DEVIATIONS, ROBUST
from inspectd.pictures.parts import highest_by_part

FALSE_REJECT_RATE: Final = 0.02
"""Of a new bank's threshold."""
FEWEST_FOR_TAIL: Final = 150
"""Scores that a tail can be fitted to; with fewer the threshold is conformal."""
_TAIL_SHARE: Final = 5
_NO_SHAPE: Final = 1e-6
_MOST_OUTLIERS: Final = 0.1
"""Share of good images."""
_PILED: Final = 1.01
"""Median deviations from the median down to the lowest score, up to which the lower scores are the same: they
are 1.4 of exponential scores, 3 or more of normal ones."""


def tail_threshold(good_scores: NDArray[np.float64], false_reject_rate: float) -> float:
    """The score above which good images fall at the given rate, by the shape of their highest fifth.

    A generalised Pareto distribution is fitted to what exceeds the lower four fifths, by probability-weighted
    moments (Hosking and Wallis, "Parameter and Quantile Estimation for the Generalized Pareto Distribution",
    Technometrics 29, 1987). A fifth of the scores carries the threshold, not one or two of them, so it moves
    less from one set of images to the next. It is a model and no promise: that is `calibrate`'s.

    Args:
        good_scores: (n,) scores of good images, none of which the bank has seen; n should be at least
            `FEWEST_FOR_TAIL`.
        false_reject_rate: above 0, at most 0.2.
    """
    ordered = np.sort(good_scores)
    count = len(ordered) // _TAIL_SHARE
    begin = ordered[-count - 1]
    excess = ordered[-count:] - begin
    mean = excess.mean()
    weighted = np.mean((1 - (np.arange(1, count + 1) - 0.35) / count) * excess)
    if mean <= 2 * weighted:  # all of them equal: there is no tail
        return float(ordered[-1])
    shape = 2 - mean / (mean - 2 * weighted)
    scale = 2 * mean * weighted / (mean - 2 * weighted)
    share = false_reject_rate * len(ordered) / count
    beyond = -math.log(share) if abs(shape) < _NO_SHAPE else (share**-shape - 1) / shape
    return float(min(begin + scale * beyond, ordered[-1]))


@dataclass(frozen=True)
class FoundThreshold:
    """A threshold by the default rule.

    Attributes:
        basis: its origin, for people.
        with_outliers: what it would be if every score counted; None: every one does.
    """

    value: float
    basis: str
    with_outliers: float | None


def find_threshold(
    good_scores: NDArray[np.float64], aside: NDArray[np.bool_], parts: NDArray[np.int64] | None = None
) -> FoundThreshold:
    """The default threshold for scores of held-out good images.

    Args:
        good_scores: (n,).
        aside: (n,), those that do not count.
        parts: (n,), see `highest_by_part`.
    """
    value, basis = default_threshold(counted_scores(good_scores, aside, parts))
    if parts is not None:
        basis = f"{basis}, the highest of each part"
    if not aside.any():
        return FoundThreshold(value, basis, None)
    basis = f"{basis}, {int(aside.sum())} unlike the rest set aside"
    return FoundThreshold(value, basis, default_threshold(highest_by_part(good_scores, parts))[0])


def counted_scores(
    good_scores: NDArray[np.float64], aside: NDArray[np.bool_], parts: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    """The scores (m,) that count: one of each part, and none that is set aside; see `find_threshold`."""
    return highest_by_part(good_scores[~aside], None if parts is None else parts[~aside])


def default_threshold(
    good_scores: NDArray[np.float64], false_reject_rate: float = FALSE_REJECT_RATE
) -> tuple[float, str]:
    """The threshold of a new bank for scores (n,) of held-out good images, and where it comes from."""
    basis = f"{false_reject_rate:.1%} of {len(good_scores)} cross-fitted good scores above"
    if len(good_scores) < FEWEST_FOR_TAIL:
        return conformal_threshold(good_scores, false_reject_rate), basis
    return tail_threshold(good_scores, false_reject_rate), f"{basis} by a fit of their tail"


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
    return np.asarray(good_scores > outlier_limit(good_scores))


def outlier_limit(good_scores: NDArray[np.float64]) -> float:
    """The score above which `outliers` are, for scores (n,) of good images.

    Where about half of the scores are the same, such as 0 of a model that cuts off what lies below, the
    deviation tells nothing of how the others spread. If more would be set aside by it than are rare, the
    spread of those above the median stands for it.
    """
    median = float(np.median(good_scores))
    deviation = float(np.median(np.abs(good_scores - median)))
    limit = median + OUTLIER_DEVIATIONS * ROBUST * deviation
    is_piled = median - float(good_scores.min()) <= _PILED * deviation
    if not is_piled or (good_scores > limit).mean() < _MOST_OUTLIERS:
        return limit
    above = good_scores[good_scores > median]
    return median + OUTLIER_DEVIATIONS * ROBUST * float(np.median(above - median))
