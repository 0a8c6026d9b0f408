import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.capture import stream
from inspectd.capture.stream_clock import StreamClock
from inspectd.video import Picture

PERIOD_MS = 40.0


def play(clock, delays_ms, ahead_ms=None, waited=True):
    """Ages of frames taken every 40 ms that arrive with these delays, in order, never overtaking.

    `ahead_ms` says by frame number, from 0, how far its timestamp lies ahead of the truth.
    """
    ages, arrival = [], 0.0
    for number, delay in enumerate(delays_ms):
        arrival = max(arrival, 5_000 + number * PERIOD_MS + delay)
        timestamp = 1_000 + number * PERIOD_MS + (ahead_ms or {}).get(number, 0.0)
        ages.append(clock.age_ms(arrival, timestamp, waited=waited))
    return ages


@given(st.lists(st.floats(0, 2_000), min_size=1, max_size=300))
def test_an_age_is_the_true_delay_but_for_what_two_clocks_drift(delays):
    ages = play(StreamClock(settle_ms=0), [0.0, *delays])
    arrival = 0.0
    for number, (delay, age) in enumerate(zip([0.0, *delays], ages, strict=True)):
        arrival = max(arrival, number * PERIOD_MS + delay)
        true_delay = arrival - number * PERIOD_MS
        drift = 2e-4 * (arrival + PERIOD_MS) + 1e-6
        assert max(0.0, true_delay - drift) <= age <= true_delay + drift


def test_the_backlog_after_a_stall_is_old_and_what_follows_is_not():
    stall = [3_000 - i * PERIOD_MS for i in range(75)]
    ages = play(StreamClock(settle_ms=0), [*[10.0] * 50, *stall, *[10.0] * 50])
    assert max(ages[:50]) < 1
    assert ages[50] == pytest.approx(2_990, abs=20)
    assert sorted(ages[50:125], reverse=True) == ages[50:125]
    assert max(ages[125:]) < 20


def jitter(seconds, seed=1):
    chance = random.Random(seed)
    return [10.0 + chance.expovariate(1 / 3) for _ in range(int(seconds * 1000 / PERIOD_MS))]


@pytest.mark.parametrize("behind_ms", [30.0, 600.0, 3_000.0])
def test_a_stream_that_stays_behind_stays_old_and_says_so_until_it_is_right_again(behind_ms):
    clock = StreamClock(settle_ms=0)
    before, behind = jitter(10), [behind_ms + delay for delay in jitter(3_600)]
    drained = [max(0.0, behind_ms - 3 * number) + 10 for number in range(1_000)]
    ages = play(clock, [*before, *behind, *drained, *jitter(10)])
    first, last = len(before), len(before) + len(behind)
    assert behind_ms - 2 < min(ages[first:last]) <= max(ages[first:last]) < behind_ms + 60
    assert max(ages[-250:]) < 60
    assert sum(age < 10 for age in ages[-250:]) > 200
    assert "every frame has come late, now by" in clock.take_remark()


def test_a_stream_that_is_behind_by_more_and_less_in_turn_becomes_no_newer():
    """A relay sends a little too slowly, and leaves frames out when it has too many."""
    saw = [600 + number % 1_500 * 0.04 for number in range(90_000)]
    ages = play(StreamClock(settle_ms=0), [*jitter(10), *saw])
    assert min(ages[250:]) > 570


def test_a_stream_that_is_behind_still_is_when_its_clock_is_set():
    for step_ms in (-5_000.0, 5_000.0):
        delays = [*[10.0] * 250, *[610.0] * 250]
        ages = play(StreamClock(), delays, dict.fromkeys(range(300, 500), step_ms))
        assert ages[-1] == pytest.approx(600, abs=2)


@pytest.mark.parametrize(("slow", "back_ms"), [(0.002, 0.0), (0.01, 0.0), (0.0, 30.0)])
def test_frames_whose_time_stamps_fall_back_may_be_as_new_as_their_arrival_and_older(slow, back_ms):
    """As it looks they were held up: what the arrival and the stamp say is the span of time in between."""
    clock, said = StreamClock(settle_ms=0), []
    for number in range(3_000):
        taken_ms = number * PERIOD_MS
        stamp_ms = taken_ms * (1 - slow) - (back_ms if number >= 1_000 else 0)
        age_ms = clock.age_ms(5_000 + taken_ms, stamp_ms, waited=True)
        assert age_ms >= taken_ms - stamp_ms - 17
        said.append(clock.take_remark())
    assert age_ms == pytest.approx(taken_ms - stamp_ms, abs=3)
    assert next(text for text in said if text).startswith("for 5 s every frame has come late, now by")
    assert len([text for text in said if text]) < 4


def test_a_frame_that_came_late_may_have_been_taken_until_it_came():
    picture = Picture(np.zeros((8, 8, 3), np.uint8), 0.0, True, False, None)
    frame = stream._frame(picture, (7_000_000_000, 7_000_000_000), age_ms=600.0)
    assert (frame.captured_ns, frame.doubt_ns) == (6_400_000_000, 600_000_000)


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_clocks_that_drift_apart_for_a_day_make_no_frame_old(drift):
    clock = StreamClock(settle_ms=0)
    worst = 0.0
    for second in range(1, 86_400):
        timestamp = second * 1000.0
        worst = max(worst, clock.age_ms(timestamp * (1 + drift), timestamp, waited=True))
    assert worst < 1


