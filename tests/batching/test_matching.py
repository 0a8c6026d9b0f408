"""Which frame belongs to which trigger: by examples, and as properties over random plants."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.batching.matching import FirstAfter, Nearest
from inspectd.records import FrameRef, PendingView, Trigger

WINDOW_NS, BEFORE_NS, LATENCY_NS = 100, 40, 5


def view(number, at_ns, deadline_ns=10_000):
    return PendingView(
        number, "cam", "r", Trigger(str(number), received_ns=at_ns, source="plc"), at_ns + deadline_ns
    )


def frame(seq, captured_ns, doubt_ns=0):
    return FrameRef("cam", 1, seq, seq, captured_ns, 0, 2, 2, doubt_ns=doubt_ns)


def run(matcher, events, end_ns=100_000):
    """Play triggers `("t", time)` and frames `("f", time captured, delay)` and settle whenever asked to."""
    matched, missed, unclaimed = {}, [], []

    def settle(now_ns):
        settled = matcher.settle(now_ns, now_ns)
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
            matcher.add_frame(frame(next(numbers["f"]), at_ns))
        settle(now_ns)
    wake_until(end_ns)
    settle(end_ns)
    return matched, missed, unclaimed


def first_after():
    return FirstAfter(WINDOW_NS, (LATENCY_NS, LATENCY_NS))


def nearest(history=8):
    return Nearest(WINDOW_NS, BEFORE_NS, (LATENCY_NS, LATENCY_NS), history)


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
        assert matcher.settle(1029, 1029).missed == []
        assert [v.inspection_id for v in matcher.settle(1030, 1030).missed] == [1]


def test_a_view_that_ended_takes_its_turn_with_it():
    matcher = first_after()
    matcher.expect(view(1, 1000))
    matcher.expect(view(2, 1010, deadline_ns=20))
    assert [v.inspection_id for v in matcher.settle(1030, 1030).missed] == [2]
    matcher.add_frame(frame(1, 1040))  # shows the second part: not for the first
    settled = matcher.settle(1040, 1040)
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
        matcher.add_frame(frame(seq, 1000 + seq))
    settled = matcher.settle(1003, 1003)
    assert [f.seq for f in settled.unclaimed] == [1]
    matcher.expect(view(1, 1004))
    assert matcher.settle(1004, 1004).missed == []
    assert [f.seq for f in matcher.settle(2000, 2000).unclaimed] == [2]  # the third one was taken at last


@pytest.mark.parametrize("make", [first_after, nearest])
@pytest.mark.parametrize(
    ("lost_ns", "seq"),
    [
        (1020, None),
        (1006, None),
        (990, 3),
        (None, 3),
    ],  # the second one was lost perhaps just after the trigger
)
def test_a_frame_is_never_given_to_a_trigger_in_place_of_one_that_was_lost(make, lost_ns, seq):
    matcher = make()
    matcher.add_frame(frame(1, 940))
    if lost_ns == 990:
        matcher.lose_frame(lost_ns)
    matcher.expect(view(1, 1000))
    if lost_ns not in {990, None}:
        matcher.lose_frame(lost_ns)
    matcher.add_frame(frame(3, 1011))
    settled = [matcher.settle(now_ns, now_ns) for now_ns in (1011, 1030, 1200)]
    matcher.expect(view(2, 1500))  # one lost frame costs one part
    matcher.add_frame(frame(4, 1520))
    settled += [matcher.settle(now_ns, now_ns) for now_ns in (1520, 1560, 1700)]
    matched = {v.inspection_id: f.seq for each in settled for v, f in each.matched}
    assert matched == ({2: 4} if seq is None else {1: seq, 2: 4})
    assert [v.inspection_id for each in settled for v in each.missed] == ([1] if seq is None else [])
    assert sorted([*matched.values(), *(f.seq for each in settled for f in each.unclaimed)]) == [1, 3, 4]


def test_a_lost_frame_that_is_older_than_one_from_before_the_trigger_costs_nothing():
    """The line reads of both only after the trigger came."""
    matcher = first_after()
    matcher.expect(view(1, 1000))
    matcher.lose_frame(1010)
    matcher.add_frame(frame(2, 990))
    matcher.add_frame(frame(3, 1020))
    assert [f.seq for _, f in matcher.settle(1020, 1020).matched] == [3]


@pytest.mark.parametrize(("stamp_ns", "count"), [(1005, 1), (1003, 0)])
def test_a_frame_that_was_lost_after_it_may_be_nearer_than_one_from_before_the_trigger(stamp_ns, count):
    matcher = nearest()
    matcher.add_frame(frame(1, stamp_ns))
    matcher.expect(view(1, 999))
    for now_ns in (1010, 1020):
        matcher.lose_frame(now_ns)
    matcher.add_frame(frame(4, 1060))
    assert len(matcher.settle(1060, 1060).matched) == count


def test_given_up_is_everything_once():
    for matcher in (first_after(), nearest()):
        matcher.add_frame(frame(1, 1000))
        matcher.expect(view(1, 1002))
        settled = matcher.give_up()
        assert ([v.inspection_id for v in settled.missed], len(settled.unclaimed)) == ([1], 1)
        assert matcher.settle(9000, 9000) == ([], [], [])
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
def test_first_after_takes_no_frame_from_before_the_trigger_or_after_the_next(plant):
    triggers, stamps = sorted(plant[0]), sorted(at for at, _ in plant[1])
    matched, missed, _ = run(first_after(), events_of(*plant))
    for number, (seq, now_ns) in matched.items():
        exposed_ns = stamps[seq - 1] - LATENCY_NS
        assert triggers[number - 1] < exposed_ns
        assert not [t for t in triggers[number:] if t < exposed_ns]
        assert now_ns < triggers[number - 1] + WINDOW_NS
    assert all(now_ns <= triggers[number - 1] + WINDOW_NS for number, now_ns in missed)


def spread_after():
    return FirstAfter(WINDOW_NS, (5, 25))


@pytest.mark.parametrize(
    ("first_ns", "last_ns", "known_ns", "end"),
    [
        (1001, 1020, 1020, "matched"),
        (1000, 1020, 1020, "unclaimed"),  # perhaps exposed when the trigger came
        (1001, 1020, 1019, "held"),  # perhaps a trigger came that nobody has read
        (1001, 1040, 1050, "unclaimed"),  # perhaps exposed after the next trigger
        (1001, 1039, 1050, "matched"),
        (1046, 1049, 1050, "unclaimed"),  # after the next, which nobody took
    ],
)
def test_a_frame_is_given_only_where_all_of_its_span_is_one_triggers(first_ns, last_ns, known_ns, end):
    matcher = spread_after()
    matcher.expect(view(1, 1000))
    # The next one was read at 1045 and may have come since 1040; it was refused, and its part is there.
    matcher.pass_by(Trigger("2", received_ns=1045, doubt_ns=5, source="plc"))
    matcher.add_frame(frame(1, first_ns + 25, doubt_ns=last_ns - first_ns - 20))
    settled = matcher.settle(1050, known_ns)
    ends = {"matched": [f for _, f in settled.matched], "unclaimed": settled.unclaimed, "held": []}
    assert [name for name, frames in ends.items() if frames] == ([] if end == "held" else [end])
    if end == "held":
        assert matcher.wake_ns() == last_ns + 1050 - known_ns
        assert len(matcher.settle(1051, last_ns).matched) == 1


def test_a_trigger_that_was_read_after_the_frame_it_owns_gets_it_instead_of_an_older_one():
    matcher = first_after()
    matcher.expect(view(1, 1000))
    matcher.add_frame(frame(1, 1066))  # exposed at 1061, and read at once; the trigger of 1060 was not
    assert matcher.settle(1066, 1055) == ([], [], [])
    matcher.expect(
        PendingView(2, "cam", "r", Trigger("2", received_ns=1068, doubt_ns=10, source="plc"), 9000)
    )
    settled = matcher.settle(1069, 1069)
    assert ([f.seq for f in settled.unclaimed], settled.matched) == ([1], [])


def test_a_nearer_trigger_that_came_and_was_not_read_keeps_a_frame_from_an_older_one():
    matcher = nearest()
    matcher.expect(view(1, 1000))
    matcher.add_frame(frame(1, 1035))  # exposed at 1030: a trigger before 1060 would be nearer
    assert matcher.settle(1062, 1059) == ([], [], [])
    assert matcher.wake_ns() == 1063
    assert len(matcher.settle(1063, 1060).matched) == 1


def test_refused_triggers_without_end_take_no_room_and_change_nothing():
    for matcher in (first_after(), nearest()):
        matcher.expect(view(1, 1000))
        for at_ns in range(1020, 1060):
            matcher.pass_by(Trigger("x", received_ns=at_ns, source="plc"))
        matcher.expect(view(2, 1070))
        assert len(matcher.triggers) == 4
        for seq, captured_ns in enumerate((1007, 1026, 1050, 1077), start=1):
            matcher.add_frame(frame(seq, captured_ns))
        settled = [matcher.settle(now_ns, now_ns) for now_ns in (1080, 1100, 1170)]
        matched = [(v.inspection_id, f.seq) for each in settled for v, f in each.matched]
        assert matched == [(1, 1), (2, 4)]


class Plant(NamedTuple):
    """Parts and a camera as they truly are, and when a busy main process looks at what came of them."""

    triggers: list[tuple[int, bool]]  # when the part came, an even number; whether its trigger is taken
    frames: list[tuple[int, int, int, int, int]]  # exposed, latency, doubt, share of the doubt, delay
    pauses: list[int]  # between two looks


SHORTEST_NS, LONGEST_NS, DOUBT_NS = 2, 30, 40
plants_as_they_are = st.builds(
    Plant,
    st.lists(st.tuples(st.integers(500, 800).map(lambda n: 2 * n), st.sampled_from([True, True, False])),
             max_size=8, unique_by=lambda trigger: trigger[0]).map(sorted),
    st.lists(st.tuples(st.integers(500, 800).map(lambda n: 2 * n + 1), st.integers(SHORTEST_NS, LONGEST_NS),
                       st.integers(0, DOUBT_NS), st.integers(0, DOUBT_NS), st.integers(0, 40)),
             max_size=14, unique_by=lambda frame: frame[0]).map(sorted),
    st.lists(st.integers(5, 60), min_size=1, max_size=4),
)  # fmt: skip


def play(plant, matcher, end_ns=3000):
    """Let the main process look now and then; what was matched, as trigger number to exposure.

    A look finds every trigger that came before it, of the frames those too that came while it acts on that.
    """
    arrivals, last_ns = [], 0
    for number, (exposed_ns, latency_ns, doubt_ns, share_ns, delay_ns) in enumerate(plant.frames, start=1):
        reached_ns = exposed_ns + latency_ns
        captured_ns = reached_ns - min(share_ns, doubt_ns)
        last_ns = max(last_ns, reached_ns + delay_ns)
        arrivals.append((last_ns, frame(number, captured_ns, doubt_ns)))
    triggers, matched, ended = list(enumerate(plant.triggers, start=1)), {}, []
    known_ns = now_ns = 990
    pauses = itertools.cycle(plant.pauses)
    while known_ns < end_ns:
        looked_ns = now_ns + next(pauses) // 2
        now_ns = looked_ns + next(pauses) // 2 + 1
        while arrivals and arrivals[0][0] <= now_ns:
            matcher.add_frame(arrivals.pop(0)[1])
        while triggers and triggers[0][1][0] <= looked_ns:
            number, (_, is_taken) = triggers.pop(0)
            read_ns = looked_ns + 1
            trigger = Trigger(str(number), received_ns=read_ns, doubt_ns=read_ns - known_ns, source="plc")
            if is_taken:
                matcher.expect(PendingView(number, "cam", "r", trigger, read_ns + 400))
            else:
                matcher.pass_by(trigger)
        known_ns = looked_ns
        settled = matcher.settle(now_ns, looked_ns)
        for v, f in settled.matched:
            matched[v.inspection_id] = plant.frames[f.seq - 1][0]
            ended += [("t", v.inspection_id), ("f", f.seq)]
        ended += [("t", v.inspection_id) for v in settled.missed] + [("f", f.seq) for f in settled.unclaimed]
    expected = [("t", n) for n, (_, is_taken) in enumerate(plant.triggers, start=1) if is_taken]
    assert sorted(ended) == sorted(expected + [("f", n + 1) for n in range(len(plant.frames))])
    return matched


@given(plants_as_they_are)
def test_first_after_gives_no_part_a_picture_of_another_whatever_stamps_and_the_loop_do(plant):
    for number, exposed_ns in play(plant, FirstAfter(200, (SHORTEST_NS, LONGEST_NS))).items():
        before = [n for n, (came_ns, _) in enumerate(plant.triggers, start=1) if came_ns < exposed_ns]
        assert before[-1:] == [number]


@given(plants_as_they_are)
def test_nearest_gives_no_part_a_picture_of_another_whatever_stamps_and_the_loop_do(plant):
    for number, exposed_ns in play(plant, Nearest(200, 100, (SHORTEST_NS, LONGEST_NS), 8)).items():
        distances_ns = [abs(came_ns - exposed_ns) for came_ns, _ in plant.triggers]
        assert distances_ns[number - 1] == min(distances_ns)


@given(
    st.integers(1000, 1040),
    st.lists(
        st.tuples(st.integers(SHORTEST_NS, LONGEST_NS), st.integers(0, DOUBT_NS)), min_size=60, max_size=60
    ),
)
def test_parts_as_far_apart_as_the_latencys_spread_demands_are_never_missed(first_ns, drawn):
    """The spacing that docs/triggers.md names, with a loop that looks every 5 ns."""
    interval_ns, looks_ns = 21, 12
    spacing_ns = interval_ns + 2 * (LONGEST_NS - SHORTEST_NS + DOUBT_NS) + looks_ns
    spacing_ns += spacing_ns % 2
    triggers = [(2 * (first_ns // 2) + n * spacing_ns, True) for n in range(5)]
    frames = [(1001 + 22 * n, latency, doubt, doubt, 0) for n, (latency, doubt) in enumerate(drawn)]
    window_ns = LONGEST_NS * 2 + DOUBT_NS + interval_ns + looks_ns
    matched = play(Plant(triggers, frames, [5]), FirstAfter(window_ns, (SHORTEST_NS, LONGEST_NS)))
    assert list(matched) == [1, 2, 3, 4, 5]


class PartThatComes(NamedTuple):
    """A part, a camera's one picture of it, and which of the two signals are lost without a trace."""

    later_ns: int  # than the part before and the window
    has_trigger: bool
    has_frame: bool
    exposed_ns: int  # after it came
    frame: tuple[int, int, int, int]  # latency, doubt, share of the doubt, delay


