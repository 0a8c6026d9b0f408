"""Which of several scoring processes gets an inspection."""

from __future__ import annotations

from inspectd.batching.lane import Lane, choose_lane
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.service_times import ServiceTimes
from inspectd.records import BankInForce, FrameRef, Inspection, JudgedBy, Pace

MS = 1_000_000


def lane(one_ms: float, full_ms: float, *, recipe: str = "r", sha: str = "sha") -> Lane:
    """A warm process that takes batches of four."""
    times = ServiceTimes(4)
    made = Lane(BatchPolicy(0, 100, times), times, 2)
    bank = BankInForce(recipe, sha, "patchcore", "net", 1, 1, 1.0)
    made.use_banks([bank], [Pace(recipe, one_ms, full_ms)])
    return made


def inspection(number: int, deadline_ms: float = 1000.0, recipe: str = "r") -> Inspection:
    frame = FrameRef("cam", 1, 0, number, 0, 0, 2, 2)
    return Inspection(number, frame, recipe, 0, int(deadline_ms * MS), JudgedBy("sha", 1.0))


def places(lanes: list[Lane], count: int, *, deadline_ms: float = 1000.0) -> list[int]:
    """Where so many inspections go that come at once."""
    chosen = []
    for number in range(count):
        one = inspection(number, deadline_ms)
        to = choose_lane(lanes, one, 0)
        to.policy.add(one)
        chosen.append(lanes.index(to))
    return chosen


def test_like_processes_get_one_after_the_other():
    assert places([lane(10, 40), lane(10, 40), lane(10, 40)], 6) == [0, 1, 2, 0, 1, 2]


def test_a_process_twice_as_fast_gets_twice_as_many():
    assert sorted(places([lane(20, 80), lane(10, 40)], 9)) == [0] * 3 + [1] * 6


def test_a_batch_that_takes_no_longer_is_filled_before_another_is_begun():
    assert places([lane(10, 10), lane(11, 11)], 5) == [0, 0, 0, 0, 1]


def test_what_is_less_urgent_is_in_nobodys_way_and_still_counts_where_all_else_is_equal():
    lanes = [lane(10, 40), lane(10, 40)]
    lanes[0].policy.add(inspection(1, deadline_ms=5000))
    assert choose_lane(lanes, inspection(2, deadline_ms=100), 0) is lanes[1]
    lanes[1].policy.add(inspection(3, deadline_ms=50))
    assert choose_lane(lanes, inspection(4, deadline_ms=100), 0) is lanes[0]


def test_only_a_process_with_the_very_bank_gets_it():
    lanes = [lane(1, 4, recipe="other"), lane(1, 4, sha="another"), lane(90, 360)]
    assert choose_lane(lanes, inspection(1), 0) is lanes[2]
    lanes[2].banks = {}
    assert choose_lane(lanes, inspection(1), 0) is None
