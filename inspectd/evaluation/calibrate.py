"""Thresholds that keep a promise: bounds on false rejects and escapes that hold for any distribution."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special  # not scipy.stats, which takes longer to load than the rest of a command

CONFIDENCE: Final = 0.95


class Calibration(msgspec.Struct, frozen=True):
    """Evidence for a threshold from n good images."""

    images: int
    threshold: float
    asked_rate: float
    """The false-reject rate that was asked for."""
    shown_rate: float
    """The smallest rate that these images show at 95 % confidence for this threshold."""
    achieved: bool
    """Whether the shown rate is at most the asked one."""
    images_needed: int
    """Fewest good images that can show the asked rate."""


class Interval(msgspec.Struct, frozen=True):
    """A share and its 95 % confidence interval."""

    count: int
    total: int
    share: float
    low: float
    high: float


def calibrate(good_scores: NDArray[np.float64], false_reject_rate: float) -> Calibration:
    """The lowest threshold for which good images alone show the asked false-reject rate.

    The share of all good parts above the k-th smallest of n scores is Beta(n - k + 1, k) distributed,
    whatever the scores' distribution (Wilks, 1941). So with j scores above the threshold, the rate is at
    most b with 95 % confidence where P(Binomial(n, b) <= j) <= 5 %.

    Args:
        good_scores: (n,) scores of good images, none of which is in the bank that scored it.
        false_reject_rate: the rate asked for, between 0 and 1.
    """
    ordered = np.sort(good_scores)
    total = len(ordered)
    above = _most_above(total, false_reject_rate)
    shown = shown_rate(total, max(above, 0))
    return Calibration(
        images=total,
        threshold=float(ordered[total - 1 - max(above, 0)]),
        asked_rate=false_reject_rate,
        shown_rate=shown,
        achieved=above >= 0,
        images_needed=images_needed(false_reject_rate),
    )


def shown_rate(images: int, above: int) -> float:
    """The rate that `above` of `images` scores above an order statistic show at 95 % confidence."""
    if above >= images:
        return 1.0  # nothing is shown
    return float(special.betaincinv(above + 1, images - above, CONFIDENCE))


def images_needed(false_reject_rate: float) -> int:
    """Fewest good images that can show a rate: none of them above, (1 - rate)^n <= 5 %."""
    return math.ceil(math.log(1.0 - CONFIDENCE) / math.log1p(-false_reject_rate))


def interval(count: int, total: int) -> Interval:
    """The share `count` of `total` with its exact interval (Clopper and Pearson, 1934)."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(special.betaincinv(count, total - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, total - count, 1.0 - tail)) if count < total else 1.0
    return Interval(count, total, count / total if total else math.nan, low, high)


def _most_above(images: int, rate: float) -> int:
    """The most scores that may lie above the threshold; -1 where not even none will do."""
    if special.bdtr(0, images, rate) > 1.0 - CONFIDENCE:
        return -1
    above = int(special.bdtrik(1.0 - CONFIDENCE, images, rate)) + 1  # solved by iteration: nearly exact
    while special.bdtr(above, images, rate) > 1.0 - CONFIDENCE:
        above -= 1
    return above
