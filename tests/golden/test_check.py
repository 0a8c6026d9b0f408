"""What one check with golden parts asks for, and how it ends."""

import pytest

from inspectd.config import GoldenPart
from inspectd.golden.check import LONGEST_PAUSE_NS, SPARE_SHOWINGS, GoldenCheck
from inspectd.golden.schedule import GoldenSubject
from inspectd.wire import Evaluation
from inspectd.wire.golden import GoldenAgreement, GoldenOutcome, GoldenRefusalReason, GoldenView

SUBJECT = GoldenSubject("a", "a" * 64)
CRACK = GoldenPart(name="crack-1", recipe="a", expect="fail", cameras=("side",), score_min=0.8, repeats=2)
GOOD = GoldenPart(name="good-1", recipe="a", expect="pass", score_max=0.4)
OTHERS = GoldenPart(name="other", recipe="b", expect="pass")
BANK = "b" * 64
AGREED, DISAGREED, UNDECIDED = GoldenAgreement


def view(camera: str, evaluation: str, score: float | None, reason: str = "", bank: str = BANK) -> GoldenView:
    return GoldenView(camera, Evaluation(evaluation), reason, score, 0.5, bank)


def unseen(camera: str, reason: str = "deadline") -> GoldenView:
    return GoldenView(camera, Evaluation.UNDECIDABLE, reason, None, None, BANK)


GOOD_SEEN = [view("top", "pass", 0.2), view("side", "pass", 0.3)]
CRACK_SEEN = [view("top", "pass", 0.1), view("side", "fail", 0.9)]


class Check(GoldenCheck):
    def __init__(self) -> None:
        super().__init__("c1", SUBJECT, [CRACK, GOOD, OTHERS], ["top", "side"], who="kim", now_ns=0)

    def show(self, part: str, views: list[GoldenView], by: GoldenSubject = SUBJECT) -> GoldenAgreement:
        assert self.refusal(part) is None
        return self.take(part, views, by, now_ns=1, utc_ns=2).agreement


def test_it_passes_when_every_part_was_shown_as_often_as_it_must_and_agreed() -> None:
    check = Check()
    assert [(left.part, left.times, left.cameras) for left in check.to_show] == [
        ("crack-1", 2, ["side"]),
        ("good-1", 1, ["top", "side"]),
    ]
    assert check.show("good-1", GOOD_SEEN) is AGREED
    assert check.show("crack-1", CRACK_SEEN) is AGREED
    assert (check.outcome, check.is_over) == (None, False)
    assert check.show("crack-1", CRACK_SEEN) is AGREED
    assert (check.outcome, check.is_over, check.to_show) == (GoldenOutcome.PASSED, True, [])
    assert [view.camera for view in check.showings[1].views] == ["side"]  # the other need not see it


@pytest.mark.parametrize(
    ("part", "views", "problem"),
    [
        ("crack-1", [view("side", "fail", 0.61)], "score 0.61, expected at least 0.8"),
        (
            "crack-1",
            [view("side", "pass", 0.45)],
            "pass with score 0.45 at threshold 0.5, expected fail; score 0.45, expected at least 0.8",
        ),
        (
            "good-1",
            [view("top", "pass", 0.2), view("side", "pass", 0.45)],
            "score 0.45, expected at most 0.4",
        ),
        (
            "good-1",
            [unseen("top"), view("side", "fail", 0.55)],
            "fail with score 0.55 at threshold 0.5, expected pass; score 0.55, expected at most 0.4",
        ),
    ],
)
def test_a_part_that_disagrees_fails_it_at_once_and_no_end_makes_that_undone(part, views, problem) -> None:
    check = Check()
    assert check.show(part, views) is DISAGREED
    assert check.outcome is GoldenOutcome.FAILED
    assert check.problems[0] == f"{part} on side: {problem}"
    assert check.to_show  # the others may be shown all the same
    check.end()
    assert (check.outcome, check.is_over) == (GoldenOutcome.FAILED, True)


