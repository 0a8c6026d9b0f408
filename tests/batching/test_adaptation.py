"""The stage before a scoring process of known speed: how batches and waits follow the load."""

from __future__ import annotations

import heapq
from itertools import count

import pytest

from inspectd.batching.lane import Lane
from inspectd.batching.parts import Parts
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.service_times import ServiceTimes
from inspectd.batching.stage import BatchingStage
from inspectd.batching.triggering import Triggering
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.records import BankInForce, FrameRef, Score
from tests.support.messages import verdict

MAX_BATCH = 8
CALL_NS, FRAME_NS = 700, 300
"""A call takes the one, and for each frame in it the other, as on a device that gains from batches."""

FULL_RATE = MAX_BATCH / (CALL_NS + MAX_BATCH * FRAME_NS)  # frames a nanosecond
SINGLE_NS = CALL_NS + FRAME_NS


class Line:
    """One camera whose frames come at even intervals, and scoring that takes one batch after another."""

    def __init__(self, load: float, frames: int):
        self.now_ns = 0
        self.free_ns = 0
        self.numbers = count()
        self.events = [
            (round(number / (load * FULL_RATE)), next(self.numbers), None) for number in range(frames)
        ]
        self.left_ns: dict[int, int] = {}
        self.batches: list[int] = []
        self.latency_ns: list[int] = []
        book = RecipeBook(LineRecipe(places={"cam": "r"}, deadlines_ns={"r": 10**12}))
        times = ServiceTimes(MAX_BATCH)
        self.stage = BatchingStage(
            [Lane(BatchPolicy(0, 10_000, times), times, 2)],
            Triggering({}, Parts(max_open=1, id_memory_ns=0), book), self, book,
        )  # fmt: skip
        self.stage.use_banks(0, [BankInForce("r", "sha", "patchcore", "net", 1, 1, 1.0)], [])

    def run(self) -> Line:
        heapq.heapify(self.events)
        while self.events:
            self.now_ns, number, batch = heapq.heappop(self.events)
            if batch is None:
                self.stage.take_frame(FrameRef("cam", 1, 0, number, self.now_ns, 0, 2, 2), self.now_ns)
            else:
                for inspection in batch.inspections:
                    score = Score(batch.batch_id, inspection.inspection_id, 0.0, b"", 0, 0, "sha", {})
                    self.stage.take_score(0, score, self.now_ns)
            self.stage.turn(self.now_ns, self.now_ns)
        return self

    def send_batch(self, _process, batch) -> bool:
        began_ns = max(self.now_ns, self.free_ns)
        self.free_ns = began_ns + CALL_NS + FRAME_NS * len(batch.inspections)
        heapq.heappush(self.events, (self.free_ns, next(self.numbers), batch))
        self.batches.append(len(batch.inspections))
        for inspection in batch.inspections:
            self.left_ns[inspection.inspection_id] = self.now_ns - inspection.opened_ns
        return True

    def publish_verdict(self, inspection, outcome):
        self.latency_ns.append(outcome.decided_ns - inspection.frame.captured_ns)
        return verdict(len(self.latency_ns))

    def record_open(self, begun): ...

    def release(self, frame): ...


@pytest.mark.parametrize("load", [0.05, 0.2, 0.35])
def test_at_low_load_no_frame_waits_for_company(load):
    line = Line(load, 500).run()
    assert set(line.batches) == {1}
    assert set(line.left_ns.values()) == {0}
    assert max(line.latency_ns) == SINGLE_NS


def test_at_half_load_a_verdict_takes_less_than_three_single_images():
    line = Line(0.5, 1000).run()
    assert max(line.latency_ns) < 3 * SINGLE_NS


def test_batches_grow_with_the_load_and_fill_when_it_is_full():
    sizes = [
        sum(line.batches) / len(line.batches)
        for load in (0.2, 0.6, 0.9, 1.0)
        for line in [Line(load, 2000).run()]
    ]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0.9 * MAX_BATCH


def test_a_line_offered_more_than_it_can_take_scores_as_fast_as_scoring_alone():
    line = Line(1.5, 2000).run()
    assert 2000 / line.now_ns > 0.99 * FULL_RATE
