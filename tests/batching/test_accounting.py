"""Random schedules through ring, matcher, policy, ledger and judge: the counts always close."""

from __future__ import annotations

import math
import os

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inspectd.batching.lane import Lane
from inspectd.batching.matching import FirstAfter, Nearest
from inspectd.batching.parts import Part, Parts
from inspectd.batching.policy import BatchPolicy, Sent
from inspectd.batching.service_times import ServiceTimes
from inspectd.batching.stage import BatchingStage
from inspectd.batching.triggering import Triggering
from inspectd.ipc.ring import FrameRing
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.records import BankInForce, FrameRef, FrameRegion, Pace, Quality, Score, ScoreError, Trigger
from inspectd.wire import Evaluation, Reason, Refusal, RefusalReason, TriggerRequest
from tests.support.messages import verdict

DEADLINE_NS = 100
THRESHOLD = 1.0
PIXELS = np.zeros((2, 2, 3), np.uint8)
CAMERAS = ("a", "b", "c", "top", "side")
PLACES = {"a": "one", "b/1": "two", "b/2": "one", "b/far": "two", "c": "one", "top/1": "one", "top/2": "two",
          "top/3": "one", "side": "two"}  # fmt: skip
REGIONS = {
    "b": [FrameRegion("1", 0, 0, 2, 1), FrameRegion("2", 0, 1, 2, 1), FrameRegion("far", 1, 1, 2, 2)],
    "top": [FrameRegion("1", 0, 0, 1, 2), FrameRegion("2", 0, 0, 2, 2), FrameRegion("3", 1, 0, 1, 1)],
}
"""Frames have 2 x 2 pixels: the region `far` lies beyond them."""
TRIGGERED = ("top", "side")
WINDOW_NS, BEFORE_NS, LATENCY_NS, ID_MEMORY_NS = 60, 20, 2, 150
RECIPES = set(PLACES.values())
DEADLINES_NS = {"one": DEADLINE_NS, "two": DEADLINE_NS + 30}


def bank(recipe: str, threshold: float) -> BankInForce:
    return BankInForce(
        recipe, f"sha-{recipe}", "patchcore", "net", 1, 1, threshold,
        image_sizes=((2, 2), (1, 2), (2, 1), (1, 1)), bit_depth=8,
    )  # fmt: skip