parts_that_come = st.lists(
    st.builds(
        PartThatComes, st.integers(0, 20).map(lambda n: 2 * n), st.booleans(), st.booleans(),
        st.integers(0, 39).map(lambda n: 2 * n + 1),
        st.tuples(st.integers(SHORTEST_NS, LONGEST_NS), st.integers(0, DOUBT_NS), st.integers(0, DOUBT_NS),
                  st.integers(0, 20)),
    ),
    min_size=2, max_size=8,
)  # fmt: skip


@given(parts_that_come, st.integers(3, 12))
def test_with_a_window_below_the_time_between_parts_nothing_lost_gives_one_anothers_picture(parts, pause_ns):
    triggers, frames, at_ns, window_ns = [], [], 1000, 100
    for part in parts:
        at_ns += window_ns + part.later_ns
        triggers += [(at_ns, True)] if part.has_trigger else []
        frames += [(at_ns + part.exposed_ns, *part.frame)] if part.has_frame else []
    first_after = FirstAfter(window_ns - pause_ns, (SHORTEST_NS, LONGEST_NS))
    for number, exposed_ns in play(Plant(triggers, frames, [pause_ns]), first_after).items():
        assert 0 < exposed_ns - triggers[number - 1][0] < 80


@pytest.mark.parametrize("make", [first_after, nearest])
def test_while_triggers_may_have_been_lost_no_frame_is_an_older_triggers(make):
    """One part's frame was lost; the trigger of the next part was lost with its door, and its frame comes."""
    matcher = make()
    matcher.expect(view(1, 1000))
    matcher.pass_by(Trigger("", received_ns=1080, doubt_ns=70))
    matcher.add_frame(frame(1, 1050))
    settled = matcher.settle(1090, 1090)
    assert not settled.matched
    assert not matcher.settle(2000, 2000).matched


