"""The stage's rules that a random schedule would seldom meet one by one."""

from __future__ import annotations

import pytest

from inspectd.batching.lane import Lane
from inspectd.batching.parts import Parts
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.service_times import ServiceTimes
from inspectd.batching.stage import BatchingStage
from inspectd.batching.triggering import Triggering
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.records import BankInForce, FrameRef, Pace, Score, ScoreError
from inspectd.wire import Evaluation, Reason
from tests.support.messages import verdict


class Line:
    """One free-running camera; keeps what leaves."""

    def __init__(self, *, batches_out: int = 2) -> None:
        self.sent = []
        self.outcomes = {}
        self.late = []
        self.released = []
        book = self.book = RecipeBook(LineRecipe(places={"cam": "r"}, deadlines_ns={"r": 100}))
        times = ServiceTimes(1)
        self.stage = BatchingStage(
            [Lane(BatchPolicy(0, 10, times), times, batches_out)],
            Triggering({}, Parts(1, 0), book),
            self,
            book,
        )

    def use(self, sha: str, threshold: float, paces=()) -> None:
        self.stage.use_banks(0, [BankInForce("r", sha, "patchcore", "net", 1, 1, threshold)], paces)

    def frame(self, seq: int, now_ns: int = 0) -> None:
        self.stage.take_frame(FrameRef("cam", 1, seq, seq, now_ns, 0, 2, 2), now_ns)

    def score(self, seq: int, value: float, sha: str, now_ns: int = 1) -> None:
        self.stage.take_score(0, Score(seq, seq, value, b"", 0, 0, sha, {}), now_ns)

    # batching.stage.BatchingOutlet

    def record_open(self, begun): ...

    def send_batch(self, process, batch):
        self.sent += [inspection.frame.seq for inspection in batch.inspections]
        return True

    def publish_verdict(self, inspection, outcome):
        self.outcomes[inspection.frame.seq] = outcome
        return verdict(len(self.outcomes))

    def publish_late(self, inspection, score, now_ns):
        self.late.append(inspection.judged_by.threshold)

    def release(self, frame):
        self.released.append(frame.seq)


@pytest.mark.parametrize(("value", "evaluation"), [(1.0, Evaluation.PASS), (1.5, Evaluation.FAIL)])
def test_a_score_is_judged_by_the_threshold_its_inspection_was_opened_under(value, evaluation):
    line = Line()
    line.use("sha", 1.0)
    line.frame(1)
    line.use("sha", 2.0)
    line.score(1, value, "sha")
    assert (line.outcomes[1].evaluation, line.outcomes[1].threshold) == (evaluation, 1.0)
    line.frame(2)
    line.score(2, value, "sha")
    assert (line.outcomes[2].evaluation, line.outcomes[2].threshold) == (Evaluation.PASS, 2.0)


@pytest.mark.parametrize("sha", ["old", "new"])
def test_what_was_queued_under_one_bank_passes_by_no_other(sha):
    line = Line(batches_out=1)
    line.use("old", 1.0)
    line.frame(1)
    line.frame(2)
    assert line.sent == [1]
    line.use("new", 9.0)
    line.score(1, 0.5, "old")
    assert line.sent == [1, 2]
    line.score(2, 0.5, sha)
    assert line.outcomes[1].evaluation is Evaluation.PASS
    expected = Reason.WITHIN_THRESHOLD if sha == "old" else Reason.SCORING_ERROR
    assert line.outcomes[2].reason is expected


def test_nothing_waits_through_a_restart_of_scoring_for_another_bank():
    line = Line(batches_out=1)
    line.use("old", 1.0)
    line.frame(1)
    line.frame(2)
    line.stage.lose_scoring(0, 1)
    line.frame(3)
    line.use("new", 9.0)
    line.stage.turn(2, 2)
    assert line.sent == [1]
    assert {seq: outcome.reason for seq, outcome in line.outcomes.items()} == {
        1: Reason.SCORING_LOST, 2: Reason.SCORING_LOST, 3: Reason.SCORING_DOWN,
    }  # fmt: skip


def test_a_late_score_is_published_with_the_threshold_of_its_inspection():
    line = Line()
    line.use("sha", 1.0)
    line.frame(1)
    line.stage.turn(100, 100)
    line.use("sha", 2.0)
    line.score(1, 0.5, "sha", now_ns=101)
    assert (line.outcomes[1].reason, line.late, line.released) == (Reason.DEADLINE, [1.0], [1])


def test_whatever_makes_room_for_a_batch_sends_the_next_one_at_once():
    line = Line(batches_out=1)
    line.use("sha", 1.0)
    for seq in (1, 2, 3):
        line.frame(seq)
    assert line.sent == [1]
    line.score(1, 0.5, "sha")
    assert line.sent == [1, 2]
    line.stage.take_score_error(0, ScoreError(2, 2, Reason.FRAME_LOST, ""), 2)
    assert line.sent == [1, 2, 3]


def test_an_answer_that_overtakes_says_nothing_of_how_long_scoring_takes():
    """A device still computes the first batch when the second is answered: its frame is gone."""
    line = Line()
    line.use("sha", 1.0, [Pace("r", 20e-6, 20e-6)])
    line.frame(1)
    line.frame(2)
    line.stage.take_score_error(0, ScoreError(2, 2, Reason.FRAME_LOST, ""), 19)
    line.score(1, 0.5, "sha", now_ns=20)
    assert line.stage.images_per_second() == {"r": pytest.approx(1e9 / 20)}


@pytest.mark.parametrize(
    ("stamp_ns", "recipe", "reason"),
    [
        (40, "r", Reason.WITHIN_THRESHOLD),
        (50, "r", Reason.CAMERA_SETTINGS),  # exposed between 20 and 50: perhaps after the switch at 40
        (70, "r", Reason.CAMERA_SETTINGS),
        (71, "new", Reason.ABOVE_THRESHOLD),
    ],
)
def test_a_free_frame_is_judged_by_what_was_in_force_when_it_was_certainly_exposed(stamp_ns, recipe, reason):
    line, seen = Line(), []
    new = LineRecipe(id="new", version=1, places={"cam": "new"}, deadlines_ns={"new": 100})
    line.book.add(new)
    banks = [BankInForce("r", "r", "d", "n", 1, 1, 1.0), BankInForce("new", "new", "d", "n", 1, 1, 0.1)]
    line.stage.use_banks(0, banks, ())
    line.book.put_in_force(new, 40)
    line.send_batch = lambda _, batch: seen.append(batch) or True
    line.stage.take_frame(FrameRef("cam", 1, 1, 1, stamp_ns, 0, 2, 2, latency_ns=(0, 30)), stamp_ns)
    if seen:
        assert seen[0].recipe == recipe
        line.score(1, 0.5, recipe, now_ns=stamp_ns)
    assert line.outcomes[1].reason is reason
