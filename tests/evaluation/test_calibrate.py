import numpy as np
import pytest
from scipy import stats

from inspectd.evaluation.calibrate import calibrate, images_needed, interval, shown_rate


@pytest.mark.parametrize(("images", "rate"), [(60, 0.05), (100, 0.03), (300, 0.01), (299, 0.02)])
@pytest.mark.parametrize("draw", [stats.norm(), stats.lognorm(2.0), stats.cauchy()])
def test_the_promised_rate_holds_in_at_least_95_percent_of_draws(
    images: int, rate: float, draw: stats.rv_continuous
) -> None:
    """2,000 plants calibrate once each; the true rate of each follows from the distribution itself."""
    rng = np.random.default_rng(images)
    kept = [
        draw.sf(calibrate(draw.rvs(images, random_state=rng), rate).threshold) <= rate for _ in range(2000)
    ]
    assert np.mean(kept) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 2000)


def test_the_shown_rate_holds_and_is_not_idle() -> None:
    rng = np.random.default_rng(0)
    shown = calibrate(rng.normal(size=200), 0.05).shown_rate
    rates = [stats.norm.sf(calibrate(rng.normal(size=200), 0.05).threshold) for _ in range(2000)]
    assert 0.935 <= np.mean(np.array(rates) <= shown) <= 0.975


def test_60_images_cannot_show_a_rate_of_one_in_a_thousand() -> None:
    result = calibrate(np.arange(60.0), 0.001)
    assert not result.achieved
    assert result.images_needed == 2995
    assert result.threshold == 59.0
    assert result.shown_rate == pytest.approx(1 - 0.05 ** (1 / 60))


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.3])
def test_the_fewest_images_are_just_enough(rate: float) -> None:
    needed = images_needed(rate)
    assert calibrate(np.arange(float(needed)), rate).achieved
    assert not calibrate(np.arange(needed - 1.0), rate).achieved


def test_more_images_allow_scores_above_the_threshold() -> None:
    result = calibrate(np.arange(1000.0), 0.02)
    above = int((np.arange(1000.0) > result.threshold).sum())
    assert above > 0
    assert result.shown_rate == shown_rate(1000, above)
    assert shown_rate(1000, above) <= 0.02 < shown_rate(1000, above + 1)


@pytest.mark.parametrize(("count", "total"), [(0, 300), (300, 300), (7, 50)])
def test_intervals_agree_with_scipys(count: int, total: int) -> None:
    expected = stats.binomtest(count, total).proportion_ci(0.95)
    found = interval(count, total)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.share == count / total


def test_images_that_are_all_above_show_no_rate() -> None:
    assert shown_rate(101, 101) == 1.0
    assert shown_rate(101, 100) < 1.0