def of(source: str, number: int, came_ns: int, read_ns: int) -> PendingView:
    trigger = Trigger(str(number), received_ns=read_ns, doubt_ns=read_ns - came_ns, source=source)
    return PendingView(number, "cam", "r", trigger, read_ns + 1000)


@pytest.mark.parametrize("matcher", [first_after, nearest])
@pytest.mark.parametrize("is_taken", [True, False])
def test_of_two_senders_whose_triggers_overlap_none_is_given_the_others_picture(matcher, is_taken):
    # The second door is read late: its trigger may have come before the other's, or after it.
    made = matcher()
    if is_taken:
        made.expect(of("plc", 1, 1010, 1010))
    else:
        made.pass_by(of("plc", 1, 1010, 1010).trigger)
    made.settle(1011, 1005)  # what is not settled yet is not forgotten either
    made.expect(of("tcp", 2, 1000, 1030))
    made.add_frame(frame(1, 1050))
    made.add_frame(frame(2, 1090))
    assert made.settle(1095, 1095).matched == []
    assert made.settle(1130, 1130).matched == []


@pytest.mark.parametrize(("source", "owner"), [("plc", [2]), ("tcp", [])])
def test_triggers_of_one_sender_are_in_order_however_late_they_are_read(source, owner):
    matcher = first_after()
    matcher.expect(of("plc", 1, 1000, 1030))
    matcher.expect(of(source, 2, 1000, 1030))
    matcher.add_frame(frame(1, 1050))
    assert [view.inspection_id for view, _ in matcher.settle(1060, 1060).matched] == owner


