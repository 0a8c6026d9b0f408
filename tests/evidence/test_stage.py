"""The main process's side against an evidence process that does anything in any order.

Every part whose evidence is wanted gets one result, every slot goes back once, and none is held for long.
"""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inspectd.config import Config, EvidenceSettings, ImagesCamera, Recipe
from inspectd.evidence.messages import Copied, Done, Level, SaveEvidence, StartEvidence, ToEvidence
from inspectd.evidence.stage import EvidenceStage
from inspectd.ipc.channel import Channel
from inspectd.records import EvidenceResult, FrameRef, Outcome
from inspectd.wire import Evaluation, Reason
from tests.evidence.test_store import verdict

SLOTS = 8
HOLD_NS = 250_000_000
MS = 1_000_000


class Line(RuleBasedStateMachine):
    """One camera with eight slots, a real channel, and batching that releases when it likes."""

    @initialize()
    def start(self):
        camera = ImagesCamera(name="cam", recipe="r", folder="x", slots=SLOTS)
        config = Config(
            recipes=(Recipe(name="r", bank="b"),),
            cameras=(camera,),
            evidence=EvidenceSettings(max_per_second=1000, pass_share=0),
        )
        self.now_ns = 0
        self.seq = 0
        self.wanted = 0
        self.results: Counter[EvidenceResult] = Counter()
        self.levels: list[tuple[int, str | None]] = []
        self.with_batching: dict[int, FrameRef] = {}  # by slot
        self.away: dict[int, FrameRef] = {}
        self.owed: dict[int, SaveEvidence] = {}
        self.ends: list[Channel] = []
        self.stage = EvidenceStage(config, self, self.give_back, chance=lambda: 0.5)
        self.channel = None

    def teardown(self):
        for end in getattr(self, "ends", []):
            end.close()

    # what the stage calls

    def rings(self):
        return []

    def on_evidence_result(self, result):
        self.results[result] += 1

    def on_evidence_level(self, used_bytes, problem, stuck):
        self.levels.append((used_bytes, problem))

    def give_back(self, frame):
        assert frame.slot not in self.with_batching, "batching still has it"
        assert self.away.pop(frame.slot) is frame, "given back twice, or another frame"

    # the schedule

    @precondition(lambda self: self.channel is None)
    @rule()
    def the_process_comes(self):
        ours, theirs = Channel.pair()
        self.channel = Channel(theirs, ToEvidence)
        self.ends += [Channel(ours, Done), self.channel]
        self.stage.started(self.ends[-2])
        assert isinstance(self.channel.receive()[0], StartEvidence)

    @precondition(lambda self: self.channel is not None)
    @rule()
    def the_process_goes(self):
        self.stage.lost("killed", None, self.now_ns)
        self.channel = None
        self.owed.clear()

    @rule(evaluation=st.sampled_from(Evaluation))
    def a_part_is_judged(self, evaluation):
        slot = next((slot for slot in range(SLOTS) if slot not in self.away), None)
        if slot is None:
            return
        self.seq += 1
        frame = FrameRef("cam", 1, slot, self.seq, 0, 0, 2, 2)
        self.away[slot] = self.with_batching[slot] = frame
        self.wanted += evaluation is not Evaluation.PASS
        made = verdict(self.seq)
        judged = type(made)(
            **{**{f: getattr(made, f) for f in made.__struct_fields__}, "evaluation": evaluation}
        )
        self.stage.offer(frame, judged, Outcome(evaluation, Reason.BLACK, self.now_ns), self.now_ns)

    @precondition(lambda self: self.with_batching)
    @rule(data=st.data())
    def batching_releases(self, data):
        frame = self.with_batching.pop(data.draw(st.sampled_from(sorted(self.with_batching))))
        self.stage.holds.release(frame)

    @precondition(lambda self: self.channel is not None)
    @rule()
    def the_process_reads(self):
        while (received := self.channel.receive()) is not None:
            self.owed[received[0].evidence_id] = received[0]

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), result=st.sampled_from(EvidenceResult), copied=st.booleans(), done=st.booleans())
    def the_process_answers(self, data, result, copied, done):
        evidence_id = data.draw(st.sampled_from(sorted(self.owed)))
        if copied:
            self.stage.received(Copied(evidence_id), [], self.now_ns)
        if done:
            del self.owed[evidence_id]
            for _ in range(2):  # and once more, which changes nothing
                self.stage.received(Done(evidence_id, result), [], self.now_ns)

    @rule(evidence_id=st.integers(-5, 2000))
    def an_answer_nobody_asked_for(self, evidence_id):
        if evidence_id not in self.stage._unfinished:
            self.stage.received(Copied(evidence_id), [], self.now_ns)
            self.stage.received(Done(evidence_id, EvidenceResult.SAVED), [], self.now_ns)

    @rule(problem=st.sampled_from([None, "full"]))
    def the_process_tells_its_level(self, problem):
        self.stage.received(Level(1, problem), [], self.now_ns)
        assert self.levels[-1] == (1, problem)

    @rule(elapsed_ms=st.integers(1, 200))
    def time_passes(self, elapsed_ms):
        self.now_ns += elapsed_ms * MS
        self.stage.tick(self.now_ns)
        assert self.stage.holds.older_than(HOLD_NS, self.now_ns) == []

    @rule(free=st.integers(0, SLOTS))
    def a_frame_comes(self, free):
        self.stage.relieve("cam", free)
        if free <= 1:
            assert self.stage.holds.count == 0

    # what always holds

    @invariant()
    def each_wanted_part_has_one_result_or_is_under_way(self):
        if hasattr(self, "stage"):
            assert self.results.total() + len(self.stage._unfinished) == self.wanted
            assert self.stage.holds.count <= SLOTS // 4

    @invariant()
    def what_nobody_needs_is_given_back(self):
        if hasattr(self, "stage"):
            held = {frame.slot for frame in self.stage.holds.frames_of("cam")}
            assert set(self.away) == set(self.with_batching) | held


Line.TestCase.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestStage = Line.TestCase


def test_second_looks_and_fails_share_one_limit():
    class Results(list):
        def rings(self):
            return []

        def on_evidence_result(self, result):
            self.append(result)

    camera, results = ImagesCamera(name="cam", recipe="r", folder="x", slots=SLOTS), Results()
    config = Config(
        recipes=(Recipe(name="r", bank="b"),), cameras=(camera,), evidence=EvidenceSettings(max_per_second=1)
    )
    stage = EvidenceStage(config, results, lambda _: None)
    marked = msgspec.structs.replace(verdict(1), evaluation=Evaluation.PASS, second_look=True)
    for judged in [marked] * 5 + [verdict(2)]:
        outcome = Outcome(judged.evaluation, judged.reason, 0)
        stage.offer(FrameRef("cam", 1, 0, judged.seq, 0, 0, 2, 2), judged, outcome, 0)
    assert results == [EvidenceResult.DOWN] * 5 + [EvidenceResult.RATE_LIMITED]
