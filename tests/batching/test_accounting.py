"""Random schedules through ring, policy, ledger and judge: the count always closes."""

from __future__ import annotations

import math
import os

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inspectd.batching.ledger import Ledger
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.stage import BatchingStage
from inspectd.ipc.messages import BankInfo
from inspectd.ipc.ring import FrameRing
from inspectd.records import (
    Drop,
    DropCause,
    Evaluation,
    FrameRef,
    Quality,
    Reason,
    Score,
    ScoreError,
)

DEADLINE_NS = 100
THRESHOLD = 1.0
PIXELS = np.zeros((2, 2, 3), np.uint8)
CAMERAS = {"a": "one", "b": "two", "c": "one"}


def bank(recipe: str) -> BankInfo:
    return BankInfo(recipe, f"sha-{recipe}", "patchcore", "net", 1, 1, 2, 2, THRESHOLD)


class Line(RuleBasedStateMachine):
    """The stage between real rings and a scoring process that does whatever the schedule says."""

    @initialize(
        slots=st.integers(1, 4),
        max_batch=st.integers(1, 3),
        max_wait_ns=st.sampled_from([0, 10, 1000]),
        max_queue=st.integers(1, 5),
        ready=st.booleans(),
    )
    def start(self, slots, max_batch, max_wait_ns, max_queue, ready):
        self.now_ns = 1_000
        self.max_batch = max_batch
        self.rings = {name: FrameRing.create(1, slots, PIXELS.nbytes) for name in CAMERAS}
        self.readers = {name: FrameRing.attach(os.dup(ring.fd)) for name, ring in self.rings.items()}
        self.seq = dict.fromkeys(CAMERAS, 0)
        self.referenced: set[tuple[str, int]] = set()
        self.verdicts: dict[int, object] = {}
        self.late_scores = 0
        self.owed: list[tuple[int, object]] = []  # (batch id, inspection) that scoring has not answered
        self.scoring_takes = True
        self.captured = self.drops = 0
        self.stage = BatchingStage(
            BatchPolicy(max_batch, max_wait_ns, max_queue),
            Ledger(),
            deadline_ns=DEADLINE_NS,
            recipes=CAMERAS,
            max_batches_out=2,
            send=self.send,
            publish=self.publish,
            release=self.release,
            observer=self,
        )
        if ready:
            self.scoring_comes()

    def teardown(self):
        for ring in [*getattr(self, "rings", {}).values(), *getattr(self, "readers", {}).values()]:
            ring.close()

    # what the stage calls

    def send(self, batch):
        assert len({i.recipe for i in batch.inspections}) == 1
        assert {i.recipe for i in batch.inspections} == {batch.recipe}
        assert 1 <= len(batch.inspections) <= self.max_batch
        if self.scoring_takes:
            self.owed += [(batch.batch_id, i) for i in batch.inspections]
        return self.scoring_takes

    def publish(self, inspection, outcome):
        assert inspection.inspection_id not in self.verdicts, "two verdicts"
        self.verdicts[inspection.inspection_id] = outcome
        if outcome.evaluation is Evaluation.PASS:
            assert outcome.decided_ns <= inspection.deadline_ns
            assert outcome.score is not None
            assert outcome.score.inspection_id == inspection.inspection_id
            assert outcome.score.image_score <= THRESHOLD
            assert inspection.frame.quality is Quality.OK
            # A judged frame still lies in its slot: nobody can have overwritten what was scored.
            assert self.readers[inspection.frame.camera].holds(inspection.frame)

    def release(self, frame):
        self.referenced.remove((frame.camera, frame.slot))  # KeyError: released twice
        self.readers[frame.camera].release(frame.slot)

    def late_score(self):
        self.late_scores += 1

    def batch(self, size):
        assert size > 0

    # the schedule

    @rule(
        camera=st.sampled_from(sorted(CAMERAS)),
        quality=st.sampled_from([Quality.OK] * 8 + [Quality.BLACK, Quality.STALE]),
        age_ns=st.sampled_from([0, 0, 0, 50, 150]),
    )
    def capture(self, camera, quality, age_ns):
        self.captured += 1
        self.seq[camera] += 1
        slot = self.rings[camera].acquire()
        if slot is None:
            self.drops += 1
            self.stage.drop(Drop(camera, 1, self.seq[camera], "capture", DropCause.RING_FULL))
            return
        assert (camera, slot) not in self.referenced, "a slot was reused while referenced"
        self.referenced.add((camera, slot))
        self.rings[camera].write(slot, self.seq[camera], PIXELS)
        captured_ns = self.now_ns - age_ns
        frame = FrameRef(camera, 1, slot, self.seq[camera], captured_ns, 0, 2, 2, quality=quality)
        self.stage.frame(frame, self.now_ns)

    @rule(elapsed_ns=st.integers(1, 120))
    def time_passes(self, elapsed_ns):
        self.now_ns += elapsed_ns

    @rule(drain=st.booleans())
    def turn(self, drain):
        self.stage.expire(self.now_ns)
        self.stage.dispatch(self.now_ns, drain=drain)

    @rule(takes=st.sampled_from([True, True, True, False]))
    def scoring_takes_batches(self, takes):
        self.scoring_takes = takes

    @rule()
    def scoring_comes(self):
        self.stage.scoring_ready({recipe: bank(recipe) for recipe in set(CAMERAS.values())})

    @precondition(lambda self: self.stage.scoring > 1)
    @rule()
    def scoring_goes(self):
        self.owed.clear()
        self.stage.scoring_lost(self.now_ns)

    @precondition(lambda self: self.owed)
    @rule(
        data=st.data(),
        value=st.sampled_from([0.0, 1.0, 1.5, math.nan, math.inf, -math.inf]),
        wrong_bank=st.booleans(),
        again=st.booleans(),
    )
    def scoring_answers(self, data, value, wrong_bank, again):
        batch_id, inspection = self.owed.pop(data.draw(st.integers(0, len(self.owed) - 1)))
        sha = "sha-other" if wrong_bank else f"sha-{inspection.recipe}"
        score = Score(batch_id, inspection.inspection_id, value, b"", 0, 0, sha, {})
        for _ in range(1 + again):
            self.stage.score(score, self.now_ns)
        if wrong_bank or not math.isfinite(value):
            assert self.verdicts[inspection.inspection_id].evaluation is Evaluation.UNDECIDABLE

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def scoring_cannot(self, data):
        batch_id, inspection = self.owed.pop(data.draw(st.integers(0, len(self.owed) - 1)))
        self.stage.score_error(
            ScoreError(batch_id, inspection.inspection_id, Reason.FRAME_LOST, ""), self.now_ns
        )

    @rule(batch_id=st.integers(0, 50), inspection_id=st.integers(0, 50))
    def an_answer_nobody_asked_for(self, batch_id, inspection_id):
        if (batch_id, inspection_id) not in [(b, i.inspection_id) for b, i in self.owed]:
            verdicts = dict(self.verdicts)
            self.stage.score(Score(batch_id, inspection_id, 0.0, b"", 0, 0, "sha-one", {}), self.now_ns)
            assert self.verdicts == verdicts

    @precondition(lambda self: self.stage.ledger.in_flight > 3)
    @rule()
    def shut_down(self):
        self.stage.shut_down(self.now_ns)
        assert self.stage.ledger.in_flight == 0

    # what always holds

    @invariant()
    def the_count_closes(self):
        if not hasattr(self, "stage"):
            return
        ledger = self.stage.ledger
        assert ledger.captured == self.captured
        assert ledger.drops == self.drops
        assert ledger.closed == len(self.verdicts)
        assert ledger.captured == ledger.closed + ledger.drops + ledger.in_flight
        assert {i.inspection_id for i in ledger.all_open()}.isdisjoint(self.verdicts)

    @invariant()
    def slots_are_held_exactly_while_referenced(self):
        for name, ring in getattr(self, "readers", {}).items():
            assert ring.held == sum(camera == name for camera, _ in self.referenced)

    @invariant()
    def what_waits_or_is_scored_is_referenced(self):
        if hasattr(self, "stage"):
            assert len(self.referenced) >= self.stage.waiting
            assert len(self.referenced) == self.stage.waiting + self.stage.scoring


Line.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAccounting = Line.TestCase
