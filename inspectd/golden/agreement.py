"""What the recorded checks say of a line: how often golden parts agreed, and what they scored. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from inspectd.golden.results import CheckResult
from inspectd.wire.golden import GoldenAgreement, GoldenOutcome, GoldenShowing
from inspectd.wire.verdicts import Evaluation

_DAY_NS: Final = 86_400_000_000_000
_PERIOD_DAYS: Final = (1, 7, 30, 90, 365)
_MOST_PERIODS: Final = 13


class GoldenTally(msgspec.Struct, frozen=True):
    """Showings of golden parts, counted."""

    shown: int
    undecided: int
    """Not judged by every camera that must; they are in none of the counts below."""
    agreed: int
    wrong_verdict: int
    """A camera gave the other verdict: a bad part passed, or a good one failed."""
    outside_band: int
    """The verdicts were right, but a score was not where it must be."""

    @property
    def decided(self) -> int:
        """Showings that say something."""
        return self.shown - self.undecided


class GoldenPeriod(msgspec.Struct, frozen=True):
    """Showings of a span of time."""

    begin_utc_ns: int
    end_utc_ns: int
    tally: GoldenTally


class CheckPoint(msgspec.Struct, frozen=True):
    """A golden part's score on one camera in one check."""

    utc_ns: int
    score: float
    """Median of the check's showings: those of one check are too much alike to count each."""
    threshold: float | None
    is_agreed: bool
    """All showings of the check agreed."""


class ScoreSeries(msgspec.Struct, frozen=True):
    """Scores of one golden part on one camera by one bank, and what was expected of it last."""

    recipe: str
    part: str
    camera: str
    bank_sha256: str
    expect: Evaluation
    score_min: float | None
    score_max: float | None
    points: list[CheckPoint]
    """In the order of time."""
    earlier_banks: int
    """Banks that judged it before; their scores have another scale and are not among these."""

    @property
    def threshold(self) -> float | None:
        """The last one in force."""
        return self.points[-1].threshold


def tally(showings: Iterable[GoldenShowing]) -> GoldenTally:
    """Count showings."""
    shown = undecided = agreed = wrong = outside = 0
    for showing in showings:
        shown += 1
        if showing.agreement is GoldenAgreement.UNDECIDED:
            undecided += 1
        elif showing.agreement is GoldenAgreement.AGREED:
            agreed += 1
        elif is_wrong_verdict(showing):
            wrong += 1
        else:
            outside += 1
    return GoldenTally(shown, undecided, agreed, wrong, outside)


def is_wrong_verdict(showing: GoldenShowing) -> bool:
    """Whether a camera gave the other verdict than expected, of pass and fail."""
    other = Evaluation.PASS if showing.expect is Evaluation.FAIL else Evaluation.FAIL
    return any(view.evaluation is other for view in showing.views)


def ended(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Those that passed or failed, in the order of time."""
    kept = [check for check in checks if check.outcome is not GoldenOutcome.ABANDONED]
    return sorted(kept, key=lambda check: check.utc_ns)


def periods(checks: Sequence[CheckResult]) -> list[GoldenPeriod]:
    """The checks' showings by days, weeks or longer spans, so that there are not too many; none is empty.

    Args:
        checks: in the order of time.
    """
    if not checks:
        return []
    first, last = checks[0].utc_ns, checks[-1].utc_ns
    whole_days = (last - first) // _DAY_NS + 1
    days = next((d for d in _PERIOD_DAYS if whole_days <= d * _MOST_PERIODS), whole_days // _MOST_PERIODS + 1)
    by_number: dict[int, list[GoldenShowing]] = {}
    for check in checks:
        by_number.setdefault((check.utc_ns - first) // (days * _DAY_NS), []).extend(check.showings)
    begins = {number: first + number * days * _DAY_NS for number in by_number}
    return [
        GoldenPeriod(begins[number], begins[number] + days * _DAY_NS, tally(showings))
        for number, showings in by_number.items()
    ]


def score_series(checks: Sequence[CheckResult]) -> list[ScoreSeries]:
    """The scores of every golden part on every camera that must see it, by the bank that judged it last.

    Args:
        checks: in the order of time.
    """
    points: dict[tuple[str, str, str], dict[str, list[CheckPoint]]] = {}
    last: dict[tuple[str, str, str], GoldenShowing] = {}
    for check in checks:
        for (part, camera, bank), showings in _by_view(check).items():
            views = [view for showing in showings for view in showing.views if view.camera == camera]
            scores = [view.score for view in views if view.score is not None and view.bank_sha256 == bank]
            point = CheckPoint(
                check.utc_ns,
                statistics.median(scores),
                views[-1].threshold,
                all(showing.agreement is GoldenAgreement.AGREED for showing in showings),
            )
            key = (check.recipe, part, camera)
            of_bank = points.setdefault(key, {}).pop(bank, [])
            points[key][bank] = [*of_bank, point]  # the bank seen last stands last
            last[key] = showings[-1]
    found = []
    for key, banks in points.items():
        bank, of_bank = list(banks.items())[-1]
        shown = last[key]
        found.append(
            ScoreSeries(
                *key, bank, shown.expect, shown.score_min, shown.score_max, of_bank, len(banks) - 1
            )
        )  # fmt: skip
    return found


def _by_view(check: CheckResult) -> dict[tuple[str, str, str], list[GoldenShowing]]:
    """The showings of a check that gave a score, by part, camera and bank.

    What an undecided one scored says nothing, as in `tally`: it may be of another bank, and the part is shown
    again. Nor does a view that could not be judged, beside one that disagreed: it is undecidable, or by
    another bank than its camera's in this check.
    """
    found: dict[tuple[str, str, str], list[GoldenShowing]] = {}
    banks: dict[str, str] = {}
    for showing in check.showings:
        if showing.agreement is GoldenAgreement.UNDECIDED:
            continue
        for view in showing.views:
            bank = view.bank_sha256
            if view.evaluation is Evaluation.UNDECIDABLE or view.score is None or bank is None:
                continue
            if bank == banks.setdefault(view.camera, bank):
                found.setdefault((showing.part, view.camera, bank), []).append(showing)
    return found
