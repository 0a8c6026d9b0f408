"""The main process's side against a preview process that does anything in any order.

Every preview that was asked for has one result, every slot goes back once, and none is held for long.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.messages import EPOCH, verdict

from inspectd.config import Config, ImagesCamera, LineSettings, PreviewSettings, Recipe
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import Alive
from inspectd.preview.messages import MakePreview, PreviewMade, PreviewNotMade, StartPreview, ToPreview
from inspectd.preview.stage import PreviewStage
from inspectd.records import FrameRef, Outcome, PreviewResult, Score
from inspectd.wire import Evaluation, Reason

SLOTS = 8
MS = 1_000_000
SECOND = 1000 * MS
TOPIC = b"i1/demo/line1/camera1/pv/"
DARK = msgspec.structs.replace(
    verdict(1), evaluation=Evaluation.UNDECIDABLE, reason=Reason.BLACK, score=None, threshold=None
)
"""Without a score, as a golden part's is."""


class Desk:
    """The line, as the stage sees it."""

    def __init__(self, *, enabled: bool = True) -> None:
        camera = ImagesCamera(name="camera1", recipe="r", folder="x", slots=SLOTS)
        config = Config(
            line=LineSettings(plant="demo", name="line1"),
            recipes=(Recipe(name="r", bank="b"),),
            cameras=(camera,),
            preview=PreviewSettings(enabled=enabled),
        )
        self.topics: set[bytes] = set()
        self.results: Counter[PreviewResult] = Counter()
        self.sent: list[tuple[object, bytes, bytes]] = []
        self.is_taken = True
        self.back: list[FrameRef] = []
        self.stage = PreviewStage(config, self, self.back.append)
        self.ours: Channel | None = None
        self.theirs: Channel | None = None

    def rings(self):
        return []

    def preview_topics(self):
        return set(self.topics)

    def publish_preview(self, header, jpeg, heat):
        self.sent.append((header, jpeg, heat))
        return self.is_taken

    def on_preview(self, result):
        self.results[result] += 1

    def come(self) -> None:
        ours, theirs = Channel.pair()
        self.ours, self.theirs = Channel(ours, PreviewMade), Channel(theirs, ToPreview)
        self.stage.started(self.ours)
        assert isinstance(self.theirs.receive()[0], StartPreview)
        self.stage.received(Alive(1), [], 0)

    def asked(self) -> list[MakePreview]:
        found = []
        while self.theirs is not None and (received := self.theirs.receive()) is not None:
            found.append(received[0])
        return found

    def close(self) -> None:
        for end in (self.ours, self.theirs):
            if end is not None:
                end.close()


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def frame(seq: int, slot: int = 0) -> FrameRef:
    return FrameRef("camera1", 1, slot, seq, 0, 77, 2, 2)


def outcome(judged) -> Outcome:
    score = None if judged.score is None else Score(1, 1, judged.score, b"\0\0" * 6, 2, 3, "00", {})
    return Outcome(judged.evaluation, judged.reason, 0, judged.threshold, score)


def test_previews_are_made_of_cameras_that_somebody_subscribes_to(desk):
    desk.come()
    for number, (topics, is_shown) in enumerate(
        [
            (set(), False),
            ({b"i1/demo/line1/camera10/pv/", b"i1/demo/line2/", b"i1/demo/line1/camera1/v/"}, False),
            ({TOPIC}, True),
            (set(), False),
            ({b""}, True),
            ({b"i1/demo/", b"x"}, True),
        ],
        start=1,
    ):
        desk.topics = topics
        desk.stage.tick(number * SECOND)
        desk.stage.offer(frame(number), DARK, outcome(DARK), SLOTS, number * SECOND)
        asked = desk.asked()
        assert bool(asked) is is_shown, topics
        for each in asked:
            desk.stage.received(PreviewNotMade(each.preview_id, PreviewResult.GONE), [], number * SECOND)


def test_a_line_without_previews_makes_none():
    desk = Desk(enabled=False)
    desk.topics = {b"", TOPIC}
    desk.stage.tick(SECOND)
    desk.stage.offer(frame(1), DARK, outcome(DARK), SLOTS, SECOND)
    assert desk.results.total() == 0