def test_a_trigger_lost_before_others_were_read_keeps_its_place():
    matcher = first_after()
    matcher.expect(of("plc", 1, 1000, 1000))
    matcher.expect(of("plc", 2, 1200, 1200))
    matcher.pass_by(Trigger("", received_ns=1100, doubt_ns=50))  # with a door that died
    matcher.add_frame(frame(1, 1125))
    matcher.add_frame(frame(2, 1220))
    assert [view.inspection_id for view, _ in matcher.settle(1230, 1230).matched] == [2]


def test_of_refused_triggers_in_turn_one_of_another_sender_keeps_its_span():
    matcher = first_after()
    matcher.expect(of("plc", 1, 1000, 1005))
    for came_ns, read_ns, source in ((1040, 1041, "plc"), (1002, 1042, "tcp"), (1043, 1044, "plc")):
        matcher.pass_by(of(source, 9, came_ns, read_ns).trigger)
    matcher.add_frame(frame(1, 1035))  # the one over TCP may have come before it
    assert matcher.settle(1060, 1060).matched == []


@pytest.mark.parametrize(("matcher", "captured_ns"), [(first_after(), 1055), (nearest(), 1045)])
def test_of_refused_triggers_in_turn_one_of_another_sender_keeps_its_doubt(matcher, captured_ns):
    for came_ns, read_ns, source in ((1000, 1002, "plc"), (1021, 1024, "tcp"), (1009, 1026, "plc")):
        matcher.pass_by(of(source, 9, came_ns, read_ns).trigger)
    matcher.expect(of("plc", 1, 1010, 1030))  # the one over TCP, read before it, may have come after it
    matcher.add_frame(frame(1, captured_ns))
    settled = [matcher.settle(now_ns, now_ns) for now_ns in (1100, 1130)]
    assert [pair for each in settled for pair in each.matched] == []
    assert len(matcher.triggers) <= 3


@pytest.mark.parametrize("make", [first_after, nearest], ids=["first_after", "nearest"])
def test_what_is_remembered_of_the_last_frame_and_of_triggers_without_frames_goes(make):
    """As on a line: what is known moves on only where it is asked for."""
    matcher, known_ns = make(), 0

    def turn(now_ns):
        nonlocal known_ns
        needed_ns = matcher.needs_known_ns(known_ns)
        if needed_ns is not None and needed_ns <= now_ns:
            known_ns = now_ns
        return matcher.settle(now_ns, known_ns)

    matcher.add_frame(frame(1, 1_000))
    assert [seq for now_ns in range(1_000, 1_200, 5) for seq in (f.seq for f in turn(now_ns).unclaimed)] == [
        1
    ]
    assert matcher.is_empty
    for number in range(1_000):
        matcher.expect(view(number, 2_000 + 50 * number))
        turn(2_000 + 50 * number)
    turn(60_000)
    assert matcher.is_empty
    assert len(matcher.triggers) <= 70