@pytest.mark.parametrize(
    ("views", "problem"),
    [
        ([unseen("side")], "undecidable (deadline)"),
        ([unseen("side", "black")], "undecidable (black)"),
        ([view("top", "fail", 0.9)], "no frame of it"),
        ([view("side", "fail", None)], "a verdict without a score or a bank"),
        ([view("side", "fail", float("nan"))], "a verdict without a score or a bank"),
        ([], "no frame of it"),
    ],
)
def test_a_part_that_was_not_judged_does_not_pass_and_may_be_shown_again(views, problem) -> None:
    check = Check()
    for _ in range(SPARE_SHOWINGS):
        assert check.show("crack-1", views) is UNDECIDED
        assert check.showings[-1].problems == [f"crack-1 on side: {problem}"]
    assert (check.outcome, check.to_show[0].times) == (None, 2)
    assert check.show("crack-1", views) is UNDECIDED
    assert check.outcome is GoldenOutcome.FAILED
    assert check.problems == [
        f"crack-1: undecided 3 times, so it is not shown again; the last time: crack-1 on side: {problem}"
    ]
    reason, detail = check.refusal("crack-1")
    assert (reason, detail) == (
        GoldenRefusalReason.SHOWN,
        "crack-1 need not be shown any more in this check",
    )


def test_what_another_recipe_or_bank_judged_proves_nothing() -> None:
    check = Check()
    newer = GoldenSubject("a", "c" * 64, 4)
    assert check.show("crack-1", CRACK_SEEN, by=newer) is UNDECIDED
    assert check.showings[-1].problems == [
        "crack-1 on side: judged by recipe a@4 (cccccccccccc), the check is of a (aaaaaaaaaaaa)"
    ]
    assert check.show("crack-1", CRACK_SEEN) is AGREED
    assert check.show("crack-1", [view("side", "fail", 0.9, bank="d" * 64)]) is UNDECIDED
    assert check.showings[-1].problems == [
        "crack-1 on side: judged by bank dddddddddddd, earlier in this check by bbbbbbbbbbbb"
    ]


@pytest.mark.parametrize(
    ("part", "reason", "detail"),
    [
        ("crack", "unknown_part", "no golden part 'crack', expected one of: crack-1, good-1"),
        ("other", "wrong_recipe", "other is of recipe b, the check is of a"),
        ("good-1", "shown", "good-1 need not be shown any more in this check"),
    ],
)
def test_what_may_not_be_shown_is_refused_with_the_reason(part, reason, detail) -> None:
    check = Check()
    check.show("good-1", GOOD_SEEN)
    assert check.refusal(part) == (reason, detail)
    check.end()
    assert check.refusal("crack-1")[0] is GoldenRefusalReason.NO_CHECK


def test_one_in_which_nothing_is_shown_is_abandoned() -> None:
    check = Check()
    check.show("good-1", GOOD_SEEN)
    assert check.wake_ns == 1 + LONGEST_PAUSE_NS
    check.turn(check.wake_ns - 1)
    assert not check.is_over
    check.turn(check.wake_ns)
    assert (check.outcome, check.problems) == (GoldenOutcome.ABANDONED, [])


@pytest.mark.parametrize(("parts", "judged"), [([OTHERS], ["top"]), ([GOOD], [])])
def test_a_check_that_would_prove_nothing_cannot_be_begun(parts, judged) -> None:
    with pytest.raises(ValueError, match="has no golden part, or no camera that must see one"):
        GoldenCheck("c1", SUBJECT, parts, judged, who="", now_ns=0)


def test_a_part_that_many_cameras_did_not_judge_is_told_by_the_first_of_them() -> None:
    """What failed stands in every status message of the line."""
    names = [f"cam-{number}" for number in range(40)]
    check = GoldenCheck("c1", SUBJECT, [GOOD], names, who="kim", now_ns=0)
    for _ in range(SPARE_SHOWINGS + 1):
        check.take("good-1", [unseen(name) for name in names], SUBJECT, now_ns=1, utc_ns=2)
    (problem,) = check.problems
    assert problem.endswith("and 35 more problems")
    assert problem.count("deadline") == 5