def test_a_preview_says_what_its_verdict_says(desk):
    desk.topics = {TOPIC}
    desk.stage.tick(0)
    desk.stage.offer(frame(1), DARK, outcome(DARK), SLOTS, 0)
    assert desk.results == {PreviewResult.DOWN: 1}
    desk.come()
    passed = verdict(2)
    desk.stage.offer(frame(1), DARK, outcome(DARK), SLOTS, 1)
    desk.stage.received(PreviewMade(1, 5, 6, b"jpeg", b""), [], 2)
    desk.stage.offer(frame(2), passed, outcome(passed), SLOTS, SECOND)
    desk.stage.received(PreviewMade(2, 5, 6, b"jpg", b"heat.."), [], SECOND)
    without, scored = desk.sent
    assert (without[0].epoch, without[0].seq, without[0].captured_utc_ns) == (EPOCH, 1, 77)
    assert (without[0].evaluation, without[0].reason, without[0].score) == ("undecidable", "black", None)
    assert (without[0].heat, without[0].height, without[0].width, without[0].jpeg_bytes) == (None, 5, 6, 4)
    assert (scored[0].score, scored[0].threshold) == (passed.score, passed.threshold)
    assert (scored[0].heat.height, scored[0].heat.width, scored[2]) == (2, 3, b"heat..")
    assert [(each.heatmap, each.threshold) for each in desk.asked()] == [(b"", 0.0), (b"\0\0" * 6, 2.5)]
    desk.is_taken = False
    desk.stage.offer(frame(3), passed, outcome(passed), SLOTS, 2 * SECOND)
    desk.stage.received(PreviewMade(3, 5, 6, b"jpg", b"heat.."), [], 2 * SECOND)
    desk.stage.offer(frame(4), passed, outcome(passed), SLOTS // 4, 3 * SECOND)
    result = PreviewResult
    assert desk.results == {result.DOWN: 1, result.PUBLISHED: 2, result.NOT_TAKEN: 1, result.BUSY: 1}


class PreviewedLine(RuleBasedStateMachine):
    """One camera with eight slots, a real channel, and batching that releases when it likes."""

    @initialize()
    def start(self):
        self.desk = Desk()
        self.stage = self.desk.stage
        self.desk.topics = {TOPIC}
        self.now_ns, self.seq, self.asked_for = 0, 0, 0
        self.with_batching: dict[int, FrameRef] = {}  # by slot
        self.owed: list[int] = []
        self.stage.tick(0)

    def teardown(self):
        if hasattr(self, "desk"):
            self.desk.close()

    @property
    def away(self) -> set[int]:
        return {*self.with_batching, *(each.slot for each in self.stage.holds.frames_of("camera1"))}

    @precondition(lambda self: self.desk.theirs is None)
    @rule()
    def the_process_comes(self):
        self.desk.come()

    @precondition(lambda self: self.desk.theirs is not None)
    @rule()
    def the_process_goes(self):
        self.stage.lost("killed", None, self.now_ns)
        self.desk.close()
        self.desk.ours = self.desk.theirs = None
        self.owed.clear()

    @rule(judged=st.sampled_from([DARK, verdict(1)]))
    def a_part_is_judged(self, judged):
        slot = next((slot for slot in range(SLOTS) if slot not in self.away), None)
        if slot is None:
            return
        self.seq += 1
        self.with_batching[slot] = frame(self.seq, slot)
        had = len(self.stage._unfinished)
        self.stage.offer(
            self.with_batching[slot], judged, outcome(judged), SLOTS - len(self.away), self.now_ns
        )
        self.asked_for += len(self.stage._unfinished) - had

    @precondition(lambda self: self.with_batching)
    @rule(data=st.data())
    def batching_releases(self, data):
        slot = data.draw(st.sampled_from(sorted(self.with_batching)))
        self.stage.holds.release(self.with_batching.pop(slot))

    @rule()
    def the_process_reads(self):
        self.owed += [each.preview_id for each in self.desk.asked()]

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), is_made=st.booleans(), is_taken=st.booleans())
    def the_process_answers(self, data, is_made, is_taken):
        preview_id = data.draw(st.sampled_from(self.owed))
        self.desk.is_taken = is_taken
        answer = PreviewMade(preview_id, 1, 1, b"jpeg", b"")
        for _ in range(2):  # and once more, which changes nothing
            self.stage.received(
                answer if is_made else PreviewNotMade(preview_id, PreviewResult.GONE), [], self.now_ns
            )
        self.owed.remove(preview_id)

    @rule(elapsed_ms=st.integers(1, 300), topics=st.sampled_from([set(), {TOPIC}]))
    def time_passes(self, elapsed_ms, topics):
        self.now_ns += elapsed_ms * MS
        self.desk.topics = topics
        self.stage.tick(self.now_ns)
        assert self.stage.holds.older_than(250 * MS, self.now_ns) == []

    @rule(free=st.integers(0, SLOTS))
    def a_frame_comes(self, free):
        self.stage.relieve("camera1", free)
        if free <= SLOTS // 4:
            assert self.stage.holds.count == 0

    @invariant()
    def each_that_was_asked_for_has_one_result_or_is_under_way(self):
        if hasattr(self, "desk"):
            refused = self.desk.results[PreviewResult.BUSY]
            ended = self.desk.results.total() - refused
            down_at_once = ended + len(self.stage._unfinished) - self.asked_for
            assert down_at_once >= 0
            assert down_at_once == 0 or self.desk.results[PreviewResult.DOWN] >= down_at_once
            assert self.stage.holds.count <= SLOTS // 4

    @invariant()
    def every_slot_goes_back_once(self):
        if hasattr(self, "desk"):
            back = [each.seq for each in self.desk.back]
            assert len(back) == len(set(back)) == self.seq - len(self.away)


TestPreviewedLine = PreviewedLine.TestCase
TestPreviewedLine.settings = settings(max_examples=60, stateful_step_count=40)
