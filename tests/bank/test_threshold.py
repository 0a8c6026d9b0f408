import numpy as np
import pytest
from scipy import stats

from inspectd.bank.threshold import conformal_threshold, default_threshold, outliers, tail_threshold


def test_the_conformal_threshold_keeps_its_rate_on_average() -> None:
    rng = np.random.default_rng(1)
    rates = [stats.norm.sf(conformal_threshold(rng.normal(size=99), 0.05)) for _ in range(3000)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.002)
    assert conformal_threshold(np.arange(5.0), 0.001) == 4.0


@pytest.mark.parametrize(
    "shape",
    [stats.norm(), stats.expon(), stats.lognorm(0.5)],
    ids=["norm", "expon", "lognorm"],
)
def test_a_fitted_tail_keeps_its_rate_on_average_and_moves_less(shape) -> None:
    rng = np.random.default_rng(2)
    draws = [shape.rvs(300, random_state=rng) for _ in range(600)]
    fitted = np.array([tail_threshold(scores, 0.02) for scores in draws])
    conformal = np.array([conformal_threshold(scores, 0.02) for scores in draws])
    assert shape.sf(fitted).mean() == pytest.approx(0.02, abs=0.004)
    assert fitted.std() < 1.05 * conformal.std()


def test_a_tail_of_one_value_has_no_shape() -> None:
    assert tail_threshold(np.ones(200), 0.02) == 1.0
    assert tail_threshold(np.r_[np.zeros(160), np.full(40, 3.0)], 0.02) == 3.0


def test_few_scores_have_a_conformal_threshold() -> None:
    scores = np.random.default_rng(4).normal(size=150)
    assert default_threshold(scores) == (
        tail_threshold(scores, 0.02),
        "2.0% of 150 cross-fitted good scores above by a fit of their tail",
    )
    assert default_threshold(scores[:149]) == (
        conformal_threshold(scores[:149], 0.02),
        "2.0% of 149 cross-fitted good scores above",
    )


@pytest.mark.parametrize(("count", "odd"), [(60, [94.6]), (300, [94.6, 527.0])])
def test_odd_scores_that_are_set_aside_hardly_move_the_threshold(count: int, odd: list[float]) -> None:
    rng = np.random.default_rng(5)
    moved = []
    for _ in range(100):
        scores = rng.lognormal(0, 0.4, count)
        with_odd = np.r_[scores, odd]
        without = default_threshold(scores[~outliers(scores)])[0]
        moved.append(abs(default_threshold(with_odd[~outliers(with_odd)])[0] / without - 1))
    assert np.quantile(moved, 0.95) < 0.1  # in a few draws a good score at the edge is set aside or not


def test_outliers_are_found_and_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=60)
    assert not outliers(scores).any()
    scores[[7, 8, 9]] = 50.0, 1e6, 1e300
    assert np.flatnonzero(outliers(scores)).tolist() == [7, 8, 9]
    assert not outliers(np.ones(12)).any()


@pytest.mark.parametrize("same", [45, 55, 80])
def test_where_many_scores_are_the_same_the_others_are_no_outliers(same: int) -> None:
    rng = np.random.default_rng(4)
    scores = np.r_[np.zeros(same), rng.uniform(0.001, 1, 100 - same)]
    assert not outliers(scores).any()
    assert np.flatnonzero(outliers(np.r_[scores, 50.0])).tolist() == [100]
    assert np.flatnonzero(outliers(np.r_[np.zeros(95), np.full(5, 3.0)])).tolist() == list(range(95, 100))


def test_many_defects_among_the_good_images_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(5)
    for good in (rng.normal(5, 1, 70), rng.exponential(1, 70), rng.lognormal(0, 0.4, 70)):
        assert np.flatnonzero(outliers(np.r_[good, rng.uniform(30, 60, 30)])).tolist() == list(range(70, 100))
