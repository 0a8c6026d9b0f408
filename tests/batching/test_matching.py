"""Which frame belongs to which trigger: by examples, and as properties over random plants."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.batching.matching import FirstAfter, Nearest
from inspectd.records import FrameRef, Trigger, View

WINDOW_NS, BEFORE_NS, LATENCY_NS = 100, 40, 5


def view(number, at_ns, deadline_ns=10_000):
    return View(number, "cam", "r", Trigger(str(number), received_ns=at_ns), at_ns + deadline_ns)


def frame(seq, captured_ns):
    return FrameRef("cam", 1, seq, seq, captured_ns, 0, 2, 2)


def run(matcher, events, end_ns=100_000):
    """Play triggers `("t", time)` and frames `("f", time captured, delay)` and settle whenever asked to."""
    matched, missed, unclaimed = {}, [], []

    def settle(now_ns):
        settled = matcher.settle(now_ns)
        for v, f in settled.matched:
            assert v.inspection_id not in matched
            matched[v.inspection_id] = (f.seq, now_ns)
        missed.extend((v.inspection_id, now_ns) for v in settled.missed)
        unclaimed.extend(f.seq for f in settled.unclaimed)

    def wake_until(time_ns):
        while (wake_ns := matcher.wake_ns()) is not None and wake_ns < time_ns:
            settle(wake_ns)
            assert matcher.wake_ns() is None or matcher.wake_ns() > wake_ns, "it would spin"

    numbers = {"t": itertools.count(1), "f": itertools.count(1)}
    for kind, at_ns, *delay in sorted(events, key=lambda e: e[1] + (e[2] if len(e) > 2 else 0)):
        now_ns = at_ns + (delay[0] if delay else 0)
        wake_until(now_ns)
        if kind == "t":
            matcher.expect(view(next(numbers["t"]), at_ns))
        else:
            matcher.frame(frame(next(numbers["f"]), at_ns))
        settle(now_ns)
    wake_until(end_ns)
    settle(end_ns)
    return matched, missed, unclaimed


def first_after():
    return FirstAfter(WINDOW_NS, LATENCY_NS)


def nearest(history=8):
    return Nearest(WINDOW_NS, BEFORE_NS, LATENCY_NS, history)


def test_the_first_frame_exposed_after_the_trigger_is_taken_and_no_other():
    events = [("f", 990), ("t", 1000), ("f", 1005), ("f", 1020), ("f", 1030)]
    matched, missed, unclaimed = run(first_after(), events)
    # The second frame may have been exposed when the trigger came: its stamp can be 5 ns late.
    assert matched == {1: (3, 1020)}
    assert (missed, unclaimed) == ([], [1, 2, 4])


def test_a_frame_belongs_to_the_newest_trigger_before_it_so_that_a_lost_frame_shifts_no_part():
    matched, missed, _ = run(first_after(), [("t", 1000), ("t", 1060), ("f", 1070), ("t", 1120), ("f", 1130)])
    assert matched == {2: (1, 1070), 3: (2, 1130)}
    assert missed == [(1, 1070)]


def test_no_frame_within_the_window_is_a_miss_when_it_ends():
    matched, missed, unclaimed = run(first_after(), [("t", 1000), ("f", 1101)])
    assert (matched, missed, unclaimed) == ({}, [(1, 1100)], [1])
    matched, missed, _ = run(nearest(), [("t", 1000), ("f", 1120)])
    assert (matched, missed) == ({}, [(1, 1100)])


def test_a_frame_that_arrives_after_the_window_is_late_however_early_it_was_taken():
    assert run(first_after(), [("t", 1000), ("f", 1050, 60)])[0] == {}


def test_a_deadline_before_the_end_of_the_window_ends_the_wait():
    for matcher in (first_after(), nearest()):
        matcher.expect(view(1, 1000, deadline_ns=30))
        assert matcher.settle(1029).missed == []
        assert [v.inspection_id for v in matcher.settle(1030).missed] == [1]


def test_a_view_that_ended_takes_its_turn_with_it():
    matcher = first_after()
    matcher.expect(view(1, 1000))
    matcher.expect(view(2, 1010, deadline_ns=20))
    assert [v.inspection_id for v in matcher.settle(1030).missed] == [2]
    matcher.frame(frame(1, 1040))  # shows the second part: not for the first
    settled = matcher.settle(1040)
    assert settled.matched == []
    assert len(settled.unclaimed) == 1


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([("f", 985), ("t", 1000), ("f", 1035)], {1: (1, 1035)}),  # exposed 20 before, and 30 after
        ([("f", 975), ("t", 1000), ("f", 1015)], {1: (2, 1020)}),  # 30 before, 10 after; certain 10 later
        ([("f", 985), ("t", 1000)], {1: (1, 1100)}),  # none after it until the window ends
        ([("f", 955), ("t", 1000)], {}),  # too long before
        # Between two triggers a frame goes to the nearer one, though it came when the first one waited.
        ([("t", 1000), ("f", 1035, 1), ("t", 1040), ("f", 1090)], {2: (1, 1090)}),
    ],
)
def test_the_nearest_frame_is_taken_once_it_is_certain(events, expected):
    assert run(nearest(), events)[0] == expected


def test_a_trigger_whose_nearest_frame_was_taken_is_missed():
    # Both are nearest to the frame at 1000 (stamp 1005); the second nearest of the other shows another part.
    events = [("f", 1005), ("t", 1010), ("t", 1012), ("f", 1075)]
    matched, missed, unclaimed = run(nearest(), events)
    assert matched == {1: (1, 1075)}
    assert [number for number, _ in missed] == [2]
    assert unclaimed == [2]


def test_history_is_bounded_and_what_leaves_it_is_not_replaced_by_another_frame():
    matcher = nearest(history=2)
    for seq in (1, 2, 3):
        matcher.frame(frame(seq, 1000 + seq))
    settled = matcher.settle(1003)
    assert [f.seq for f in settled.unclaimed] == [1]
    matcher.expect(view(1, 1004))
    assert matcher.settle(1004).missed == []
    assert [f.seq for f in matcher.settle(2000).unclaimed] == [2]  # the third one was taken at last


def test_given_up_is_everything_once():
    for matcher in (first_after(), nearest()):
        matcher.frame(frame(1, 1000))
        matcher.expect(view(1, 1002))
        settled = matcher.give_up()
        assert ([v.inspection_id for v in settled.missed], len(settled.unclaimed)) == ([1], 1)
        assert matcher.settle(9000) == ([], [], [])
        assert matcher.wake_ns() is None


times = st.integers(1000, 1800)
plants = st.tuples(
    st.lists(times, max_size=12),
    st.lists(st.tuples(times, st.integers(0, 30)), max_size=20, unique_by=lambda taken: taken[0]),
)


def events_of(triggers, taken):
    """Frames come in the order of their exposure, each at its stamp or a while later."""
    arrivals = list(itertools.accumulate(sorted(taken), lambda a, b: (b[0], max(b[0] + b[1], sum(a)) - b[0])))
    return [("t", at_ns) for at_ns in sorted(triggers)] + [("f", at, delay) for at, delay in arrivals]


@given(plants, st.sampled_from([first_after, nearest, lambda: nearest(history=1)]))
def test_every_trigger_and_every_frame_has_exactly_one_end(plant, make):
    triggers, taken = plant
    matched, missed, unclaimed = run(make(), events_of(triggers, taken))
    assert sorted([*matched, *(number for number, _ in missed)]) == list(range(1, len(triggers) + 1))
    used = [seq for seq, _ in matched.values()]
    assert sorted([*used, *unclaimed]) == list(range(1, len(taken) + 1))


@given(plants)
def test_first_after_takes_no_frame_from_before_the_trigger_or_behind_the_next(plant):
    triggers, stamps = sorted(plant[0]), sorted(at for at, _ in plant[1])
    matched, missed, _ = run(first_after(), events_of(*plant))
    for number, (seq, now_ns) in matched.items():
        exposed_ns = stamps[seq - 1] - LATENCY_NS
        assert triggers[number - 1] < exposed_ns
        assert not [t for t in triggers[number:] if t < exposed_ns]
        assert now_ns < triggers[number - 1] + WINDOW_NS
    assert all(now_ns <= triggers[number - 1] + WINDOW_NS for number, now_ns in missed)


@given(plants)
def test_nearest_is_mutual(plant):
    triggers, stamps = sorted(plant[0]), sorted(at for at, _ in plant[1])
    matched, _, _ = run(nearest(), events_of(*plant))
    for number, (seq, _) in matched.items():
        exposed_ns = stamps[seq - 1] - LATENCY_NS
        distance_ns = abs(exposed_ns - triggers[number - 1])
        assert -BEFORE_NS <= exposed_ns - triggers[number - 1] <= WINDOW_NS
        nearer = [n for n, t in enumerate(triggers, 1) if abs(t - exposed_ns) < distance_ns]
        for rival in set(nearer) & matched.keys():  # it did not want this frame: it had a nearer one
            rival_ns, taken_ns = triggers[rival - 1], stamps[matched[rival][0] - 1] - LATENCY_NS
            assert abs(taken_ns - rival_ns) <= abs(exposed_ns - rival_ns)
