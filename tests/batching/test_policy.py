from __future__ import annotations

import pytest

from inspectd.batching.policy import BatchPolicy, Free
from inspectd.batching.service_times import ServiceTimes
from inspectd.records import ClosedBy, FrameRef, Inspection, Trigger


def inspection(
    number: int, *, opened_ns: int = 0, recipe: str = "r", deadline_ns: int = 1000, camera: str = "cam",
    part: str | None = None,
) -> Inspection:  # fmt: skip
    trigger = None if part is None else Trigger(part, received_ns=1)
    frame = FrameRef(camera, 1, 0, number, 0, 0, 2, 2, trigger=trigger)
    return Inspection(number, frame, recipe, opened_ns, deadline_ns)


def policy(
    *,
    max_batch: int = 2,
    max_wait_ns: int = 0,
    max_queue: int = 10,
    one_ns: float = 0,
    full_ns: float = 0,
    waiting: list[Inspection] | None = None,
) -> BatchPolicy:
    """One that plans with exactly these times, as after many batches that took them."""
    times = ServiceTimes(max_batch)
    for recipe in ("r", "other") if one_ns else ():
        times.use(recipe, one_ns, full_ns or one_ns)
        for _ in range(200):
            times.learn(recipe, 1, int(one_ns), 0)
    made = BatchPolicy(max_wait_ns, max_queue, times)
    for each in waiting or []:
        made.add(each)
    return made


def ids(inspections: list[Inspection]) -> list[int]:
    return [each.inspection_id for each in inspections]


# --- when a batch leaves ------------------------------------------------------------------------------------


def test_nothing_waits_for_company_when_the_wait_is_zero():
    alone = policy(max_batch=4, waiting=[inspection(1, opened_ns=5)])
    batch = alone.next_batch(5, 5)
    assert batch is not None
    assert ids(batch.inspections) == [1]
    assert alone.next_batch(5, 5) is None


def test_a_full_batch_leaves_at_once_and_the_rest_waits():
    three = policy(max_wait_ns=100, waiting=[inspection(number) for number in (1, 2, 3)])
    batch = three.next_batch(1, 1)
    assert batch is not None
    assert batch.closed_by is ClosedBy.FULL
    assert ids(batch.inspections) == [1, 2]
    assert three.next_batch(1, 1) is None
    assert three.wake_ns() == 100
    late = three.next_batch(100, 100)
    assert late is not None
    assert late.closed_by is ClosedBy.DEADLINE


def test_nobody_waits_for_company_until_it_is_too_late():
    alone = policy(max_batch=4, max_wait_ns=900, one_ns=200, full_ns=400, waiting=[inspection(1)])
    assert ids(alone.shed(0, Free(0, 0.0, 0))) == []
    assert alone.wake_ns() == 600  # twice what scoring needs, before the deadline
    assert alone.next_batch(599, 599) is None
    batch = alone.next_batch(600, 600)
    assert batch is not None
    assert batch.closed_by is ClosedBy.DEADLINE


def test_nobody_waits_for_company_until_another_recipe_is_too_late():
    waiting = [inspection(1), inspection(2, recipe="other")]
    both = policy(max_batch=4, max_wait_ns=900, one_ns=200, full_ns=400, waiting=waiting)
    assert ids(both.shed(0, Free(0, 0.0, 0))) == []
    assert both.wake_ns() == pytest.approx(400, abs=2)  # two of 200 and one to spare
    assert both.next_batch(390, 390) is None
    assert both.next_batch(400, 400) is not None


def test_only_a_batch_that_cannot_grow_goes_where_only_a_full_one_may():
    one = policy(waiting=[inspection(1)])
    assert one.next_batch(5, 5, only_full=True) is None
    assert one.next_batch(5, 5, only_full=True, drain=True) is None
    one.add(inspection(2))
    batch = one.next_batch(5, 5, only_full=True)
    assert batch is not None
    assert batch.closed_by is ClosedBy.FULL


def test_where_images_are_scored_one_by_one_a_batch_is_one_image():
    one_by_one = policy(max_batch=4, one_ns=10, full_ns=40, waiting=[inspection(1), inspection(2)])
    batch = one_by_one.next_batch(0, 0, only_full=True)
    assert batch is not None
    assert ids(batch.inspections) == [1]


def test_a_drain_sends_what_waits():
    batch = policy(max_wait_ns=100, waiting=[inspection(1)]).next_batch(1, 1, drain=True)
    assert batch is not None
    assert batch.closed_by is ClosedBy.DRAIN


