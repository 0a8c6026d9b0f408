"""Parts: what is refused, when an id may be used again, and when a part has all its views."""

from __future__ import annotations

import itertools
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.batching.judge import judge_part
from inspectd.batching.matching import FirstAfter
from inspectd.batching.parts import MAX_REMEMBERED, ClosedView, Part, Parts
from inspectd.batching.triggering import Triggering
from inspectd.config import ImagesCamera, Triggers
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.records import FrameRef, Outcome, PendingView, Trigger
from inspectd.wire import Evaluation, Reason, Refusal, RefusalReason, TriggerRequest, ViewVerdict

PASS = Outcome(Evaluation.PASS, Reason.WITHIN_THRESHOLD, 1)
FAIL = Outcome(Evaluation.FAIL, Reason.ABOVE_THRESHOLD, 2)
MISSED = Outcome(Evaluation.UNDECIDABLE, Reason.MISSED_TRIGGER, 3)
DARK = Outcome(Evaluation.UNDECIDABLE, Reason.BLACK, 4)


@pytest.mark.parametrize(
    ("views", "evaluation", "reason"),
    [
        ([PASS], "pass", "within_threshold"),
        ([PASS, PASS], "pass", "within_threshold"),
        ([PASS, FAIL], "fail", "above_threshold"),
        ([FAIL, MISSED], "fail", "above_threshold"),
        ([PASS, MISSED], "undecidable", "missed_trigger"),
        ([PASS, DARK, MISSED], "undecidable", "black"),
    ],
)
def test_a_part_is_as_good_as_its_worst_view(views, evaluation, reason):
    judged = judge_part(views, expected=len(views))
    assert (judged.evaluation, judged.reason) == (evaluation, reason)
    assert judged.decided_ns == max(view.decided_ns for view in views)


@given(st.lists(st.sampled_from([PASS, FAIL, MISSED, DARK]), min_size=1, max_size=5), st.integers(1, 6))
def test_only_all_views_passing_is_a_pass(views, expected):
    passed = judge_part(views, expected=expected).evaluation is Evaluation.PASS
    assert passed == (views == [PASS] * expected)


def opened(parts, name, now_ns, views=1):
    trigger = Trigger(name, received_ns=now_ns)
    part = Part(
        trigger, now_ns + 100, [PendingView(i, f"c{i}", "r", trigger, now_ns + 100) for i in range(views)]
    )
    parts.add(part)
    return part


def close(parts, name, view_id, now_ns):
    outcome = Outcome(Evaluation.PASS, Reason.WITHIN_THRESHOLD, now_ns)
    verdict = ViewVerdict(f"c{view_id}", view_id + 1, outcome.evaluation, outcome.reason)
    return parts.close_view(name, view_id, ClosedView(verdict, outcome))


def test_an_id_is_free_again_once_its_part_is_closed_and_out_of_memory():
    parts = Parts(max_open=8, id_memory_ns=1000)
    opened(parts, "7", 0)
    assert parts.refusal("7", 5000) is RefusalReason.DUPLICATE_ID  # open, however long
    close(parts, "7", 0, 6000)
    assert parts.refusal("7", 6999) is RefusalReason.DUPLICATE_ID
    assert parts.refusal("7", 7000) is None


