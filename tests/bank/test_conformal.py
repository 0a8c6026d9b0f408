import numpy as np
import pytest
from scipy import stats

from inspectd.bank.threshold import conformal_threshold, p_value, unlike_the_rest


def test_the_conformal_threshold_keeps_its_rate_on_average() -> None:
    rng = np.random.default_rng(1)
    rates = [stats.norm.sf(conformal_threshold(rng.normal(size=99), 0.05)) for _ in range(3000)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.002)
    assert conformal_threshold(np.arange(5.0), 0.001) == 4.0


def test_p_values_are_even_for_good_parts() -> None:
    rng = np.random.default_rng(2)
    good = rng.normal(size=500)
    values = np.array([p_value(score, good) for score in rng.normal(size=4000)])
    for share in (0.05, 0.2, 0.5):
        assert np.mean(values <= share) == pytest.approx(share, abs=0.04)
    assert p_value(100.0, good) == pytest.approx(1 / 501)


def test_images_unlike_the_rest_are_found_and_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=60)
    assert not unlike_the_rest(scores).any()
    scores[[7, 8, 9]] = 50.0, 1e6, 1e300
    assert np.flatnonzero(unlike_the_rest(scores)).tolist() == [7, 8, 9]
    assert not unlike_the_rest(np.ones(12)).any()