def test_the_recipe_of_the_most_urgent_goes_first_and_the_most_urgent_of_it():
    queue = policy(
        waiting=[
            inspection(1, recipe="other", deadline_ns=900),
            inspection(2, deadline_ns=800),
            inspection(3, deadline_ns=700),
        ]
    )
    first = queue.next_batch(10, 10)
    assert first is not None
    assert (first.recipe, ids(first.inspections)) == ("r", [3, 2])


def test_a_batch_is_no_larger_than_its_most_urgent_can_wait_for():
    waiting = [inspection(1, deadline_ns=300), *(inspection(number, deadline_ns=900) for number in (2, 3, 4))]
    queue = policy(max_batch=4, one_ns=50, full_ns=110, waiting=waiting)
    assert ids(queue.shed(215, Free(215, 0.0, 0))) == []
    batch = queue.next_batch(215, 215)
    assert batch is not None
    assert ids(batch.inspections) == [1, 2]
    assert batch.closed_by is ClosedBy.FULL


# --- what cannot be in time ---------------------------------------------------------------------------------


def test_what_cannot_be_in_time_goes_as_soon_as_that_is_certain():
    queue = policy(one_ns=400, full_ns=800, waiting=[inspection(1), inspection(2), inspection(3)])
    assert ids(queue.shed(0, Free(0, 0.0, 0))) == [3]
    assert ids(queue.shed(200, Free(200, 0.0, 0))) == []
    assert queue.latest_start_ns == pytest.approx(200, abs=2)
    assert ids(queue.shed(210, Free(210, 0.0, 0))) == [2]
    assert ids(queue.shed(700, Free(700, 0.0, 0))) == [1]


@pytest.mark.parametrize("max_wait_ns", [0, 500])
def test_an_idle_scoring_process_tries_one_that_may_be_late_now_and_then(max_wait_ns):
    second = 1_000_000_000
    queue = policy(one_ns=2000, full_ns=3000, max_batch=4, max_wait_ns=max_wait_ns)

    def refused(now_ns: int, *numbers: int) -> list[int]:
        for number in numbers:
            queue.add(inspection(number, opened_ns=now_ns, deadline_ns=now_ns + 1000))
        return ids(queue.shed(now_ns, Free(now_ns, 0.0, 0)))

    assert refused(3 * second, 1, 2) == [1]
    assert queue.next_batch(3 * second, 3 * second) is not None
    assert refused(4 * second, 3) == [3]
    assert refused(6 * second, 4) == []


def test_what_was_not_scored_for_long_is_tried_whatever_else_scoring_does():
    second = 1_000_000_000
    queue = policy(one_ns=600)
    queue.add(inspection(1, deadline_ns=3 * second + 1100))
    queue.add(inspection(2, recipe="other", deadline_ns=3 * second + 1200))
    assert queue.shed(3 * second, Free(3 * second + 400, 0.0, 0)) == []
    assert queue.waiting == 2
    batches = [queue.next_batch(3 * second, 3 * second, only_full=is_busy) for is_busy in (True, False)]
    assert [ids(batch.inspections) for batch in batches if batch] == [[2], [1]]
    assert queue.waiting == 0


def test_one_that_is_tried_and_comes_to_its_deadline_goes_like_any_other():
    times = ServiceTimes(8)
    times.use("r", 2000, 2000)
    queue = BatchPolicy(0, 100, times)
    one = inspection(1, deadline_ns=3_000_001_000)
    queue.add(one)
    assert queue.shed(3_000_000_000, Free(3_000_000_000, 0.0, 0)) == []
    assert queue.discard(one)
    assert (queue.waiting, queue.discard(one), queue.discard_all()) == (0, False, [])
    times.learn("r", 1, 2000, 3_100_000_000)  # no trial was scored: the next one does not wait for longer
    assert times.may_try("r", 5_200_000_000)


def test_in_a_burst_the_mean_counts_and_under_lasting_load_the_doubt_too():
    waiting = [inspection(1, deadline_ns=500)]
    for busy_ns, gone in ((400, []), (600, [1])):
        times = ServiceTimes(2)
        times.use("r", 400, 800)  # not seen yet: a quarter of it is in doubt
        queue = BatchPolicy(0, 10, times)
        queue.add(waiting[0])
        assert ids(queue.shed(0, Free(0, 0.0, busy_ns))) == gone