def test_a_counter_that_wraps_is_never_refused_when_its_ids_are_out_of_memory():
    parts = Parts(max_open=8, id_memory_ns=1000)
    for now_ns in range(0, 600_000, 100):
        name = str(now_ns // 100 % 16)  # a counter of 4 bits
        assert parts.refusal(name, now_ns) is None
        opened(parts, name, now_ns)
        close(parts, name, 0, now_ns + 50)
    assert parts.accepted == parts.closed == 6000


def test_of_more_ids_than_are_remembered_the_oldest_is_free_and_no_part_is_refused():
    parts = Parts(max_open=8, id_memory_ns=10**15)
    for number in range(MAX_REMEMBERED + 2):
        assert parts.refusal(str(number), number) is None
        opened(parts, str(number), number)
        close(parts, str(number), 0, number)
    assert [parts.refusal(name, 10**6) for name in "012"] == [None, None, RefusalReason.DUPLICATE_ID]


def test_so_many_may_be_open_and_no_more():
    parts = Parts(max_open=2, id_memory_ns=0)
    opened(parts, "1", 0)
    opened(parts, "2", 0)
    assert parts.refusal("3", 0) is RefusalReason.OVERLOAD
    close(parts, "1", 0, 10)
    assert parts.refusal("3", 10) is None


def test_a_part_is_closed_by_its_last_view_whichever_that_is():
    parts = Parts(max_open=2, id_memory_ns=0)
    opened(parts, "1", 0, views=3)
    assert close(parts, "1", 2, 5) is None
    assert close(parts, "1", 0, 6) is None
    assert (parts.open, parts.closed) == (1, 0)
    assert len(close(parts, "1", 1, 7).closed) == 3
    assert (parts.open, parts.closed) == (0, 1)


def triggering():
    return Triggering(
        {"top": FirstAfter(100, (0, 0)), "side": FirstAfter(100, (0, 0))},
        Parts(max_open=4, id_memory_ns=1000),
        RecipeBook(
            LineRecipe(
                places={"top": "a-top", "side": "a-side", "free": "b"},
                deadlines_ns={"a-top": 300_000_000, "a-side": 200_000_000, "b": 500_000_000},
            )
        ),
    )


def ask(request, *, judged=("a-top", "a-side", "b"), up=("top", "side", "free")):
    trigger = Trigger(request.trigger_id, received_ns=1000)
    ids = itertools.count(1).__next__
    return triggering().open_part(request, trigger, judged=judged, is_up=lambda c: c in up, new_id=ids)


@pytest.mark.parametrize(
    ("request_", "views", "deadline_ms"),
    [
        (TriggerRequest("1"), {"top": "a-top", "side": "a-side"}, 200),  # the shorter one is the part's
        (TriggerRequest("1", recipe="b"), {"top": "b", "side": "b"}, 500),
        (TriggerRequest("1", cameras=["top"]), {"top": "a-top"}, 300),
        (TriggerRequest("1", cameras=["top", "top"]), {"top": "a-top"}, 300),
        (TriggerRequest("1", cameras={"side": "b"}), {"side": "b"}, 500),
        (TriggerRequest("1", deadline_ms=50), {"top": "a-top", "side": "a-side"}, 50),
    ],
)
def test_a_trigger_opens_a_view_for_each_camera(request_, views, deadline_ms):
    part = ask(request_)
    assert {view.camera: view.recipe for view in part.views} == views
    assert part.deadline_ns == 1000 + deadline_ms * 1_000_000
    assert {view.deadline_ns for view in part.views} == {part.deadline_ns}


@pytest.mark.parametrize(
    ("request_", "line", "reason"),
    [
        (TriggerRequest("1", cameras=["free"]), {}, "unknown_camera"),
        (TriggerRequest("1", cameras={"nowhere": "b"}), {}, "unknown_camera"),
        (TriggerRequest("1", recipe="c"), {}, "unknown_recipe"),
        (TriggerRequest("1", recipe=""), {}, "unknown_recipe"),
        (TriggerRequest("1", cameras={"top": "c"}), {}, "unknown_recipe"),
        (TriggerRequest("1"), {"up": ("top",)}, "not_ready"),
        (TriggerRequest("1"), {"judged": ("a-top",)}, "not_ready"),
    ],
)
def test_a_trigger_that_cannot_be_served_is_refused(request_, line, reason):
    answer = ask(request_, **line)
    assert isinstance(answer, Refusal)
    assert (answer.trigger_id, answer.reason) == ("1", reason)
    assert answer.detail


@pytest.mark.parametrize(
    ("second", "up", "gets_it"),
    [
        (TriggerRequest("2", cameras=["top"]), ("side",), False),  # refused: not ready, and a part is there
        (TriggerRequest("2", cameras={"top": "c"}), ("top",), False),
        (TriggerRequest("2", cameras=["top", "nowhere"]), ("top",), False),
        (TriggerRequest("2", cameras=["tpo"]), ("top",), False),  # misspelt: it may have meant any
        (TriggerRequest("2", cameras={"free": "b"}), ("top",), False),
        (TriggerRequest("2", cameras=["side"]), (), True),  # the camera does not look at it
        (TriggerRequest("1", cameras=["top"]), ("top",), False),  # the first one, or another part
        (TriggerRequest("1", cameras=["top"]), (), False),
    ],
)
def test_no_older_trigger_gets_a_frame_of_a_part_whose_trigger_was_refused(second, up, gets_it):
    line = triggering()
    ids = itertools.count(1).__next__
    known = {"a-top", "a-side", "b"}
    line.open_part(
        TriggerRequest("1", cameras=["top"]), Trigger("1", received_ns=1000), judged=known,
        is_up=lambda _: True, new_id=ids,
    )  # fmt: skip
    again = Trigger(second.trigger_id, received_ns=1020)
    assert isinstance(
        line.open_part(second, again, judged=known, is_up=lambda c: c in up, new_id=ids), Refusal
    )
    line.hold_frame(FrameRef("top", 1, 0, 1, 1040, 0, 2, 2))
    assert len(line.settle(1050, 1050).matched) == gets_it


@pytest.mark.parametrize("named", [None, "b", "other"])
@pytest.mark.parametrize(("doubt_ns", "is_taken"), [(0, True), (10, True), (11, False), (500, False)])
def test_no_recipe_judges_a_part_whose_trigger_may_have_come_before_it(named, doubt_ns, is_taken):
    one, other = (
        LineRecipe(id=name, version=1, places={"top": f"{name}@1"}, deadlines_ns={f"{name}@1": 10**6})
        for name in ("b", "other")
    )
    book = RecipeBook(one)
    book.add(other)
    line = Triggering({"top": FirstAfter(100, (0, 0))}, Parts(4, 0), book)
    opened = partial(
        line.open_part, judged=["b@1", "other@1"], is_up=lambda _: True, new_id=itertools.count(1).__next__
    )
    assert isinstance(opened(TriggerRequest("1"), Trigger("1", received_ns=980, doubt_ns=500)), Part)
    book.put_in_force(other, 1000)
    answer = opened(TriggerRequest("2", recipe=named), Trigger("2", received_ns=1010, doubt_ns=doubt_ns))
    assert isinstance(answer, Part) == is_taken
    if not is_taken:
        assert (answer.reason, "before other@1 was" in answer.detail) == ("not_ready", True)
    line.hold_frame(FrameRef("top", 1, 0, 1, 1020, 0, 2, 2))  # the part is there all the same
    matched = line.settle(1030, 1030).matched
    assert [view.trigger.trigger_id for views, _ in matched for view in views] == ["2"] * is_taken


def test_a_line_without_triggered_cameras_takes_no_trigger():
    free = Triggering({}, Parts(4, 0), RecipeBook(LineRecipe(places={"free": "b"}, deadlines_ns={"b": 1})))
    answer = free.open_part(
        TriggerRequest("1"), Trigger("1"), judged=("b",), is_up=lambda _: True, new_id=lambda: 1
    )
    assert answer.reason is RefusalReason.UNKNOWN_CAMERA


@pytest.mark.parametrize("match", ["first_after", "nearest"])
def test_a_camera_changes_once_nothing_is_remembered_of_its_frames(match):
    recipe = LineRecipe(places={"top": "b"}, deadlines_ns={"b": 10**6})
    triggers = Triggers(match=match, window_ms=1, before_ms=0)
    camera = ImagesCamera(name="top", recipe="b", folder="/x", mode="triggered", latency_ms=1)
    line = Triggering({"top": FirstAfter(100, (0, 0))}, Parts(4, 0), RecipeBook(recipe))
    assert line.use_camera(camera, triggers)
    assert line.use_camera(msgspec.structs.replace(camera, name="free"), triggers)  # it matches nothing
    opened = line.open_part(
        TriggerRequest("1"), Trigger("1", received_ns=5), judged=["b"], is_up=bool, new_id=lambda: 1
    )
    assert line.awaits("top")
    assert not line.awaits("free")
    assert not line.use_camera(camera, triggers)
    assert line.settle(opened.deadline_ns, 0).missed
    line.hold_frame(FrameRef("top", 1, 0, 1, 10**7, 0, 4, 4))
    line.pass_by(Trigger("2", received_ns=3 * 10**7))  # its part is there
    assert not line.use_camera(camera, triggers)
    line.settle(4 * 10**7, 2 * 10**7)
    assert line.use_camera(camera, triggers)
    assert [trigger.trigger_id for trigger in line._matchers["top"].triggers] == ["2"]
