"""The scoring process's loop on a real channel and ring, with a pipeline that notes what it is asked for."""

import numpy as np
import pytest

from inspectd.backends.scorer import Scorer, ScorerInfo
from inspectd.config import Recipe, ScoringSettings
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import AttachRing, DetachRing
from inspectd.ipc.ring import FrameRing
from inspectd.model.score import ImageScore
from inspectd.quality.check import FrameCheck
from inspectd.quality.learnt import LearntQuality
from inspectd.records import Batch, ClosedBy, FrameRef, Inspection, MeasureLimit, Score, ScoreError
from inspectd.scoring.messages import FromScoring, StartScoring, ToScoring
from inspectd.scoring.worker import ScoringWorker
from inspectd.wire import Reason

INFO = ScorerInfo("sha", "dfkde", "none", 1, 1, 4, 4, 1.0, "cuda:0", "cuda", "float16", "", None)


class InOrder:
    """Scores a frame by its first value, at once."""

    overlaps = False
    is_one_by_one = False

    def __init__(self):
        self.happened = []

    def warm_up(self, max_batch):
        pass

    def score(self, frames):
        values = [int(frame[0, 0, 0]) for frame in frames]
        self.happened.append(("score", values))
        return [ImageScore(float(value), np.zeros((1, 1), np.float16), {}) for value in values]

    def begin(self, frames):
        return lambda: self.score(frames)


class Ahead(InOrder):
    """As a device that computes while the host goes on."""

    overlaps = True

    def begin(self, frames):
        self.happened.append(("begin", [int(frame[0, 0, 0]) for frame in frames]))
        return lambda: self.score(frames)


class OneByOne(InOrder):
    """As a device that computes frames one after another."""

    is_one_by_one = True


class Line:
    """The main process's end, and a worker that was told everything but batches."""

    def __init__(self, pipeline):
        first, second = Channel.pair()
        self.main = Channel(first, FromScoring)
        start = StartScoring(ScoringSettings(), (Recipe(name="r", bank="r.bank"),), 8)
        self._end = Channel(second, ToScoring)
        self.worker = ScoringWorker(self._end, start)
        self.worker._scorers["r"] = Scorer(pipeline, INFO)
        self.ring = FrameRing.create(1, 8, 4 * 4 * 3)
        self.main.send(AttachRing("cam", 1), (self.ring.fd,))

    def send(self, batch_id, values, recipe="r"):
        inspections = []
        for value in values:
            slot = self.ring.acquire()
            self.ring.write(slot, value, np.full((4, 4, 3), value, np.uint8))
            frame = FrameRef("cam", 1, slot, value, 0, 0, 4, 4)
            inspections.append(Inspection(value, frame, recipe, 0, 0))
        self.main.send(Batch(batch_id, recipe, inspections, ClosedBy.FULL))
        return inspections

    def answers(self):
        found = []
        while (received := self.main.receive()) is not None:
            if isinstance(received[0], Score | ScoreError):
                found.append(received[0])
        return found

    def close(self):
        self.main.close()
        self._end.close()
        self.ring.close()


@pytest.fixture
def line(request):
    made = Line(request.param())
    yield made
    made.close()


@pytest.mark.parametrize("line", [OneByOne, InOrder], indirect=True)
def test_frames_are_scored_alone_where_the_pipeline_gains_nothing_by_a_batch(line):
    line.send(1, [10, 20])
    line.worker.turn()
    alone = isinstance(pipeline(line), OneByOne)
    assert pipeline(line).happened == ([("score", [10]), ("score", [20])] if alone else [("score", [10, 20])])


@pytest.mark.parametrize("line", [Ahead, OneByOne], indirect=True)
def test_each_score_says_what_its_frame_is_like_and_whether_it_may_be_judged(line):
    learnt = LearntQuality(images=60, limits={"mean_grey": MeasureLimit(100.0, 50.0, 150.0)})
    line.worker._scorers["r"].check = FrameCheck(learnt, {})
    line.send(1, [100, 20])
    while len(answers := line.answers()) < 2 and line.worker.turn() is None:
        pass
    assert [(one.measures.mean_grey, one.flaw) for one in answers] == [
        (100.0, None),
        (20.0, Reason.QUALITY_EXPOSURE),
    ]
    assert "mean_grey is 20, expected at least 50 and at most 150" in answers[1].detail


def pipeline(line):
    return line.worker._scorers["r"].pipeline


@pytest.mark.parametrize("line", [Ahead], indirect=True)
def test_a_batch_that_waits_begins_before_the_one_before_it_is_answered(line):
    line.send(1, [10, 11])
    line.send(2, [20])
    line.worker.turn()
    assert line.answers() == []
    line.worker.turn()
    assert pipeline(line).happened == [("begin", [10, 11]), ("begin", [20]), ("score", [10, 11])]
    assert [(one.batch_id, one.image_score) for one in line.answers()] == [(1, 10.0), (1, 11.0)]
    line.worker.turn()
    assert [(one.batch_id, one.image_score) for one in line.answers()] == [(2, 20.0)]


@pytest.mark.parametrize("line", [Ahead], indirect=True)
def test_no_more_than_two_are_under_way(line):
    for number in range(4):
        line.send(number, [number])
    for _ in range(6):
        line.worker.turn()
    begun = [name == "begin" for name, _ in pipeline(line).happened]
    under_way = np.cumsum([1 if one else -1 for one in begun])
    assert under_way.max() == 2
    assert under_way[-1] == 0
    assert [one.batch_id for one in line.answers()] == [0, 1, 2, 3]


@pytest.mark.parametrize("line", [Ahead], indirect=True)
def test_a_lone_batch_is_answered_without_waiting_for_another(line):
    line.send(1, [10])
    line.worker.turn()
    line.worker.turn()
    assert [one.image_score for one in line.answers()] == [10.0]


@pytest.mark.parametrize("line", [Ahead], indirect=True)
def test_a_frame_that_was_overwritten_meanwhile_has_no_score(line):
    (inspection,) = line.send(1, [10])
    line.worker.turn()
    line.ring.release(inspection.frame.slot)
    line.worker.turn()
    (answer,) = line.answers()
    assert isinstance(answer, ScoreError)
    assert answer.reason == Reason.FRAME_LOST


@pytest.mark.parametrize("line", [Ahead], indirect=True)
def test_a_ring_goes_only_when_no_batch_reads_from_it(line):
    line.send(1, [10])
    line.worker.turn()
    line.main.send(DetachRing("cam", 1))
    line.worker.turn()
    assert [one.image_score for one in line.answers()] == [10.0]
    assert line.worker._rings == {}


@pytest.mark.parametrize("line", [InOrder], indirect=True)
def test_a_pipeline_that_does_not_overlap_answers_at_once(line):
    line.send(1, [10])
    line.send(2, [20])
    line.worker.turn()
    assert [one.batch_id for one in line.answers()] == [1]
    line.worker.turn()
    assert [one.batch_id for one in line.answers()] == [2]


@pytest.mark.parametrize("line", [Ahead], indirect=True)
def test_a_recipe_that_does_not_overlap_leaves_nothing_under_way(line):
    line.worker._scorers["other"] = Scorer(InOrder(), INFO)
    line.send(1, [10])
    line.worker.turn()
    line.send(2, [20], "other")
    line.send(3, [30], "other")
    line.worker.turn()
    assert [one.batch_id for one in line.answers()] == [1, 2]