def test_a_full_batch_of_another_recipe_does_not_overtake_the_most_urgent():
    urgent = inspection(1, recipe="other", deadline_ns=500)
    queue = policy(one_ns=100, full_ns=120, waiting=[urgent, inspection(2), inspection(3)])
    assert queue.next_batch(0, 100, only_full=True) is None
    first = queue.next_batch(100, 100)
    assert first is not None
    assert ids(first.inspections) == [1]


def test_free_frames_make_room_for_a_part_however_many_it_takes():
    free = [inspection(number, deadline_ns=1000) for number in range(1, 9)]
    part = inspection(9, recipe="other", deadline_ns=1040, part="p")
    times = ServiceTimes(2)
    times.use("r", 100, 200)
    times.use("other", 400, 800)
    queue = BatchPolicy(0, 100, times)
    for each in [*free, part]:
        queue.add(each)
    assert ids(queue.shed(0, Free(0, 0.0, 0))) == [8, 7]
    assert queue.waiting == 7


def test_nothing_is_refused_while_nobody_knows_how_long_scoring_takes():
    queue = policy(waiting=[inspection(number) for number in range(9)])
    assert queue.shed(999, Free(999, 0.0, 0)) == []


def test_a_full_queue_keeps_as_many_as_it_may():
    queue = policy(max_queue=2, waiting=[inspection(1), inspection(2, recipe="other"), inspection(3)])
    assert ids(queue.shed(0, Free(0, 0.0, 0))) == [3]
    assert queue.discard(inspection(1))
    assert not queue.discard(inspection(1))
    queue.add(inspection(4))
    assert queue.shed(0, Free(0, 0.0, 0)) == []
    assert queue.waiting == 2


def test_the_camera_that_has_most_waiting_gives_way():
    waiting = [inspection(number, camera="fast") for number in (1, 2, 3)] + [inspection(4, camera="slow")]
    queue = policy(one_ns=300, full_ns=600, waiting=waiting)
    assert ids(queue.shed(0, Free(0, 0.0, 0))) == [3]
    queue.add(inspection(5, camera="slow"))
    assert ids(queue.shed(0, Free(0, 0.0, 0))) == [5]


def test_a_triggered_part_goes_before_free_frames():
    waiting = [inspection(1), inspection(2), inspection(3, part="p")]
    queue = policy(one_ns=400, full_ns=800, waiting=waiting)
    assert ids(queue.shed(0, Free(0, 0.0, 0))) == [2]


def test_the_views_of_a_part_go_together_and_one_that_is_begun_stays():
    begun, new = ("a", "b")
    queue = policy(one_ns=300, full_ns=600, waiting=[inspection(1, part=begun)])
    batch = queue.next_batch(0, 0)
    assert batch is not None
    for each in (inspection(2, part=new), inspection(3, part=new), inspection(4, part=begun)):
        queue.add(each)
    assert sorted(ids(queue.shed(300, Free(300, 0.0, 0)))) == [2, 3]
    assert queue.waiting == 1


def test_one_is_not_saved_at_the_cost_of_many():
    """The late one has a recipe of its own; however many of the other go, it stays late."""
    others = [inspection(number, deadline_ns=800) for number in (1, 2, 3, 4)]
    late = inspection(5, recipe="other", deadline_ns=900, camera="slow")
    queue = policy(max_batch=4, one_ns=500, full_ns=520, waiting=[*others, late])
    assert ids(queue.shed(0, Free(0, 0.0, 0))) == [5]
    assert queue.waiting == 4


def test_one_is_the_least_of_a_batch_even_where_it_takes_no_time_to_speak_of():
    times = ServiceTimes(4)
    times.use("r", 0.4, 1.0)
    queue = BatchPolicy(0, 10, times)
    queue.add(inspection(1, deadline_ns=2))
    assert ids(queue.shed(10, Free(10, 0.0, 0))) == [1]


def test_what_is_left_is_planned_again_when_the_plan_did_not_hold_all_of_it():
    waiting = [inspection(number, deadline_ns=1000 + number) for number in (1, 2, 3)]
    queue = policy(max_batch=1, one_ns=100, waiting=waiting)
    idle = Free(0, 0.0, 0)
    assert queue.shed(0, idle) == []
    assert queue.discard(waiting[1])  # its deadline came, or the line stops
    batch = queue.next_batch(0, 0)
    assert batch is not None
    assert ids(batch.inspections) == [1]
    assert ids(queue.shed(950, Free(950, 0.0, 0))) == [3], "it cannot be in time any more"
