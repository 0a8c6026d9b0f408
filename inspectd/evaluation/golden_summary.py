"""Figures of a line's golden parts: agreement with its uncertainty, failures, and drifts of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from inspectd.evaluation.calibrate import Interval, interval
from inspectd.evaluation.golden_trend import GoldenTrend, drift_words, find_trend
from inspectd.golden.agreement import (
    GoldenTally,
    ScoreSeries,
    ended,
    periods,
    score_series,
    tally,
)
from inspectd.golden.results import CheckResult
from inspectd.wire import Evaluation
from inspectd.wire.golden import GoldenOutcome

_MOST_FAILURES: Final = 200


class FailedCheck(msgspec.Struct, frozen=True):
    """A check that failed."""

    utc_ns: int
    recipe: str
    recipe_version: int | None
    who: str
    problems: list[str]


class PeriodAgreement(msgspec.Struct, frozen=True):
    """Agreement in a span of time."""

    begin_utc_ns: int
    end_utc_ns: int
    agreed: Interval


class PartSummary(msgspec.Struct, frozen=True):
    """One golden part on one camera, by the bank that judged it last."""

    series: ScoreSeries
    agreed: Interval
    """Of all its showings that were decided, on whatever camera and by whatever bank."""
    undecided: int
    trend: GoldenTrend
    warning: str | None
    """Of a drift, for people."""


class GoldenSummary(msgspec.Struct, frozen=True):
    """All that a report of golden parts says."""

    begin_utc_ns: int
    """The first check."""
    end_utc_ns: int
    checks: dict[str, int]
    """By outcome."""
    good: GoldenTally
    bad: GoldenTally
    false_rejects: Interval
    """Showings of good parts that a camera failed."""
    false_accepts: Interval
    """Showings of bad parts that a camera passed."""
    periods: list[PeriodAgreement]
    parts: list[PartSummary]
    failures: list[FailedCheck]
    """The newest first; so many at most."""

    @property
    def warnings(self) -> list[str]:
        """Drifts, for people."""
        return [part.warning for part in self.parts if part.warning is not None]


def summarize(checks: Sequence[CheckResult]) -> GoldenSummary:
    """Work out the figures of at least one check."""
    ordered = ended(checks)
    showings = [showing for check in ordered for showing in check.showings]
    good, bad = (
        tally(showing for showing in showings if showing.expect is expect)
        for expect in (Evaluation.PASS, Evaluation.FAIL)
    )
    times = [check.utc_ns for check in checks]
    failed = [check for check in reversed(ordered) if check.outcome is GoldenOutcome.FAILED]
    return GoldenSummary(
        begin_utc_ns=min(times),
        end_utc_ns=max(times),
        checks={outcome: sum(check.outcome is outcome for check in checks) for outcome in GoldenOutcome},
        good=good,
        bad=bad,
        false_rejects=interval(good.wrong_verdict, good.decided),
        false_accepts=interval(bad.wrong_verdict, bad.decided),
        periods=[
            PeriodAgreement(p.begin_utc_ns, p.end_utc_ns, interval(p.tally.agreed, p.tally.decided))
            for p in periods(ordered)
            if p.tally.decided
        ],
        parts=[_part(series, ordered) for series in score_series(ordered)],
        failures=[
            FailedCheck(c.utc_ns, c.recipe, c.recipe_version, c.who, c.problems)
            for c in failed[:_MOST_FAILURES]
        ],
    )


def _part(series: ScoreSeries, checks: Sequence[CheckResult]) -> PartSummary:
    own = tally(
        showing
        for check in checks
        if check.recipe == series.recipe
        for showing in check.showings
        if showing.part == series.part
    )
    trend = find_trend(series)
    return PartSummary(
        series, interval(own.agreed, own.decided), own.undecided, trend, drift_words(series, trend)
    )
