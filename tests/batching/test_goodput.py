"""Load beyond what scoring can do, simulated: what it does is in time, and the rest is told early.

A line of cameras and triggers through the real stage; scoring takes random times, and time is made up.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.batching.lane import Lane
from inspectd.batching.matching import FirstAfter
from inspectd.batching.parts import Part, Parts
from inspectd.batching.policy import BatchPolicy, Sent
from inspectd.batching.service_times import ServiceTimes
from inspectd.batching.stage import BatchingStage
from inspectd.batching.triggering import Triggering
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.records import BankInForce, FrameRef, FrameRegion, Pace, Score, Trigger
from inspectd.wire import Evaluation, Reason, TriggerRequest
from tests.support.messages import verdict

MS = 1_000_000


@dataclass(frozen=True)
class Scoring:
    """A scoring process: the time of a batch, and how it varies."""

    one_ms: float
    more_ms: float
    """For each further image of a batch."""
    max_batch: int = 8
    jitter: float = 0.0
    """Standard deviation of a batch's time, in shares of it."""
    hiccups: float = 0.0
    """Share of batches that take ten times as long."""

    def takes_ms(self, size: int, chance: random.Random) -> float:
        usual = self.one_ms + (size - 1) * self.more_ms
        if chance.random() < self.hiccups:
            return 10 * usual
        return usual * max(0.3, chance.gauss(1, self.jitter))

    def per_second(self, chance: random.Random) -> float:
        spent = sum(self.takes_ms(self.max_batch, chance) for _ in range(2000))
        return 1000 * 2000 * self.max_batch / spent