class Line(RuleBasedStateMachine):
    """The stage between real rings and a scoring process that does whatever the schedule says."""

    @initialize(
        slots=st.integers(1, 4),
        max_batch=st.integers(1, 3),
        max_wait_ns=st.sampled_from([0, 10, 1000]),
        max_queue=st.integers(1, 5),
        ready=st.booleans(),
        nearest=st.booleans(),
        lanes=st.integers(1, 3),
    )
    def start(self, *, slots, max_batch, max_wait_ns, max_queue, ready, nearest, lanes):
        self.now_ns = 1_000
        self.max_batch = max_batch
        self.rings = {name: FrameRing.create(1, slots, PIXELS.nbytes) for name in CAMERAS}
        self.readers = {name: FrameRing.attach(os.dup(ring.fd)) for name, ring in self.rings.items()}
        self.seq = dict.fromkeys(CAMERAS, 0)
        self.referenced: set[tuple[str, int]] = set()
        self.verdicts: dict[int, object] = {}
        self.missed: set[int] = set()
        self.begun: set[int] = set()
        self.accepted: dict[tuple[str, int], list[int]] = {}  # trigger id and time to its views' ids
        self.parts: dict[tuple[str, int], object] = {}
        self.closed_ids: dict[str, int] = {}
        self.up = True
        self.used: dict[tuple[str, int, int], str] = {}  # frames, to the trigger that has them
        self.nearest = nearest
        self.threshold = THRESHOLD
        self.thresholds: dict[int, float] = {}  # by inspection id: the one in force when it was queued
        # (process, batch id, inspection) that it has not answered
        self.owed: list[tuple[int, int, object]] = []
        self.died_with: set[int] = set()
        self.holding: dict[int, set[str]] = {lane: set() for lane in range(lanes)}  # recipes, by process
        self.batch_ids: set[int] = set()
        self.scoring_takes = True
        self.captured = self.drops = self.untriggered = 0
        sent = Sent()
        times = [ServiceTimes(max_batch) for _ in range(lanes)]
        book = RecipeBook(LineRecipe(places=PLACES, deadlines_ns=DEADLINES_NS))
        self.stage = BatchingStage(
            [Lane(BatchPolicy(max_wait_ns, max_queue, each, sent), each, 2) for each in times],
            Triggering(
                {
                    camera: Nearest(WINDOW_NS, BEFORE_NS, (0, LATENCY_NS), max(1, slots // 2))
                    if nearest
                    else FirstAfter(WINDOW_NS, (0, LATENCY_NS))
                    for camera in TRIGGERED
                },
                Parts(max_open=3, id_memory_ns=ID_MEMORY_NS),
                book,
                REGIONS,
            ),
            self,
            book,
            regions=REGIONS,
        )
        if ready:
            for process in self.holding:
                self.comes(process, RECIPES)

    def teardown(self):
        for ring in [*getattr(self, "rings", {}).values(), *getattr(self, "readers", {}).values()]:
            ring.close()

    # what the stage calls (batching.stage.BatchingOutlet)

    def send_batch(self, process, batch):
        assert batch.recipe in self.holding[process], "a process got what it has no bank for"
        assert batch.batch_id not in self.batch_ids, "a batch's number was used twice"
        self.batch_ids.add(batch.batch_id)
        assert len({i.recipe for i in batch.inspections}) == 1
        assert {i.recipe for i in batch.inspections} == {batch.recipe}
        assert 1 <= len(batch.inspections) <= self.max_batch
        if not self.scoring_takes:
            self.holding[process] = set()
            return False
        self.owed += [(process, batch.batch_id, i) for i in batch.inspections]
        return True

    def record_open(self, begun):
        if isinstance(begun, Part):
            ids = {view.inspection_id for view in begun.views}
            assert self.begun.isdisjoint(ids), "opened twice"
            self.begun |= ids
        else:
            assert (begun.inspection_id in self.begun) == (begun.trigger is not None)
            self.thresholds[begun.inspection_id] = self.threshold
        assert not self.verdicts.keys() & self.begun_by(begun), "opened after its end"

    def begun_by(self, begun):
        return {v.inspection_id for v in begun.views} if isinstance(begun, Part) else {begun.inspection_id}

    def publish_verdict(self, inspection, outcome):
        assert inspection.trigger is None or inspection.inspection_id in self.begun
        assert inspection.inspection_id not in self.verdicts, "two verdicts"
        self.verdicts[inspection.inspection_id] = outcome
        if inspection.frame is None:
            assert outcome.reason is Reason.MISSED_TRIGGER
            self.missed.add(inspection.inspection_id)
        elif inspection.trigger is not None:
            self.claim(inspection.frame, inspection.trigger)
        if outcome.reason in {Reason.SCORING_LOST, Reason.SCORING_DOWN}:
            # Nobody is left who could have scored it, or it died with its process.
            others = any(inspection.recipe in recipes for recipes in self.holding.values())
            assert not others or inspection.inspection_id in self.died_with
        if outcome.score is not None:
            # Judged by what was in force when it was queued, whatever came into force since.
            assert outcome.threshold == self.thresholds[inspection.inspection_id]
        if outcome.evaluation is Evaluation.PASS:
            assert outcome.decided_ns <= inspection.deadline_ns
            assert outcome.score is not None
            assert outcome.score.inspection_id == inspection.inspection_id
            assert outcome.score.image_score <= outcome.threshold
            assert inspection.frame.quality is Quality.OK
            assert inspection.frame.bit_depth == 8
            assert inspection.frame.has_its_region
            # A judged frame still lies in its slot: nobody can have overwritten what was scored.
            seen = self.readers[inspection.frame.camera].view(inspection.frame)
            assert seen.shape[:2] == inspection.frame.looked_at_size
        return verdict(len(self.verdicts) + len(self.parts))

    def claim(self, frame, trigger):
        name = (frame.camera, frame.generation, frame.seq)
        assert self.used.setdefault(name, trigger.trigger_id) == trigger.trigger_id, "one frame for two parts"
        exposed_ns = frame.captured_ns - LATENCY_NS
        assert exposed_ns <= trigger.received_ns + WINDOW_NS
        assert exposed_ns >= trigger.received_ns - (BEFORE_NS if self.nearest else -1)

    def publish_part(self, part, outcome, views):
        trigger = part.trigger
        name = (trigger.trigger_id, trigger.received_ns)
        assert name not in self.parts, "two verdicts for one part"
        ids = self.accepted.get(name, self.opening)  # a part may be closed while it is being opened
        outcomes = [self.verdicts[i] for i in ids]
        assert [v.evaluation for v in views] == [o.evaluation for o in outcomes]
        passed = [o.evaluation is Evaluation.PASS for o in outcomes]
        assert (outcome.evaluation is Evaluation.PASS) == all(passed)
        if outcome.evaluation is Evaluation.PASS:
            assert outcome.decided_ns <= part.deadline_ns
        self.parts[name] = outcome
        self.closed_ids[trigger.trigger_id] = self.now_ns

    def publish_late(self, inspection, score, now_ns):
        assert self.verdicts[inspection.inspection_id].evaluation is not Evaluation.PASS
        assert now_ns > inspection.deadline_ns

    def count_unclaimed(self, frame):
        assert frame.camera in TRIGGERED
        assert (frame.camera, frame.generation, frame.seq) not in self.used
        self.drops += 1
        self.untriggered += 1

    def release(self, frame):
        self.referenced.remove((frame.camera, frame.slot))  # KeyError: released twice
        self.readers[frame.camera].release(frame.slot)

    # the schedule

    @rule(
        camera=st.sampled_from(sorted(CAMERAS)),
        quality=st.sampled_from([Quality.OK] * 8 + [Quality.BLACK, Quality.STALE]),
        age_ns=st.sampled_from([0, 0, 0, 50, 150]),
        bit_depth=st.sampled_from([8] * 8 + [12]),
        doubt_ns=st.sampled_from([0, 0, 3, 30]),
    )
    def capture(self, camera, quality, age_ns, bit_depth, doubt_ns):
        self.take(camera, quality, age_ns, bit_depth, doubt_ns)

    def take(self, camera, quality=Quality.OK, age_ns=0, bit_depth=8, doubt_ns=0):
        self.captured += 1
        self.seq[camera] += 1
        slot = self.rings[camera].acquire()
        if slot is None:
            self.drops += 1
            self.stage.count_drop()
            return
        assert (camera, slot) not in self.referenced, "a slot was reused while referenced"
        self.referenced.add((camera, slot))
        self.rings[camera].write(slot, self.seq[camera], PIXELS)
        captured_ns = self.now_ns - age_ns
        frame = FrameRef(
            camera,
            1,
            slot,
            self.seq[camera],
            captured_ns,
            0,
            2,
            2,
            quality=quality,
            bit_depth=bit_depth,
            doubt_ns=doubt_ns,
        )
        self.stage.take_frame(frame, self.now_ns)

    @rule(
        number=st.integers(0, 6),  # few, so that they come again like a counter that wraps
        cameras=st.sampled_from(
            [None, ["top"], ["side"], ["a"], {"side": "two"}, {"side": "none"}, {"top": "two"}]
        ),
        deadline_ms=st.sampled_from([None, None, 10e-6, 200e-6]),
    )
    def trigger(self, number, cameras, deadline_ms):
        self.send_trigger(number, cameras, deadline_ms)

    @rule(
        number=st.integers(0, 6),
        before_ns=st.sampled_from([None, 3, 8]),
        after_ns=st.sampled_from([None, 4, 30]),
        seen_by=st.sets(st.sampled_from(TRIGGERED), min_size=1),
        value=st.sampled_from([0.0, 0.0, 1.5, None]),
    )
    def a_part_goes_by(self, number, before_ns, after_ns, seen_by, value):
        for at_ns in (before_ns, None, after_ns):
            if at_ns is None:
                self.send_trigger(number, None, None)
                continue
            self.now_ns += at_ns
            for camera in sorted(seen_by):
                self.take(camera)
        self.turn(drain=False)
        self.now_ns += 31
        self.turn(drain=True)
        for process, batch_id, inspection in [] if value is None else self.owed:
            sha = f"sha-{inspection.recipe}"
            self.stage.take_score(
                process, Score(batch_id, inspection.inspection_id, value, b"", 0, 0, sha, {}), self.now_ns
            )
            self.owed = [owed for owed in self.owed if owed[2] is not inspection]
        self.turn(drain=True)

    def send_trigger(self, number, cameras, deadline_ms):
        self.now_ns += 1
        request = TriggerRequest(str(number), cameras=cameras, deadline_ms=deadline_ms)
        trigger = Trigger(request.trigger_id, received_ns=self.now_ns)
        wanted = list(TRIGGERED) if cameras is None else list(cameras)
        last_id = self.stage.ledger._last_id
        looks = sum(len(REGIONS.get(camera, "1")) for camera in wanted)
        self.opening = [last_id + 1 + i for i in range(looks)]
        is_open = number in {int(i) for i, t in self.accepted if (i, t) not in self.parts}
        answer = self.stage.open_part(request, trigger, lambda _: self.up)
        if not isinstance(answer, Refusal):
            assert self.up
            assert not is_open
            since_ns = self.now_ns - self.closed_ids.get(str(number), -ID_MEMORY_NS)
            assert since_ns == 0 or since_ns >= ID_MEMORY_NS  # 0: it was closed at once just now
            self.accepted[str(number), self.now_ns] = self.opening
        elif answer.reason is RefusalReason.UNKNOWN_CAMERA:
            assert cameras == ["a"]
        elif answer.reason is RefusalReason.UNKNOWN_RECIPE:
            # A recipe of the configuration file is one bank, and that camera has regions.
            assert cameras in ({"side": "none"}, {"top": "two"})
        elif answer.reason is RefusalReason.DUPLICATE_ID:
            assert is_open or self.now_ns - self.closed_ids[str(number)] < ID_MEMORY_NS

    @rule(up=st.booleans())
    def cameras_go_up_and_down(self, up):
        self.up = up

    @rule(elapsed_ns=st.integers(1, 120))
    def time_passes(self, elapsed_ns):
        self.now_ns += elapsed_ns

    @rule(drain=st.booleans(), lag_ns=st.sampled_from([0, 0, 3, 40]))
    def turn(self, drain, lag_ns=0):
        self.stage.turn(self.now_ns, self.now_ns - lag_ns, drain=drain)
        # Whatever cameras and scoring do: nothing outlives its deadline.
        for part in self.stage.triggering.parts._open.values():
            assert part.deadline_ns > self.now_ns

    @rule(takes=st.sampled_from([True, True, True, False]))
    def scoring_takes_batches(self, takes):
        self.scoring_takes = takes

    @rule(
        data=st.data(),
        recipes=st.sampled_from([RECIPES, RECIPES, {"one"}, {"two"}]),
        threshold=st.sampled_from([THRESHOLD, THRESHOLD, 2 * THRESHOLD]),
        one_ns=st.sampled_from([0, 5, 30, 90, 200]),
        more_ns=st.sampled_from([0, 2, 30]),
    )
    def scoring_comes(self, data, recipes, threshold, one_ns, more_ns):
        if len(self.holding) == 1:
            self.threshold = threshold  # of several all have the same
        full_ns = one_ns + (self.max_batch - 1) * more_ns
        process = data.draw(st.sampled_from(sorted(self.holding)))
        paces = [Pace(recipe, one_ns / 1e6, full_ns / 1e6) for recipe in RECIPES]
        if not self.holding[process] <= recipes:
            self.goes(process)  # it is another process
        self.comes(process, recipes, paces)

    def comes(self, process, recipes, paces=()):
        self.holding[process] = set(recipes)
        self.stage.use_banks(process, [bank(recipe, self.threshold) for recipe in sorted(recipes)], paces)

    @precondition(lambda self: self.stage.scoring > 1)
    @rule(data=st.data())
    def scoring_goes(self, data):
        self.goes(data.draw(st.sampled_from(sorted(self.holding))))

    def goes(self, process):
        self.died_with |= {inspection.inspection_id for at, _, inspection in self.owed if at == process}
        self.owed = [owed for owed in self.owed if owed[0] != process]
        self.holding[process] = set()
        self.stage.lose_scoring(process, self.now_ns)

    @precondition(lambda self: self.owed)
    @rule(
        data=st.data(),
        value=st.sampled_from([0.0, 1.0, 1.5, math.nan, math.inf, -math.inf]),
        wrong_bank=st.booleans(),
        again=st.booleans(),
    )
    def scoring_answers(self, data, value, wrong_bank, again):
        process, batch_id, inspection = self.owed.pop(data.draw(st.integers(0, len(self.owed) - 1)))
        sha = "sha-other" if wrong_bank else f"sha-{inspection.recipe}"
        score = Score(batch_id, inspection.inspection_id, value, b"", 0, 0, sha, {})
        for _ in range(1 + again):
            self.stage.take_score(process, score, self.now_ns)
        if wrong_bank or not math.isfinite(value):
            assert self.verdicts[inspection.inspection_id].evaluation is Evaluation.UNDECIDABLE

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def scoring_cannot(self, data):
        process, batch_id, inspection = self.owed.pop(data.draw(st.integers(0, len(self.owed) - 1)))
        self.stage.take_score_error(
            process, ScoreError(batch_id, inspection.inspection_id, Reason.FRAME_LOST, ""), self.now_ns
        )

    @rule(
        data=st.data(), batch_id=st.integers(0, 50), inspection_id=st.integers(0, 50), foreign=st.booleans()
    )
    def an_answer_nobody_asked_for(self, data, batch_id, inspection_id, foreign):
        process = data.draw(st.sampled_from(sorted(self.holding)))
        if foreign and self.owed:  # owed, by another process
            at, batch_id, inspection = data.draw(st.sampled_from(self.owed))
            inspection_id, process = inspection.inspection_id, (at + 1) % len(self.holding)
        if (process, batch_id, inspection_id) not in [(p, b, i.inspection_id) for p, b, i in self.owed]:
            verdicts, scoring = dict(self.verdicts), self.stage.scoring
            score = Score(batch_id, inspection_id, 0.0, b"", 0, 0, "sha-one", {})
            self.stage.take_score(process, score, self.now_ns)
            error = ScoreError(batch_id, inspection_id, Reason.FRAME_LOST, "")
            self.stage.take_score_error(process, error, self.now_ns)
            assert (self.verdicts, self.stage.scoring) == (verdicts, scoring)

    @precondition(lambda self: self.stage.ledger.in_flight > 3)
    @rule()
    def shut_down(self):
        self.stage.shut_down(self.now_ns)
        assert self.stage.idle
        assert set(self.accepted) == set(self.parts)

    # what always holds

    @invariant()
    def the_count_closes(self):
        if not hasattr(self, "stage"):
            return
        ledger = self.stage.ledger
        assert ledger.captured == self.captured
        assert ledger.drops == self.drops
        assert ledger.missed == len(self.missed)
        assert ledger.closed + ledger.missed == len(self.verdicts)
        assert ledger.captured + ledger.further == ledger.closed + ledger.drops + ledger.in_flight
        assert {i.inspection_id for i in ledger.all_open()}.isdisjoint(self.verdicts)
        parts = self.stage.triggering.parts
        assert parts.accepted == len(self.accepted)
        assert parts.closed == len(self.parts)
        assert parts.accepted == parts.closed + parts.open
        counts = self.stage.counts()
        assert counts.captured + counts.further == counts.verdicts + counts.drops + counts.in_flight
        assert counts.triggers == counts.parts + counts.triggers_open
        assert counts.missed == len(self.missed)
        assert counts.untriggered == self.untriggered

    @invariant()
    def slots_are_held_exactly_while_referenced(self):
        for name, ring in getattr(self, "readers", {}).items():
            assert ring.held == sum(camera == name for camera, _ in self.referenced)

    @invariant()
    def what_waits_or_is_scored_is_referenced(self):
        if hasattr(self, "stage"):
            stage = self.stage
            waiting = [i for lane in stage._lanes for queue in lane.policy._queues.values() for i in queue]
            waiting += [lane.policy._trial for lane in stage._lanes if lane.policy._trial is not None]
            owed = [
                i for lane in stage._lanes for each in lane.out._batches.values() for i in each.owed.values()
            ]
            frames = {(i.camera, i.frame.slot) for i in [*waiting, *owed]}
            assert len(waiting) == stage.waiting
            assert len(owed) == stage.scoring
            assert len(self.referenced) == stage.ledger.held + len(frames)


Line.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAccounting = Line.TestCase
