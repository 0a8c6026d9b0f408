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


# What happens to the queues: one comes, one is taken out, or scoring begins with the next batch.
changes = st.lists(
    st.tuples(
        st.sampled_from(("comes", "comes", "goes", "is sent")),
        st.integers(0, 1000),
        st.sampled_from(RECIPES),
        st.integers(5, 300),
    ),
    max_size=60,
)


@given(changes=changes)
def test_a_plan_that_is_kept_breaks_where_one_made_anew_does(changes):
    queues: dict[str, list[Inspection]] = {}
    times = known_times()
    kept = Schedule(queues, times)
    free_ns = 0
    for number, (change, chance, recipe, left_ns) in enumerate(changes):
        queue = queues.setdefault(recipe, [])
        new = []
        if change == "comes":
            free_ns += chance % 3
            one = inspection(number, recipe, free_ns, free_ns + left_ns)
            insort(queue, one, key=urgency_of)
            kept.changed(one, find_place(queue, one))
            new = [one]
        elif change == "goes" and queue:
            gone = queue.pop(chance % len(queue))
            kept.changed(gone, chance % (len(queue) + 1))
        elif change == "is sent" and queue:
            size = kept.size(queue, 0, free_ns)
            free_ns += times.expected_ns(recipe, size)
            del queue[:size]
            kept.take(recipe, size)
        free = Free(free_ns, 0.0, 0)
        broken = kept.first_break(free, new)
        anew = Schedule(queues, times)
        assert broken == anew.first_break(free, new)
        assert kept.latest_start_ns <= anew.latest_start_ns
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
        assert schedule.first_break(Free(0, 0.0, 0), [one]) is None
        assert len(planned) <= 2


def test_what_follows_a_batch_that_is_sent_is_not_planned_again(monkeypatch):
    waiting = [inspection(number, "b", 0, 10_000 + number) for number in range(100)]
    queues = {"b": waiting}
    schedule = Schedule(queues, known_times())
    assert schedule.first_break(Free(0, 0.0, 0), []) is None
    monkeypatch.setattr(Schedule, "size", None)
    del waiting[:1]
    schedule.take("b", 1)
    assert schedule.first_break(Free(7, 0.0, 0), []) is None