@dataclass
class Line:
    """A line in made-up time; keeps what leaves."""

    scoring: Scoring
    deadline_ms: float
    seed: int = 0
    views: int = 1
    now_ns: int = 0
    processes: int = 1
    regions: int = 0
    """Of the camera `fast`, and of each that looks at a part."""
    outcomes: list = field(default_factory=list)
    parts: list = field(default_factory=list)
    late: int = 0
    batches: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.free_ns, self.events, self.order = [0] * self.processes, [], itertools.count()
        self.owed: list[dict] = [{} for _ in self.free_ns]  # by process, batches it has not answered
        self.died_with: set[int] = set()
        scoring, cameras = self.scoring, [f"eye{i}" for i in range(self.views)]
        regions = [FrameRegion(f"{number}", 0, 0, 1, 1) for number in range(self.regions)]
        of_cameras = dict.fromkeys(["fast", *cameras], regions) if regions else {}
        places = [f"{camera}/{each.name}" for camera in of_cameras for each in regions]
        recipes = dict.fromkeys(["fast", "slow", *cameras, *places], "r")
        book = RecipeBook(LineRecipe(places=recipes, deadlines_ns={"r": int(self.deadline_ms * MS)}))
        sent = Sent()
        times = [ServiceTimes(scoring.max_batch) for _ in self.free_ns]
        self.stage = BatchingStage(
            [Lane(BatchPolicy(0, 10_000, each, sent), each, 2) for each in times],
            Triggering(
                dict.fromkeys(cameras, FirstAfter(20 * MS, (0, 0))),
                Parts(10_000, 0),
                book,
                of_cameras,
            ),
            self,
            book,
            regions=of_cameras,
        )
        for process in range(self.processes):
            self.comes(process)

    def comes(self, process: int) -> None:
        scoring = self.scoring
        full_ms = scoring.one_ms + (scoring.max_batch - 1) * scoring.more_ms
        bank = BankInForce("r", "sha", "patchcore", "net", 1, 1, 1.0)
        self.stage.use_banks(process, [bank], [Pace("r", scoring.one_ms, full_ms)])

    def goes(self, process: int) -> None:
        self.died_with |= {
            i.inspection_id for batch in self.owed[process].values() for i in batch.inspections
        }
        self.owed[process].clear()
        self.free_ns[process] = 0
        self.stage.lose_scoring(process, self.now_ns)

    def at(self, ms: float, act, *arguments) -> None:
        heapq.heappush(self.events, (int(ms * MS), next(self.order), act, arguments))

    def run(self) -> None:
        while self.events or not self.stage.idle:
            wake_ns = self.stage.wake_ns()
            next_ns = self.events[0][0] if self.events else None
            self.now_ns = max(self.now_ns, min(t for t in (wake_ns, next_ns) if t is not None))
            while self.events and self.events[0][0] <= self.now_ns:
                _, _, act, arguments = heapq.heappop(self.events)
                act(*arguments)
            self.stage.turn(self.now_ns, self.now_ns)

    def frame(self, camera: str) -> None:
        self.stage.take_frame(FrameRef(camera, 1, 0, next(self.order), self.now_ns, 0, 2, 2), self.now_ns)

    def part(self) -> None:
        trigger_id = str(next(self.order))
        self.stage.open_part(
            TriggerRequest(trigger_id), Trigger(trigger_id, received_ns=self.now_ns), lambda _: True
        )
        for view in range(self.views):
            self.at(self.now_ns / MS + 1 + view / 10, self.frame, f"eye{view}")

    def cameras(self, per_second: float, seconds: float, name: str = "fast", begin_ms: float = 0) -> None:
        for number in range(int(per_second * seconds)):
            self.at(begin_ms + 1000 * (number + self.chance.random()) / per_second, self.frame, name)

    def triggers(self, per_second: float, seconds: float) -> None:
        for number in range(int(per_second * seconds)):
            self.at(1000 * (number + self.chance.random()) / per_second, self.part)

    # batching.stage.BatchingOutlet

    def send_batch(self, process, batch) -> bool:
        self.batches.append(batch)
        took_ms = self.scoring.takes_ms(len(batch.inspections), self.chance)
        self.free_ns[process] = max(self.now_ns, self.free_ns[process]) + int(took_ms * MS)
        self.owed[process][batch.batch_id] = batch
        self.at(self.free_ns[process] / MS, self.answer, process, batch.batch_id)
        return True

    def answer(self, process, batch_id) -> None:
        batch = self.owed[process].pop(batch_id, None)  # None: it died with it
        for inspection in [] if batch is None else batch.inspections:
            score = Score(batch.batch_id, inspection.inspection_id, 0.5, b"", 0, 0, "sha", {})
            self.stage.take_score(process, score, self.now_ns)

    def record_open(self, begun) -> None: ...

    def publish_verdict(self, inspection, outcome):
        self.outcomes.append((inspection, outcome))
        return verdict(len(self.outcomes))

    def publish_part(self, part: Part, outcome, views) -> None:
        self.parts.append((part, outcome))

    def publish_late(self, inspection, score, now_ns) -> None:
        self.late += 1

    def count_unclaimed(self, frame) -> None: ...

    def release(self, frame) -> None: ...

    # what came of it

    def decided(self, *, by_ms: float = 1e12, since_ms: float = 0, camera: str | None = None) -> int:
        return sum(
            outcome.evaluation is Evaluation.PASS
            for inspection, outcome in self.outcomes
            if since_ms * MS <= outcome.decided_ns <= by_ms * MS and camera in {None, inspection.camera}
        )

    def left_ms(self) -> list[float]:
        """Of what was refused: from its verdict to its deadline."""
        return [
            (inspection.deadline_ns - outcome.decided_ns) / MS
            for inspection, outcome in self.outcomes
            if outcome.reason is Reason.OVERLOAD
        ]


