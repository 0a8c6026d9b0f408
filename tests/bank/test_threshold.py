import numpy as np
import pytest
from scipy import stats

from inspectd.bank.threshold import conformal_threshold, outliers


def test_the_conformal_threshold_keeps_its_rate_on_average() -> None:
    rng = np.random.default_rng(1)
    rates = [stats.norm.sf(conformal_threshold(rng.normal(size=99), 0.05)) for _ in range(3000)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.002)
    assert conformal_threshold(np.arange(5.0), 0.001) == 4.0


def test_outliers_are_found_and_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=60)
    assert not outliers(scores).any()
    scores[[7, 8, 9]] = 50.0, 1e6, 1e300
    assert np.flatnonzero(outliers(scores)).tolist() == [7, 8, 9]
    assert not outliers(np.ones(12)).any()
