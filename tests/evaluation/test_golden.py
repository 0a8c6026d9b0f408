"""Figures of golden parts, held against those worked out by hand."""

import math
import random
from pathlib import Path

import msgspec
import pytest
from support.pages import Tags

from inspectd.evaluation.golden_report import table_row, write_golden_report
from inspectd.evaluation.golden_summary import summarize
from inspectd.evaluation.golden_trend import drift_words, find_trend
from inspectd.golden.agreement import CheckPoint, ScoreSeries
from inspectd.golden.results import CheckResult
from inspectd.wire import Evaluation
from inspectd.wire.golden import GoldenAgreement, GoldenOutcome, GoldenShowing, GoldenView

DAY = 86_400 * 10**9
T0 = 1_780_000_000 * 10**9
PASS, FAIL, UNDECIDABLE = Evaluation
BANK, OLD_BANK = "b" * 64, "a" * 64


def shown(part: str, expect: Evaluation, *scores: float | None, bank: str = BANK) -> GoldenShowing:
    """A showing at threshold 5, band up to 4 for good parts; None: the camera could not judge."""
    views = [
        GoldenView(f"cam{n}", UNDECIDABLE, "black", None, None, bank)
        if score is None
        else GoldenView(f"cam{n}", FAIL if score > 5 else PASS, "", score, 5.0, bank)
        for n, score in enumerate(scores)
    ]
    agreed = all(view.evaluation is expect and (expect is FAIL or view.score <= 4) for view in views)
    agreement = GoldenAgreement.AGREED if agreed else GoldenAgreement.DISAGREED
    if None in scores:
        agreement = GoldenAgreement.UNDECIDED
    return GoldenShowing(part, T0, expect, None, 4.0 if expect is PASS else None, agreement, [], views)


def check(day: float, *showings: GoldenShowing, outcome: GoldenOutcome = GoldenOutcome.PASSED) -> CheckResult:
    at = T0 + int(day * DAY)
    why = ["crack on cam0: ..."] if outcome is GoldenOutcome.FAILED else []
    return CheckResult(at, at, f"c{day}", "kim", "a", 2, "f" * 64, outcome, why, list(showings))


def test_agreement_is_counted_as_by_hand() -> None:
    checks = [
        check(0, shown("good", PASS, 2, 3), shown("good", PASS, 2, None), shown("crack", FAIL, 8)),
        check(1, shown("good", PASS, 4.5, 3), shown("crack", FAIL, 4.9), outcome=GoldenOutcome.FAILED),
        check(2, shown("good", PASS, 5.1, 3), shown("crack", FAIL, 7), outcome=GoldenOutcome.FAILED),
        check(2.5, shown("crack", FAIL, 7), outcome=GoldenOutcome.ABANDONED),  # says nothing
    ]
    found = summarize(checks)
    assert found.checks == {"passed": 1, "failed": 2, "abandoned": 1}
    good, bad = found.good, found.bad
    assert (good.shown, good.undecided, good.agreed, good.wrong_verdict, good.outside_band) == (4, 1, 1, 1, 1)
    assert (bad.shown, bad.undecided, bad.agreed, bad.wrong_verdict, bad.outside_band) == (3, 0, 2, 1, 0)
    # Clopper and Pearson for 1 of 3: 1 - 0.975^(1/3), and by their table.
    for share in (found.false_rejects, found.false_accepts):
        assert (share.count, share.total) == (1, 3)
        assert share.low == pytest.approx(1 - 0.975 ** (1 / 3), abs=1e-6)
        assert share.high == pytest.approx(0.905701, abs=1e-6)
    assert [(p.agreed.count, p.agreed.total) for p in found.periods] == [(2, 2), (0, 2), (1, 2)]
    assert [failed.utc_ns for failed in found.failures] == [T0 + 2 * DAY, T0 + DAY]


def test_of_a_part_only_scores_of_the_bank_that_judges_it_now_are_compared() -> None:
    checks = [check(day, shown("good", PASS, 1.0, bank=OLD_BANK)) for day in range(5)]
    checks += [check(9, shown("good", PASS, 3), shown("good", PASS, 3.5), shown("good", PASS, 2))]
    (part,) = summarize(checks).parts
    assert part.series.points == [CheckPoint(T0 + 9 * DAY, 3.0, 5.0, is_agreed=True)]
    assert (part.series.bank_sha256, part.series.earlier_banks) == (BANK, 1)
    assert (part.agreed.count, part.agreed.total, part.trend.per_day) == (8, 8, None)
    assert table_row(part) == ("good", "cam0", "pass", "8 of 8", "0", "3", "", "")


