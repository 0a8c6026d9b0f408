import math

import numpy as np
import pytest
from scipy import special

from inspectd.evaluation.detection import SizeCurve, fit_curve

SIZES = np.geomspace(3, 75, 300)


def drawn(a90: float, slope: float, generator: np.random.Generator, most: float = 1.0) -> SizeCurve:
    """A curve fitted to draws from a known one, whose shares are scaled to at most `most`."""
    chance = most * special.expit(special.logit(0.9) + slope * np.log(SIZES / a90))
    return fit_curve(SIZES, generator.random(len(SIZES)) < chance)


@pytest.mark.parametrize(("a90", "slope"), [(8.0, 3.0), (20.0, 6.0), (35.0, 2.5)])
def test_known_curves_are_recovered_and_the_bound_holds(a90: float, slope: float) -> None:
    generator = np.random.default_rng(0)
    curves = [drawn(a90, slope, generator) for _ in range(100)]
    assert np.median([curve.a90 or math.inf for curve in curves]) == pytest.approx(a90, rel=0.05)
    assert np.median([curve.slope for curve in curves]) == pytest.approx(slope, rel=0.1)
    # Of 100 draws at 95 %: fewer than 89 would be chance in 1 of 200.
    assert sum((curve.a90_95 or math.inf) >= a90 for curve in curves) >= 89


def test_the_maximum_is_that_of_the_penalised_likelihood() -> None:
    """Firth: a logistic regression with the penalty has the score of data with weights added by leverage."""
    generator = np.random.default_rng(3)
    found = generator.random(len(SIZES)) < special.expit(2 * np.log(SIZES / 15))
    curve = fit_curve(SIZES, found)
    design = np.stack([np.ones(len(SIZES)), np.log(SIZES)], axis=1)
    p = curve.detection(SIZES)
    root = design * np.sqrt(p * (1 - p))[:, None]
    leverage = np.diag(root @ np.linalg.inv(root.T @ root) @ root.T)
    assert design.T @ (found - p + leverage * (0.5 - p)) == pytest.approx([0, 0], abs=1e-5)


def test_sizes_that_do_not_overlap_have_a_finite_curve() -> None:
    curve = fit_curve(SIZES, SIZES > 20)
    assert curve.a90 == pytest.approx(20, rel=0.05)
    assert curve.a90_95 is not None
    assert 20 <= curve.a90_95 < 23
    assert 0 < curve.slope < 1000


def test_all_found_and_nothing_found() -> None:
    everything = fit_curve(SIZES, np.ones(len(SIZES), dtype=bool))
    assert everything.a90 == everything.a90_95 == pytest.approx(SIZES[0])
    assert fit_curve(SIZES[::30], np.ones(10, dtype=bool)).a90_95 is None
    for found in (np.zeros(len(SIZES), dtype=bool), SIZES > 74, SIZES < 20):
        curve = fit_curve(SIZES, found)
        assert (curve.a90, curve.a90_95) == (None, None)


def test_nothing_is_said_beyond_the_largest_size() -> None:
    curves = [drawn(150.0, 2.0, np.random.default_rng(seed)) for seed in range(20)]
    assert [curve.a90 for curve in curves] == [None] * 20


def test_a_share_that_stays_below_90_percent_is_not_reached() -> None:
    """Where one defect in five is never found, the curve alone would still reach 90 % at some size."""
    curves = [drawn(10.0, 8.0, np.random.default_rng(seed), most=0.8) for seed in range(30)]
    assert sum(curve.a90 is None for curve in curves) >= 27
