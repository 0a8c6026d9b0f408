from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.batching.judge import is_like_the_banks, judge, judge_part
from inspectd.records import NAN_SCORE, BankInForce, FrameRef, Inspection, JudgedBy, Measures, Score
from inspectd.wire import Evaluation, Reason

INSPECTION = Inspection(1, FrameRef("cam", 1, 0, 1, 0, 0, 2, 2), "r", 0, 100)


def outcome(value: float, *, threshold: float = 1.0, sha: str = "sha", now_ns: int = 50, check_above=None):
    inspection = msgspec.structs.replace(INSPECTION, judged_by=JudgedBy("sha", threshold, check_above))
    return judge(inspection, Score(1, 1, value, b"", 0, 0, sha, {}), now_ns)


def test_at_or_below_the_threshold_passes_and_above_it_fails():
    assert outcome(1.0).evaluation is Evaluation.PASS
    assert outcome(math.nextafter(1.0, 2)).evaluation is Evaluation.FAIL


def test_a_good_score_after_the_deadline_never_passes():
    assert outcome(0.0, now_ns=100).evaluation is Evaluation.PASS
    late = outcome(0.0, now_ns=101)
    assert (late.evaluation, late.reason) == (Evaluation.UNDECIDABLE, Reason.DEADLINE)


def test_the_score_of_another_bank_never_passes():
    assert outcome(0.0, sha="other").reason is Reason.SCORING_ERROR


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_undecidable(value):
    assert outcome(value).reason is Reason.SCORING_ERROR
    assert outcome(0.0, threshold=value).reason is Reason.SCORING_ERROR


def test_what_stands_for_a_score_that_is_no_number_passes_under_no_threshold():
    assert outcome(NAN_SCORE, threshold=1e300).evaluation is Evaluation.FAIL
    assert outcome(math.nextafter(NAN_SCORE, 0), threshold=1e300).evaluation is Evaluation.PASS


def test_a_pass_above_the_second_limit_is_marked_and_stays_a_pass():
    for value, evaluation, second_look in (
        (0.8, Evaluation.PASS, False),
        (math.nextafter(0.8, 1), Evaluation.PASS, True),
        (1.0, Evaluation.PASS, True),
        (1.1, Evaluation.FAIL, False),
    ):
        found = outcome(value, check_above=0.8)
        assert (found.evaluation, found.second_look) == (evaluation, second_look)
    assert not outcome(0.9, check_above=0.8, now_ns=101).second_look


def test_a_part_is_marked_if_it_passes_and_a_view_is():
    clear, marked, fail = (outcome(value, check_above=0.8) for value in (0.1, 0.9, 1.1))
    assert judge_part([clear, marked], expected=2).second_look
    assert not judge_part([clear, clear], expected=2).second_look
    assert not judge_part([marked, fail], expected=2).second_look
    assert not judge_part([marked], expected=2).second_look


def test_a_frame_unlike_the_banks_images_is_not_judged_and_says_what_it_is_like():
    measures = Measures(mean_grey=12.0)
    inspection = msgspec.structs.replace(INSPECTION, judged_by=JudgedBy("sha", 1.0))
    for value in (0.0, 5.0):
        score = Score(1, 1, value, b"", 0, 0, "sha", {}, measures, Reason.QUALITY_EXPOSURE, "mean_grey is 12")
        found = judge(inspection, score, 50)
        assert (found.evaluation, found.reason) == (Evaluation.UNDECIDABLE, Reason.QUALITY_EXPOSURE)
        assert (found.measures, found.detail, found.score) == (measures, "mean_grey is 12", None)
    assert judge(inspection, Score(1, 1, 0.0, b"", 0, 0, "sha", {}, measures), 50).measures == measures


@given(
    value=st.floats(), threshold=st.floats(), now_ns=st.integers(0, 200), check_above=st.floats() | st.none()
)
def test_whatever_the_numbers_a_pass_is_on_time_and_within(value, threshold, now_ns, check_above):
    found = outcome(value, threshold=threshold, now_ns=now_ns, check_above=check_above)
    assert found.evaluation is Evaluation.PASS or not found.second_look
    if found.evaluation is Evaluation.PASS:
        assert -math.inf < value <= threshold < math.inf
        assert now_ns <= INSPECTION.deadline_ns


@pytest.mark.parametrize(
    ("height", "width", "bit_depth", "settings", "expected"),
    [
        (300, 400, 8, {}, True),
        (400, 300, 8, {}, False),  # turned
        (150, 200, 8, {}, False),
        (150, 200, 8, {"any_size": True}, True),
        (150, 200, 8, {"image_sizes": ((300, 400), (150, 200))}, True),
        (150, 200, 8, {"image_sizes": ()}, True),  # a bank of an earlier version does not say
        (300, 400, 12, {}, False),
        (300, 400, 12, {"any_size": True}, False),
        (300, 400, 8, {"bit_depth": 12}, False),
        (300, 400, 12, {"bit_depth": 12}, True),
    ],
)
def test_a_frame_is_judged_in_the_format_of_the_banks_images(height, width, bit_depth, settings, expected):
    frame = FrameRef("cam", 1, 0, 1, 0, 0, height, width, bit_depth=bit_depth)
    bank = BankInForce("r", "sha", "patchcore", "net", 1, 1, 1.0, **{"image_sizes": ((300, 400),)} | settings)
    assert is_like_the_banks(frame, bank) is expected