SCORERS = {
    "steady GPU": Scoring(4, 0.5, max_batch=32),
    "busy GPU": Scoring(4, 0.5, max_batch=32, jitter=0.2),
    "steady CPU": Scoring(20, 20),
    "busy CPU": Scoring(20, 20, jitter=0.3),
    "CPU with hiccups": Scoring(20, 20, jitter=0.1, hiccups=0.01),
}
SECONDS = {"steady GPU": 0.8, "busy GPU": 0.8}
ONE_BY_ONE = SCORERS["steady CPU"]


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("load", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("deadline_ms", [100, 1000])
def test_however_much_comes_scoring_works_on_what_is_in_time(name, load, deadline_ms):
    scoring, seconds = SCORERS[name], SECONDS.get(name, 8.0)
    line, able = Line(scoring, deadline_ms), scoring.per_second(random.Random(1))
    line.cameras(load * able, seconds)
    line.run()
    assert len(line.outcomes) == int(load * able * seconds), "each has one verdict"
    share = line.decided(by_ms=1000 * seconds) / (able * seconds)
    assert share >= (0.93 if name.startswith("steady") else 0.85)
    assert line.late <= 0.05 * line.decided()
    if load > 1:
        assert median(line.left_ms() or [deadline_ms]) >= deadline_ms / 2


@pytest.mark.parametrize("name", ["steady GPU", "busy GPU", "busy CPU"])
@pytest.mark.parametrize(("processes", "load"), [(3, 3.0), (3, 4.0), (2, 3.0)])
def test_several_processes_do_several_times_as_much(name, processes, load):
    scoring, seconds = SCORERS[name], SECONDS.get(name, 4.0)
    line, able = Line(scoring, 300, processes=processes), scoring.per_second(random.Random(1))
    line.cameras(load * able, seconds)
    line.run()
    assert line.decided(by_ms=1000 * seconds) >= 0.9 * processes * able * seconds
    assert line.late <= 0.05 * line.decided()


@pytest.mark.parametrize("processes", [1, 3])
def test_a_camera_that_floods_takes_nothing_from_another(processes):
    line = Line(ONE_BY_ONE, 300, processes=processes)
    line.cameras(500, 5, "fast")
    line.cameras(5, 5, "slow")
    line.run()
    assert line.decided(camera="slow") >= 24
    assert line.decided(camera="fast") >= 0.8 * (50 * processes - 5) * 5


@pytest.mark.parametrize(
    ("scoring", "deadline_ms"),
    [(ONE_BY_ONE, 300), (Scoring(4, 0.5), 100), (Scoring(4, 0.5), 300), (Scoring(20, 2), 200)],
)
def test_triggered_parts_come_before_free_frames(scoring, deadline_ms):
    line, able, seconds = Line(scoring, deadline_ms), scoring.per_second(random.Random(1)), 3
    line.cameras(2 * able, seconds)
    line.triggers(0.2 * able, seconds)
    line.run()
    refused = sum(outcome.reason is Reason.OVERLOAD for _, outcome in line.parts)
    assert refused <= 0.02 * len(line.parts)
    assert line.decided(camera="fast") >= 0.6 * able * seconds


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_views_of_a_part_live_or_die_together(processes):
    line = Line(ONE_BY_ONE, 400, views=2, processes=processes)
    line.triggers(60 * processes, 5)  # for each process 120 views a second, 50 can be scored
    line.run()
    passed = sum(outcome.evaluation is Evaluation.PASS for _, outcome in line.parts)
    assert passed >= 0.9 * 25 * 5 * processes
    assert line.decided() - 2 * passed <= 0.06 * line.decided(), "views scored for a part that was lost"


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("is_triggered", [False, True])
def test_the_regions_of_a_frame_live_or_die_together(processes, is_triggered):
    line = Line(ONE_BY_ONE, 400, processes=processes, regions=3)
    if is_triggered:
        line.triggers(60 * processes, 5)  # for each process 180 regions a second, 50 can be scored
    else:
        line.cameras(60 * processes, 5)
    line.run()
    frames: dict[int, list[bool]] = {}
    for inspection, outcome in line.outcomes:
        if inspection.frame is not None:  # None: two triggers so near to each other that neither gets one
            frames.setdefault(inspection.frame.seq, []).append(outcome.evaluation is Evaluation.PASS)
    assert {len(passed) for passed in frames.values()} == {3}
    whole = sum(all(passed) for passed in frames.values())
    assert whole >= 0.9 * 50 / 3 * 5 * processes
    assert line.decided() - 3 * whole <= 0.06 * line.decided(), "regions scored of a frame that was given up"
    if is_triggered:
        assert sum(outcome.evaluation is Evaluation.PASS for _, outcome in line.parts) == whole


def test_a_camera_with_regions_has_not_to_give_way_for_having_more_to_score():
    line = Line(ONE_BY_ONE, 300, regions=3)
    line.cameras(60, 5, "fast")
    line.cameras(60, 5, "slow")
    line.run()
    assert line.decided(camera="fast") / 3 >= 0.7 * line.decided(camera="slow")


def test_the_regions_of_one_recipe_go_in_one_batch():
    line = Line(Scoring(20, 2), 300, regions=3)
    line.frame("fast")
    line.part()
    line.run()
    assert [len(batch.inspections) for batch in line.batches] == [3, 3]
    ((part, outcome),) = line.parts
    assert [view.region.name for view in part.views] == ["0", "1", "2"]
    assert outcome.evaluation is Evaluation.PASS


@pytest.mark.parametrize("deadline_ms", [100, 1000])
def test_a_line_that_was_flooded_is_as_before_within_two_batches(deadline_ms):
    line = Line(ONE_BY_ONE, deadline_ms)
    line.cameras(500, 2)
    line.cameras(25, 3, "slow", begin_ms=2000 + deadline_ms)
    line.run()
    after = [o for i, o in line.outcomes if i.camera == "slow"]
    assert sum(outcome.evaluation is not Evaluation.PASS for outcome in after[2:]) == 0


@pytest.mark.parametrize("slower", [3, 6])
def test_a_machine_that_was_slow_is_found_fast_again(slower):
    """While it takes longer than the deadline nothing can be done; but that has to be noticed to end."""
    line = Line(ONE_BY_ONE, 90)
    line.cameras(60, 8)
    line.at(1000, lambda: setattr(line, "scoring", Scoring(20 * slower, 20 * slower)))
    line.at(3000, lambda: setattr(line, "scoring", ONE_BY_ONE))
    line.run()
    assert line.decided(since_ms=5500, by_ms=7500) >= 0.9 * 50 * 2


@pytest.mark.parametrize(("is_other_warm", "regions"), [(False, 3), (True, 6)])
def test_scoring_that_was_slow_when_it_was_warmed_up_is_found_fast_where_regions_go_together(
    is_other_warm, regions
):
    line = Line(Scoring(170, 170), 500, processes=2, regions=regions)
    if not is_other_warm:
        line.goes(1)
    line.scoring = ONE_BY_ONE
    line.cameras(1, 30)
    line.run()
    assert line.decided(since_ms=25_000) >= 5 * regions


def test_one_of_two_that_was_too_slow_when_it_was_warmed_up_is_found_fast():
    line = Line(Scoring(40, 40), 100, processes=2)
    line.stage.use_banks(0, [BankInForce("r", "sha", "patchcore", "net", 1, 1, 1.0)], [Pace("r", 110, 110)])
    for number in range(30 * 12):
        line.at(number * 1000 / 30, line.frame, "fast")
    line.run()
    assert line.decided(since_ms=7000) >= 0.99 * 30 * 5


@pytest.mark.parametrize(
    ("deadline_ms", "jitter"), [(100, 0.1), (100, 0.2), (90, 0.05), (90, 0.1), (85, 0.0)]
)
def test_a_line_with_little_to_do_refuses_nothing_that_the_mean_has_in_time(deadline_ms, jitter):
    line = Line(Scoring(20, 20, jitter=jitter), deadline_ms, views=4)
    for number in range(200):
        line.at(1000 * number, line.part)
    line.run()
    passed = sum(outcome.evaluation is Evaluation.PASS for _, outcome in line.parts)
    assert passed >= (0.98 if deadline_ms == 100 and jitter == 0.1 else 0.85) * 200


@given(
    scoring=st.builds(
        Scoring, one_ms=st.floats(0.5, 60), more_ms=st.floats(0, 30), max_batch=st.integers(1, 16),
        jitter=st.floats(0, 1), hiccups=st.floats(0, 0.1),
    ),
    deadline_ms=st.floats(5, 500), views=st.integers(1, 3), seed=st.integers(0, 1000),
    bursts=st.lists(st.tuples(st.floats(0, 300), st.integers(1, 40), st.booleans()), min_size=1, max_size=6),
    processes=st.integers(1, 3), regions=st.sampled_from([0, 0, 2, 3]),
    deaths=st.lists(st.tuples(st.floats(0, 400), st.integers(1, 2)), max_size=5),
)  # fmt: skip
@settings(max_examples=80)
def test_whatever_comes_each_has_one_verdict_and_none_after_its_deadline(
    *, scoring, deadline_ms, views, seed, bursts, processes, regions, deaths
):
    """And of several processes any may die, but one: what it held is lost, and nothing else is."""
    line = Line(scoring, deadline_ms, seed=seed, views=views, processes=processes, regions=regions)
    for ms, process in deaths:
        if process < processes:
            line.at(ms, line.goes, process)
            line.at(ms + 60, line.comes, process)
    for begin_ms, count, triggered in bursts:
        for number in range(count):
            act = (line.part,) if triggered else (line.frame, "fast")
            line.at(begin_ms + number * 0.3, *act)
    line.run()
    ids = [inspection.inspection_id for inspection, _ in line.outcomes]
    assert len(ids) == len(set(ids))
    assert len(line.parts) == sum(count for _, count, triggered in bursts if triggered)
    for inspection, outcome in line.outcomes:
        assert outcome.decided_ns <= inspection.deadline_ns + 1
        assert outcome.reason is not Reason.SCORING_DOWN
        if outcome.reason is Reason.SCORING_LOST:
            assert inspection.inspection_id in line.died_with
    shed = {p.trigger.trigger_id for p, o in line.parts if o.reason is Reason.OVERLOAD}
    for part, outcome in line.parts:
        if part.trigger.trigger_id in shed:
            assert outcome.evaluation is Evaluation.UNDECIDABLE
