"""The plan of what waits: a plan that is kept and mended says what one made anew would say."""

from __future__ import annotations

from bisect import insort

from hypothesis import given
from hypothesis import strategies as st

from inspectd.batching.schedule import Free, Schedule, find_place, urgency_of
from inspectd.batching.service_times import ServiceTimes
from inspectd.records import FrameRef, Inspection

RECIPES = ("a", "b")
MOST = 4


def inspection(number: int, recipe: str, opened_ns: int, deadline_ns: int) -> Inspection:
    frame = FrameRef("cam", 1, 0, number, opened_ns, 0, 4, 4)
    return Inspection(number, frame, recipe, opened_ns, deadline_ns)


def known_times() -> ServiceTimes:
    times = ServiceTimes(MOST)
    times.use("a", 10, 22)
    times.use("b", 7, 28)  # four at once take as long as one by one
    return times


# What happens to the queues: None takes one out, and else one comes, with its recipe and the time it has.
changes = st.lists(
    st.tuples(st.integers(0, 1000), st.sampled_from(RECIPES), st.integers(5, 300), st.booleans()), max_size=60
)


@given(changes=changes)
def test_a_plan_that_is_kept_breaks_where_one_made_anew_does(changes):
    queues: dict[str, list[Inspection]] = {}
    times = known_times()
    kept = Schedule(queues, times)
    now_ns, number = 0, 0
    for place, recipe, left_ns, is_taken_out in changes:
        now_ns += place % 3
        queue = queues.setdefault(recipe, [])
        new = []
        if is_taken_out and queue:
            gone = queue.pop(place % len(queue))
            kept.changed(gone, place % (len(queue) + 1))
        else:
            number += 1
            one = inspection(number, recipe, now_ns, now_ns + left_ns)
            insort(queue, one, key=urgency_of)
            kept.changed(one, find_place(queue, one))
            new = [one]
        free = Free(now_ns, 0.0, 0, is_idle=False)
        broken = kept.first_break(free, new)
        anew = Schedule(queues, times)
        assert broken == anew.first_break(free, new)
        assert kept.latest_start_ns == anew.latest_start_ns
        if broken is not None:  # as the policy does, until nothing breaks
            at = find_place(queues[broken.late.recipe], broken.late)
            del queues[broken.late.recipe][at]
            kept.changed(broken.late, at)


def test_a_change_at_the_end_plans_nothing_before_it_again(monkeypatch):
    queues: dict[str, list[Inspection]] = {"b": []}
    schedule = Schedule(queues, known_times())
    planned = []
    sizes = Schedule.size
    monkeypatch.setattr(Schedule, "size", lambda *given: planned.append(given[2]) or sizes(*given))
    for number in range(100):
        one = inspection(number, "b", 0, 10_000 + number)
        queues["b"].append(one)
        schedule.changed(one, number)
        planned.clear()
        assert schedule.first_break(Free(0, 0.0, 0, is_idle=False), [one]) is None
        assert len(planned) <= 2