def test_a_view_that_says_nothing_hides_no_history_and_has_no_score_in_it() -> None:
    checks = [check(day, shown("good", PASS, 2 + 0.1 * day, 2.0, bank=OLD_BANK)) for day in range(12)]
    before = [part.series.points for part in summarize(checks).parts]
    # In the middle of this check the bank was changed; then one camera disagreed, and another one had no bank
    # of this check, or saw too little.
    again = shown("good", PASS, 9.0, 9.0)
    again = msgspec.structs.replace(again, agreement=GoldenAgreement.UNDECIDED)
    wrong = shown("good", PASS, 6.0, 9.0, bank=OLD_BANK)
    other = [wrong.views[0], msgspec.structs.replace(wrong.views[1], bank_sha256=BANK)]
    blurred = [wrong.views[0], msgspec.structs.replace(wrong.views[1], evaluation=UNDECIDABLE)]
    disagreed = [msgspec.structs.replace(wrong, views=views) for views in (other, blurred)]
    first = shown("good", PASS, 2.0, 2.0, bank=OLD_BANK)
    checks.append(check(12, first, again, *disagreed, outcome=GoldenOutcome.FAILED))
    on_0, on_1 = (part.series for part in summarize(checks).parts)
    assert (on_0.bank_sha256, on_0.earlier_banks, on_1.bank_sha256, on_1.earlier_banks) == (OLD_BANK, 0) * 2
    at = T0 + 12 * DAY
    assert on_0.points == [*before[0], CheckPoint(at, 6.0, 5.0, is_agreed=False)]
    assert on_1.points == [*before[1], CheckPoint(at, 2.0, 5.0, is_agreed=True)]


def series(scores: list[float], expect: Evaluation = PASS, low: float | None = None) -> ScoreSeries:
    """A check a day; the threshold is 5."""
    points = [CheckPoint(T0 + n * DAY, score, 5.0, is_agreed=True) for n, score in enumerate(scores)]
    return ScoreSeries("a", "good", "top", BANK, expect, low, None, points, 0)


def test_a_steady_drift_is_told_with_the_time_that_is_left() -> None:
    scores = [2 + 0.1 * day + (0.01 if day % 2 else -0.01) for day in range(20)]
    found = find_trend(series(scores))
    assert found.per_day == pytest.approx(0.1, abs=1e-3)
    assert (found.low < 0.1 < found.high, found.limit, found.limit_name) == (True, 5.0, "the threshold")
    assert found.first == pytest.approx(2.45)
    assert found.last - found.first == pytest.approx(1.0)
    assert found.days == pytest.approx((5 - 3.9) / 0.1, abs=0.3)
    words = drift_words(series(scores), found)
    assert words.startswith(
        "good on top drifts towards the threshold 5: +0.1 a day, now 3.9; at this rate it"
    )
    assert words.endswith(" reaches it in about 11 days (11 to 11)")


@pytest.mark.parametrize(
    ("expect", "per_day", "low", "limit"),
    [
        (PASS, 0.01, None, 5.0),  # too slow to be told when
        (PASS, -0.1, None, None),  # away from the threshold
        (PASS, -0.1, 1.0, 1.0),
        (FAIL, 0.1, None, None),
        (FAIL, -0.1, None, 5.0),
        (FAIL, -0.1, 6.0, 6.0),  # the nearer one
    ],
)
def test_what_a_score_must_not_reach_depends_on_what_is_expected_of_it(expect, per_day, low, limit) -> None:
    begin = 2.5 if expect is PASS else 8.0
    scores = [begin + per_day * day + 0.001 * (day % 3) for day in range(15)]
    found = find_trend(series(scores, expect, low))
    assert found.limit == limit
    if per_day == 0.01:
        assert found.days is None
        assert drift_words(series(scores), found).endswith(
            "it takes longer to get there than it has been watched"
        )


def test_few_checks_and_those_of_one_moment_have_no_trend() -> None:
    assert find_trend(series([2 + 0.1 * day for day in range(9)])).per_day is None
    at_once = series([2.0] * 12)
    at_once = ScoreSeries("a", "p", "c", BANK, PASS, None, None, [at_once.points[0]] * 12, 0)
    assert find_trend(at_once).per_day is None


def test_scores_that_only_scatter_are_rarely_told_to_drift() -> None:
    chance = random.Random(7)
    told = sum(
        find_trend(series([2 + chance.gauss(0, 0.2) for _ in range(30)])).limit is not None
        for _ in range(400)
    )
    assert told <= 22  # 10 are expected; more than 22 come by chance once in 2,000 runs


def test_the_page_is_whole_and_shows_text_of_others_as_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    checks = [check(day, shown(evil, PASS, 2 + 0.1 * day), shown("crack", FAIL, 8.0)) for day in range(12)]
    checks.append(check(13, shown("crack", FAIL, 3.0), outcome=GoldenOutcome.FAILED))
    checks[-1].problems.append(evil)
    write_golden_report(tmp_path / "page.html", summarize(checks), "Golden parts of demo/line1", ["a note"])
    text = (tmp_path / "page.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert (tags.open, "<script" in text, "http" in text.replace("http://www.w3.org/2000/svg", "")) == (
        [], False, False,
    )  # fmt: skip
    assert text.count("<svg") == 3
    assert "drifts towards the end of its band 4" in text


def test_a_kind_that_was_never_shown_has_no_rate(tmp_path: Path) -> None:
    found = summarize([check(0, shown("good", PASS, 2))])
    assert math.isnan(found.false_accepts.share)
    write_golden_report(tmp_path / "page.html", found, "x")
    assert "none shown" in (tmp_path / "page.html").read_text()