def test_nothing_is_known_until_a_frame_was_waited_for():
    clock = StreamClock(settle_ms=0)
    assert set(play(clock, [50.0] * 20, waited=False)) == {None}
    assert clock.age_ms(10_000, 5_950, waited=True) is not None


def test_what_a_connection_begins_with_does_not_become_the_measure():
    """A burst of 2 s that had piled up, then frames as they come."""
    clock = StreamClock(settle_ms=0)
    for number in range(50):
        assert clock.age_ms(10_000 + number, 1_000 + number * PERIOD_MS, waited=False) is None
    ages = [
        clock.age_ms(10_050 + number * PERIOD_MS, 3_000 + number * PERIOD_MS, waited=True)
        for number in range(20)
    ]
    late = clock.age_ms(10_050 + 21 * PERIOD_MS + 700, 3_000 + 21 * PERIOD_MS, waited=True)
    assert ages[-1] == pytest.approx(0, abs=1)
    assert late == pytest.approx(700, abs=20)


def test_a_frame_without_a_time_or_with_that_of_another_has_no_age():
    clock = StreamClock(settle_ms=0)
    play(clock, [10.0] * 10)
    assert clock.age_ms(5_410, None, waited=True) is None
    assert clock.age_ms(5_410, 1_000 + 9 * PERIOD_MS, waited=True) is None
    assert clock.age_ms(5_410, 1_000 + 10 * PERIOD_MS, waited=True) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("ahead_ms", [30.0, 950.0, 36_000_000.0, 40 * 24 * 3_600_000.0])
def test_one_odd_timestamp_has_no_lasting_effect_and_is_said(ahead_ms):
    clock = StreamClock(settle_ms=0)
    ages = play(clock, [10.0] * 200, {100: ahead_ms})
    assert ages[100] is None
    assert max(ages[:100] + ages[101:]) < 1
    assert "ignored" in clock.take_remark()
    assert clock.take_remark() == ""


@given(st.floats(20, 1e9), st.integers(0, 49))
def test_one_odd_timestamp_in_fifty_does_no_harm_for_ever(ahead_ms, phase):
    odd = dict.fromkeys(range(50 + phase, 1000, 50), ahead_ms)
    ages = play(StreamClock(settle_ms=0), [10.0] * 1000, odd)
    assert {number for number, age in enumerate(ages) if age is None} == set(odd)
    assert max(age for age in ages if age is not None) < 2


@pytest.mark.parametrize("back_ms", [60.0, 900.0, 86_400_000.0])
def test_a_clock_that_goes_back_is_taken_anew_at_once(back_ms):
    clock = StreamClock(settle_ms=0)
    ages = play(clock, [10.0] * 100, dict.fromkeys(range(50, 100), -back_ms))
    assert max(ages) < 1
    assert f"went back by {back_ms:.0f} ms" in clock.take_remark()


def test_a_clock_that_jumps_ahead_is_believed_once_others_agree():
    clock = StreamClock(settle_ms=0)
    ages = play(clock, [10.0] * 100, dict.fromkeys(range(50, 100), 5000.0))
    assert ages[50:52] == [None, None]
    assert max(ages[52:]) < 1
    assert "jumped ahead by 5000 ms" in clock.take_remark()


@pytest.mark.parametrize("rate", [1.05, 1.15, 1.5])
def test_a_backlog_that_drains_slowly_from_the_start_is_not_new(rate):
    """The link was down for a second, and then runs a little above the stream's own rate."""
    clock, arrival = StreamClock(), 5_000.0
    for number in range(3_000):
        taken = 4_000.0 + number * PERIOD_MS
        arrival = max(arrival + PERIOD_MS / rate, taken)
        age = clock.age_ms(arrival, taken, waited=True)
        assert age is None or age >= arrival - taken - 2 * 3.0 - 2e-4 * number * PERIOD_MS
    assert age == pytest.approx(0, abs=1)


@pytest.mark.parametrize("rate", [1.01, 1.03])
def test_a_pause_while_a_backlog_drains_does_not_make_the_rest_of_it_new(rate):
    """Whatever the link holds back meanwhile: that nothing came quicker during a pause shows nothing."""
    for seed in range(20):
        clock, chance, arrival, resumed = StreamClock(), random.Random(seed), 5_000.0, 0.0
        pauses = {chance.randrange(500): chance.uniform(300, 1_200) for _ in range(3)}
        for number in range(2_000):
            taken = 3_500.0 + number * PERIOD_MS
            arrival = max(arrival + PERIOD_MS / rate, taken)
            here = arrival + chance.expovariate(1 / 2)
            resumed = here + pauses.get(number, -1e9) if number in pauses else resumed
            here = max(here, resumed)
            age = clock.age_ms(here, taken, waited=True)
            assert age is None or age >= here - taken - 30


def test_one_quick_delivery_does_not_begin_the_second_anew_where_there_was_one_as_quick_before():
    delays = [10.0] * 5 + [7.5] + [10.0] * 14 + [6.5] + [10.0] * 20
    ages = play(StreamClock(), delays)
    assert [age is not None for age in ages] == [False] * 30 + [True] * 11


def test_a_stream_that_is_not_held_up_settles_within_a_second():
    ages = play(StreamClock(), [10.0] * 40)
    assert ages[24] is None
    assert ages[25] == pytest.approx(0, abs=1)
