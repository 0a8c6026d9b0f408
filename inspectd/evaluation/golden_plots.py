"""Pictures of golden parts over time, as SVG text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np

from inspectd.evaluation.golden_summary import PartSummary, PeriodAgreement
from inspectd.evaluation.golden_trend import FEWEST_CHECKS, line_of
from inspectd.evaluation.plots import PlotFrame

AGREED: Final = "#2a7f9e"
DISAGREED: Final = "#d2553a"
LIMIT: Final = "#1c2430"
BEGINNING: Final = "#8a94a3"
TREND: Final = "#6a4c93"
_DAY_NS: Final = 86_400e9
_TICKS: Final = 5
_ROOM: Final = 0.08
"""Left above and below what is drawn, as a share of its height."""


def agreement_svg(periods: Sequence[PeriodAgreement]) -> str:
    """Share of showings that agreed, with its 95 % interval, over time."""
    begin, end = periods[0].begin_utc_ns, periods[-1].end_utc_ns
    low = max(0.0, np.floor(10 * min(period.agreed.low for period in periods)) / 10)
    frame = PlotFrame(
        "Showings that agreed, with 95 % intervals",
        (0.0, _days(end, begin), ""),
        (float(low), 1.0, "share"),
        _ticks(begin, end),
    )
    for period in periods:
        agreed = period.agreed
        at = _days((period.begin_utc_ns + period.end_utc_ns) // 2, begin)
        colour = AGREED if agreed.count == agreed.total else DISAGREED
        frame.line([at, at], [agreed.low, agreed.high], colour)
        frame.dot(at, agreed.share, colour, str(agreed.total), radius=4)
    return frame.svg()


def part_svg(part: PartSummary) -> str:
    """A golden part's scores on one camera over time, with its threshold, band, beginning and trend."""
    series, trend = part.series, part.trend
    begin = series.points[0].utc_ns
    end = max(series.points[-1].utc_ns, begin + int(_DAY_NS / 24))
    times = [_days(point.utc_ns, begin) for point in series.points]
    thresholds = [point.threshold for point in series.points if point.threshold is not None]
    ends = [end for end in (series.score_min, series.score_max) if end is not None]
    low, high = _room([point.score for point in series.points] + thresholds + ends)
    frame = PlotFrame(
        f"{series.part} on {series.camera}, expected {series.expect}",
        (0.0, _days(end, begin), ""),
        (low, high, "score"),
        _ticks(begin, end),
    )
    if ends:
        bottom = low if series.score_min is None else series.score_min
        frame.band(bottom, high if series.score_max is None else series.score_max, AGREED)
    steps = _steps(times, [point.threshold for point in series.points], _days(end, begin))
    frame.line(*steps, LIMIT, "5 4")
    if len(series.points) > FEWEST_CHECKS:
        frame.line([0.0, _days(end, begin)], [trend.first, trend.first], BEGINNING, "2 4")
    line = line_of(series.points, trend)
    if line is not None:
        frame.line([_days(at, begin) for at in line[0]], line[1], TREND)
    for at, point in zip(times, series.points, strict=True):
        frame.dot(at, point.score, AGREED if point.is_agreed else DISAGREED, filled=point.is_agreed, radius=3)
    return frame.svg()


def local_day(utc_ns: int, *, with_time: bool = False) -> str:
    """A moment by the clock of this host, for people."""
    local = datetime.fromtimestamp(utc_ns // 1_000_000_000, UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M" if with_time else "%Y-%m-%d")


def _days(utc_ns: int, begin_utc_ns: int) -> float:
    return (utc_ns - begin_utc_ns) / _DAY_NS


def _ticks(begin_utc_ns: int, end_utc_ns: int) -> list[tuple[float, str]]:
    """Dates below the axis, or times of day where it spans less than two days."""
    span = _days(end_utc_ns, begin_utc_ns)
    form = "%H:%M" if span < 2 else "%d %b" if span < 300 else "%b %Y"
    moments = np.linspace(begin_utc_ns / 1e9, end_utc_ns / 1e9, _TICKS)
    labels = [datetime.fromtimestamp(float(at), UTC).astimezone().strftime(form) for at in moments]
    return [(float(x), label) for x, label in zip(np.linspace(0.0, span, _TICKS), labels, strict=True)]


def _room(values: Sequence[float]) -> tuple[float, float]:
    """The span of values with some room around."""
    low, high = min(values), max(values)
    room = _ROOM * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _steps(
    times: Sequence[float], values: Sequence[float | None], end: float
) -> tuple[list[float], list[float]]:
    """A line that stays at each value until the next one is there."""
    x: list[float] = []
    y: list[float] = []
    for at, value in zip(times, values, strict=True):
        if value is None:
            continue
        if y and y[-1] != value:
            x, y = [*x, at], [*y, y[-1]]
        x, y = [*x, at], [*y, value]
    return ([*x, end], [*y, y[-1]]) if y else ([], [])
