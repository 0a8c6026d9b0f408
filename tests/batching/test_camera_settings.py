"""A frame is judged by a recipe only where it was certainly taken with that recipe's camera settings."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from inspectd.batching.lane import Lane
from inspectd.batching.matching import FirstAfter
from inspectd.batching.parts import Parts
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.service_times import ServiceTimes
from inspectd.batching.stage import BatchingStage
from inspectd.batching.triggering import Triggering
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.records import UNSET, BankInForce, CameraSettings, FrameRef, Score, Trigger
from inspectd.wire import Evaluation, Reason, TriggerRequest
from tests.support.messages import verdict

SHORT, LONG = CameraSettings(1000.0), CameraSettings(2000.0)
CAMERAS = ("free", "top")
RECIPES = [
    LineRecipe(
        id=name, version=1, places=dict.fromkeys(CAMERAS, name), deadlines_ns={name: 1000},
        camera_settings=dict.fromkeys(CAMERAS, settings),
    )
    for name, settings in (("a", SHORT), ("b", LONG), ("c", SHORT))
]  # fmt: skip


class Line:
    """A free-running and a triggered camera under three recipes; scoring answers every batch at once."""

    def __init__(self) -> None:
        self.book = RecipeBook(RECIPES[0])
        for recipe in RECIPES[1:]:
            self.book.add(recipe)
        times = ServiceTimes(1)
        self.triggering = Triggering({"top": FirstAfter(100, (0, 0))}, Parts(50, 0), self.book)
        self.stage = BatchingStage(
            [Lane(BatchPolicy(0, 50, times), times, 50)], self.triggering, self, self.book
        )
        banks = [BankInForce(name, name, "stub", "none", 0, 0, 1.0) for name in "abc"]
        self.stage.use_banks(0, banks, [])
        self.closed = []
        self.numbers = itertools.count(1)
        self.owed = []
        self.now_ns = 0

    def frame(self, camera, settings, captured_ns):
        number = next(self.numbers)
        frame = FrameRef(camera, 1, number, number, captured_ns, 0, 2, 2, camera_settings=settings)
        self.stage.take_frame(frame, self.now_ns)
        self.stage.turn(self.now_ns, self.now_ns)

    def trigger(self, recipe=None):
        number = str(next(self.numbers))
        request = TriggerRequest(number, recipe=recipe)
        self.stage.open_part(request, Trigger(number, received_ns=self.now_ns), lambda _: True)

    def answer(self):
        owed, self.owed = self.owed, []
        for batch_id, inspection in owed:
            score = Score(batch_id, inspection.inspection_id, 0.0, b"", 0, 0, inspection.recipe, {})
            self.stage.take_score(0, score, self.now_ns)

    # batching.stage.BatchingOutlet

    def record_open(self, begun): ...

    def send_batch(self, process, batch):
        self.owed += [(batch.batch_id, inspection) for inspection in batch.inspections]
        return True

    def publish_verdict(self, inspection, outcome):
        self.closed.append((inspection, outcome))
        return verdict(len(self.closed))

    def publish_part(self, part, outcome, views): ...

    def publish_late(self, inspection, score, now_ns): ...

    def count_unclaimed(self, frame): ...

    def release(self, frame): ...


STEPS = st.one_of(
    st.tuples(
        st.just("frame"), st.sampled_from(CAMERAS), st.sampled_from([SHORT, LONG, UNSET, None]),
        st.integers(0, 30),
    ),
    st.tuples(st.just("trigger"), st.sampled_from([None, "a", "b", "c"])),
    st.tuples(st.just("switch"), st.sampled_from(RECIPES)),
    st.tuples(st.just("answer")),
)  # fmt: skip


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_no_frame_of_other_settings_is_judged(steps):
    line = Line()
    for name, *more in steps:
        line.now_ns += 10
        if name == "frame":
            camera, settings, age_ns = more
            line.frame(camera, settings, line.now_ns - age_ns)
        elif name == "trigger":
            line.trigger(*more)
        elif name == "switch":
            line.book.put_in_force(*more, line.now_ns)
        else:
            line.answer()
    line.answer()
    line.stage.shut_down(line.now_ns + 1000)
    needed = {"a": SHORT, "b": LONG, "c": SHORT}
    for inspection, outcome in line.closed:
        if inspection.frame is None:
            assert outcome.evaluation is Evaluation.UNDECIDABLE
        elif inspection.frame.camera_settings != needed[inspection.recipe]:
            assert outcome.reason is Reason.CAMERA_SETTINGS
        else:
            assert outcome.reason in {Reason.WITHIN_THRESHOLD, Reason.SHUTDOWN}


def test_a_change_of_recipes_with_the_same_settings_costs_no_frame_anything():
    line = Line()
    for recipe in (RECIPES[2], RECIPES[0]) * 3:
        line.now_ns += 10
        line.book.put_in_force(recipe, line.now_ns)
        line.trigger()
        for camera in CAMERAS:
            line.frame(camera, SHORT, line.now_ns)
        line.now_ns += 1
        for camera in CAMERAS:
            line.frame(camera, SHORT, line.now_ns)
        line.answer()
    assert {outcome.reason for _, outcome in line.closed} == {Reason.WITHIN_THRESHOLD}
    assert len(line.closed) == 6 * 3
