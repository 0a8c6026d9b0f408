"""Whether the scores of a golden part drift, and towards what.

The slope is that of Theil (1950) and Sen (1968): the median of the slopes between all pairs of checks, with
Sen's interval. A few odd checks do not move it, and nothing is assumed of how scores scatter, but that checks
scatter independently: where neighbouring ones are alike (a warm afternoon), the interval is too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
from scipy import stats

from inspectd.golden.agreement import CheckPoint, ScoreSeries
from inspectd.wire import Evaluation

FEWEST_CHECKS: Final = 10
"""Without so many no trend is told; as many are the beginning that a shift is told against."""
MOST_CHECKS: Final = 60
"""A trend is that of the last so many."""
_CONFIDENCE: Final = 0.95
_DAY_NS: Final = 86_400e9


class GoldenTrend(msgspec.Struct, frozen=True):
    """Where a golden part's score on one camera goes."""

    first: float
    """Median of the first ten checks."""
    last: float
    """Median of the last ten checks after those; of the first where there are none."""
    per_day: float | None
    """Slope, in scores a day; None: there are too few checks."""
    low: float | None
    high: float | None
    """Its 95 % interval."""
    now: float | None
    """The line at the last check."""
    limit: float | None
    """What the score drifts towards: the threshold, or an end of its band; None: it shows no such drift."""
    limit_name: str
    """What `limit` is, for people."""
    days: float | None
    """Days from the last check until it gets there at this rate; None: longer than it has been watched."""
    days_low: float | None
    days_high: float | None
    """The same at the ends of the slope's interval; None: not foreseeable."""


def find_trend(series: ScoreSeries) -> GoldenTrend:
    """The trend of a series that has at least one check."""
    scores = [point.score for point in series.points]
    first = float(np.median(scores[:FEWEST_CHECKS]))
    later = scores[FEWEST_CHECKS:] or scores
    last = float(np.median(later[-FEWEST_CHECKS:]))
    recent = series.points[-MOST_CHECKS:]
    days = (np.array([point.utc_ns for point in recent]) - recent[0].utc_ns) / _DAY_NS
    if len(recent) < FEWEST_CHECKS or days[-1] <= 0:
        return GoldenTrend(first, last, None, None, None, None, None, "", None, None, None)
    fit = stats.theilslopes([point.score for point in recent], days, _CONFIDENCE)
    slope, low, high = float(fit.slope), float(fit.low_slope), float(fit.high_slope)
    now = float(fit.intercept) + slope * float(days[-1])
    limit, name = _ahead(series, now, low, high)
    whole, soonest, latest = None, None, None
    if limit is not None:
        # No farther ahead than it was watched: nobody knows that a drift goes on.
        whole, soonest, latest = (
            at if 0 <= at <= days[-1] else None
            for at in (
                (limit - now) / rate if rate else math.inf for rate in _from_the_fastest(slope, low, high)
            )
        )
    return GoldenTrend(first, last, slope, low, high, now, limit, name, whole, soonest, latest)


def drift_words(series: ScoreSeries, trend: GoldenTrend) -> str | None:
    """A warning of a drift towards a limit, for people; None: there is none to warn of."""
    if trend.limit is None or trend.per_day is None:
        return None
    text = (
        f"{series.part} on {series.camera} drifts towards {trend.limit_name} {trend.limit:.4g}: "
        f"{trend.per_day:+.2g} a day, now {trend.now:.4g}"
    )
    if trend.days is None:
        return f"{text}; at this rate it takes longer to get there than it has been watched"
    latest = "" if trend.days_high is None else f" to {trend.days_high:.0f}"
    span = "" if trend.days_low is None else f" ({trend.days_low:.0f}{latest or ' or more'})"
    return f"{text}; at this rate it reaches it in about {trend.days:.0f} days{span}"


def _from_the_fastest(slope: float, low: float, high: float) -> tuple[float, float, float]:
    """The slope, the steepest in its direction, and the flattest."""
    return (slope, high, low) if slope > 0 else (slope, low, high)


def _ahead(series: ScoreSeries, now: float, low: float, high: float) -> tuple[float | None, str]:
    """The nearest limit in the direction of a drift that is certain, and its name."""
    if low <= 0 <= high or not math.isfinite(low + high):
        return None, ""
    limits = [(value, name) for value, name in _limits(series, rises=low > 0) if (value > now) == (low > 0)]
    return min(limits, key=lambda limit: abs(limit[0] - now), default=(None, ""))


def _limits(series: ScoreSeries, *, rises: bool) -> Iterator[tuple[float, str]]:
    """What must not be reached by a score that rises, or falls."""
    is_bad = series.expect is Evaluation.FAIL
    if series.threshold is not None and rises != is_bad:
        yield series.threshold, "the threshold"
    end = series.score_max if rises else series.score_min
    if end is not None:
        yield end, "the end of its band"


def line_of(points: list[CheckPoint], trend: GoldenTrend) -> tuple[list[int], list[float]] | None:
    """Times and scores of the two ends of the trend's line; None: there is none."""
    if trend.per_day is None or trend.now is None:
        return None
    recent = points[-MOST_CHECKS:]
    begin_ns, end_ns = recent[0].utc_ns, recent[-1].utc_ns
    return [begin_ns, end_ns], [trend.now - trend.per_day * (end_ns - begin_ns) / _DAY_NS, trend.now]
