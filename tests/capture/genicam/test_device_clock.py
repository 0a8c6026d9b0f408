"""A camera's own clock, placed on the machine's."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspectd.capture.genicam.device_clock import DeviceClock

SECOND, MS = 1_000_000_000, 1_000_000


def frames(ppm, hertz, seconds, seed, begins_ns=7 * SECOND):
    """True time, device's stamp and arrival of each frame; most are delayed a little, some by 30 ms."""
    chance = random.Random(seed)
    for number in range(1, int(hertz * seconds)):
        true_ns = 100 * SECOND + int(number * SECOND / hertz)
        stamp_ns = begins_ns + int((true_ns - 100 * SECOND) * (1 + ppm / 1e6))
        delay_ns = int(chance.expovariate(1 / (0.2 * MS))) + (30 * MS if chance.random() < 0.02 else 0)
        yield true_ns, stamp_ns, true_ns + delay_ns


@settings(max_examples=20)
@given(ppm=st.floats(-500, 500), hertz=st.sampled_from([2.0, 10.0, 40.0]), seed=st.integers(0, 10**6))
def test_a_fast_or_slow_clock_costs_less_than_a_millisecond(ppm, hertz, seed):
    clock = DeviceClock()
    for number, (true_ns, stamp_ns, arrival_ns) in enumerate(frames(ppm, hertz, 20, seed)):
        span = clock.place(stamp_ns, arrival_ns, waited=True)
        if true_ns < 106 * SECOND or number < 16:
            continue  # the drift is not known yet, and the doubt says so
        assert abs(span.captured_ns - true_ns) < MS
        assert span.doubt_ns < MS or arrival_ns > true_ns + 20 * MS  # held up, or the clock went back


def test_a_clock_that_is_500_ppm_fast_for_an_hour():
    clock = DeviceClock()
    worst_ns = max(
        abs(clock.place(stamp_ns, arrival_ns, waited=True, is_bounded=True).captured_ns - true_ns)
        for true_ns, stamp_ns, arrival_ns in frames(500, 2, 3600, seed=1)
    )
    assert worst_ns < 4 * MS  # in the first seconds, before the drift is known
    span = clock.place(7 * SECOND + int(3600 * SECOND * 1.0005), 3700 * SECOND, waited=True)
    assert abs(span.captured_ns - 3700 * SECOND) < MS


@pytest.mark.parametrize("jump_ms", [-5000, -200, -30, -10, 200, 5000])
def test_a_clock_that_jumps_is_noticed_and_never_dates_a_frame_wrongly_without_doubt(jump_ms):
    """By less than the time between two frames it may also have held them back, unless it says its time."""
    clock, remarks, jumped_ns = DeviceClock(), [], 130 * SECOND
    for true_ns, stamp_ns, arrival_ns in frames(50, 20, 60, seed=3, begins_ns=70 * SECOND):
        shift_ns = jump_ms * MS if true_ns >= jumped_ns else 0
        span = clock.place(stamp_ns + shift_ns, arrival_ns, waited=True, is_bounded=jump_ms in (-30, -10))
        remarks += [clock.take_remark()]
        if span is not None:
            assert span.captured_ns - MS < true_ns < span.captured_ns + span.doubt_ns + MS
        if span is not None and not jumped_ns <= true_ns < jumped_ns + SECOND:
            assert abs(span.captured_ns - true_ns) < 4 * MS
    said = [remark for remark in remarks if remark]
    assert len(said) == 1
    assert ("ahead" if jump_ms > 0 else "back") in said[0]
    assert float(said[0].split(" by ")[1].split(" ms")[0]) == pytest.approx(abs(jump_ms), abs=2)


@pytest.mark.parametrize("late_ms", [10, 19, 30, 500])
@pytest.mark.parametrize("waited", [True, False])
def test_frames_that_come_late_for_good_are_never_dated_anew_where_the_camera_does_not_say_its_time(
    late_ms, waited
):
    """It gives each at the next signal only, say: that looks like a clock that went back."""
    clock, said = DeviceClock(), []
    for number in range(1, 40_000):
        stamp_ns = number * 500 * MS
        late_ns = late_ms * MS if number > 30 else 0
        arrival_ns = 100 * SECOND + stamp_ns + late_ns
        span = clock.place(stamp_ns, arrival_ns, waited=waited or number <= 30)
        said.append(clock.take_remark())
        if number > 30:
            assert span.captured_ns <= 100 * SECOND + stamp_ns
            assert not waited or span.captured_ns + span.doubt_ns == arrival_ns
    assert f"the last 8 frames came late, now by {late_ms} ms" in said[37] or not waited
    assert len([text for text in said if text]) < (40_000 / 100 if waited else 1)


def test_frames_that_came_late_for_a_while_are_dated_again_when_they_come_as_before():
    clock = DeviceClock()
    for number in range(1, 10_000):
        stamp_ns = number * 100 * MS
        is_late = 200 <= number < 270 or 500 <= number < 1_500 or 3_000 <= number < 9_000
        span = clock.place(stamp_ns, 100 * SECOND + stamp_ns + (40 * MS if is_late else 0), waited=True)
        if number in {300, 2_999}:
            assert span.doubt_ns < MS
        # What the clocks may have drifted apart meanwhile: a little is trusted after a minute.
        assert number != 1_600 or 4 * MS < span.doubt_ns < 6 * MS
    assert 28 * MS < span.doubt_ns < 32 * MS


def test_a_camera_that_is_one_behind_is_not_taken_for_punctual_as_its_parts_come_slower_and_then_faster():
    clock, stamp_ns, said = DeviceClock(), 0, 0
    for number in range(1_500):
        interval_ms = 500 if number < 200 else min(600, 500 + (number - 200) / 8) if number < 1_300 else 100
        stamp_ns += int(interval_ms * MS)
        late_ns = int(interval_ms * MS) if number > 60 else 0
        span = clock.place(stamp_ns, 100 * SECOND + stamp_ns + late_ns, waited=True)
        said += bool(clock.take_remark())
        if number > 60:
            assert span.captured_ns <= 100 * SECOND + stamp_ns
            assert span.captured_ns + span.doubt_ns >= 100 * SECOND + stamp_ns
    assert said > 5


@pytest.mark.parametrize("late_before", [False, True])
def test_a_clock_that_jumps_ahead_is_placed_anew_where_delays_alternate_or_one_frame_was_late(late_before):
    clock, said = DeviceClock(), []
    for number in range(1, 400):
        stamp_ns = number * 200 * MS + (SECOND if number >= 300 else 0)
        late_ms = (30 if number == 299 else 0) if late_before else (60, 5)[number % 2]
        arrival_ns = 100 * SECOND + number * 200 * MS + late_ms * MS
        span = clock.place(stamp_ns, arrival_ns, waited=True)
        said += [clock.take_remark()]
    assert span is not None
    assert abs(span.captured_ns + span.doubt_ns - arrival_ns) < 70 * MS
    assert any("jumped ahead" in remark for remark in said)


@pytest.mark.parametrize("set_otherwise", [True, False])
def test_frames_that_take_a_little_longer_from_some_moment_stay_in_doubt_by_that_alone(set_otherwise):
    """As by a longer exposure where the camera stamps its beginning: for hours, and back, again and again."""
    clock = DeviceClock()
    for number in range(1, 60_000):
        stamp_ns = number * 500 * MS
        is_longer = number // 10_000 % 2
        if set_otherwise and number % 10_000 == 0:
            clock.expect_other_delays(-10 * MS if is_longer == 0 else 10 * MS)
        arrival_ns = 100 * SECOND + stamp_ns + (10 * MS if is_longer else 0)
        span = clock.place(stamp_ns, arrival_ns, waited=True)
        if number % 10_000 == 5_000:
            assert span.captured_ns <= 100 * SECOND + stamp_ns + (10 * MS if set_otherwise else 0)
            assert span.doubt_ns < (1 * MS if set_otherwise else 11 * MS)


@pytest.mark.parametrize("stamps_the_beginning", [True, False])
@pytest.mark.parametrize("exposures_ms", [(5, 60), (5, 20, 35), (5, 20, 50), (60, 5, 20)])
@pytest.mark.parametrize("frames_of_each", [1, 5, 300])
def test_exposures_in_turn_cost_doubt_by_what_they_differ_at_most_and_never_more_with_time(
    stamps_the_beginning, exposures_ms, frames_of_each
):
    """The first frame after a setting is still one of the exposure before, and one before it came late."""
    clock, number = DeviceClock(), 0
    for turn in range(3_000 // frames_of_each):
        exposure_ms = exposures_ms[turn % len(exposures_ms)]
        before_ms = exposures_ms[max(0, turn - 1) % len(exposures_ms)]
        if turn:
            clock.expect_other_delays((exposure_ms - before_ms) * MS)
        for shot in range(frames_of_each):
            number += 1
            shown_ms = (before_ms if shot == 0 else exposure_ms) if stamps_the_beginning else 0
            held_ms = 7 if frames_of_each == 300 and shot == 299 else 0
            stamp_ns = number * 200 * MS
            prompt_ns = 100 * SECOND + stamp_ns + (shown_ms + 1) * MS
            span = clock.place(stamp_ns, prompt_ns + held_ms * MS, waited=True)
            if number < 40:
                continue
            assert span.captured_ns <= prompt_ns
            assert span.doubt_ns < (max(exposures_ms) - min(exposures_ms) + held_ms + 2) * MS
            if 20 < shot < 290:
                assert span.doubt_ns < MS
    assert not clock.take_remark()


def test_a_camera_that_gives_each_frame_with_the_next_signal_from_a_setting_on_stays_in_doubt():
    clock = DeviceClock()
    for number in range(1, 400):
        stamp_ns = number * 500 * MS
        if number == 200:
            clock.expect_other_delays(55 * MS)
        span = clock.place(stamp_ns, 100 * SECOND + stamp_ns + (500 * MS if number > 200 else 0), waited=True)
        if number > 200:
            assert span.captured_ns <= 100 * SECOND + stamp_ns


@pytest.mark.parametrize(("ahead_ms", "doubt_ms"), [(30, 1), (15, 20)])
def test_one_odd_stamp_costs_no_more_doubt_with_time(ahead_ms, doubt_ms):
    clock = DeviceClock()
    for number in range(1, 20_000):
        true_ns = number * 200 * MS
        stamp_ns = true_ns + (ahead_ms * MS if number == 200 else 0)
        span = clock.place(stamp_ns, 100 * SECOND + true_ns, waited=True)
        if number > 40 and number != 200:
            assert span.captured_ns <= 100 * SECOND + true_ns
            assert span.doubt_ns < doubt_ms * MS


def test_of_a_camera_whose_frames_came_late_for_good_a_setting_makes_none_punctual():
    clock = DeviceClock()
    for number in range(1, 200):
        stamp_ns = number * 500 * MS
        span = clock.place(stamp_ns, 100 * SECOND + stamp_ns + (500 * MS if number > 50 else 0), waited=True)
        if number == 100:
            clock.expect_other_delays(50 * MS)
    assert span.captured_ns <= 100 * SECOND + stamp_ns


def test_a_clock_that_is_set_while_frames_come_late_dates_none_until_the_camera_says_its_time():
    clock = DeviceClock()
    for number in range(1, 100):
        stamp_ns = number * 500 * MS
        late_ns, back_ns = (500 * MS if number > 30 else 0), (5 * SECOND if number > 60 else 0)
        arrival_ns = 100 * SECOND + stamp_ns + late_ns
        span = clock.place(stamp_ns - back_ns, arrival_ns, waited=True)
        if number == 61:
            assert "went back by 5000 ms; its frames came late before, so none is" in clock.take_remark()
        assert number <= 60 or span is None
    for later_ns in (500 * MS, 1000 * MS):
        stamp_ns += 500 * MS
        span = clock.place(stamp_ns - back_ns, arrival_ns + later_ns, waited=True, is_bounded=True)
    assert span is not None


def test_nothing_is_known_before_a_frame_was_waited_for():
    clock = DeviceClock()
    assert clock.place(SECOND, 100 * SECOND, waited=False) is None
    assert clock.place(2 * SECOND, 101 * SECOND, waited=True) is not None


def test_frames_that_lay_in_the_camera_date_nothing_where_it_does_not_say_its_time():
    """Three from before it was opened come at once; the fourth shows it, and the fifth that it is true."""
    clock = DeviceClock()
    arrivals_ms = [(1000, 4000), (1500, 4010), (2000, 4020), (4300, 4300), (4800, 4801)]
    spans = [clock.place(stamp * MS, at * MS, waited=True) for stamp, at in arrivals_ms]
    assert spans[:4] == [None] * 4
    assert abs(spans[4].captured_ns - 4800 * MS) < 2 * MS


def test_a_camera_without_a_clock_dates_nothing():
    assert DeviceClock().place(0, 100 * SECOND, waited=True) is None


def test_a_backlog_that_drains_is_no_clock_that_went_back():
    clock = DeviceClock()
    for number in range(1, 300):
        stamp_ns = number * 40 * MS
        late_ns = max(0, 1400 - (number - 200) * 30) * MS if number >= 200 else 0
        span = clock.place(stamp_ns, 100 * SECOND + stamp_ns + late_ns, waited=True, is_bounded=True)
        assert abs(span.captured_ns - 100 * SECOND - stamp_ns) < 4 * MS
    assert not clock.take_remark()


def test_a_frame_that_lay_here_keeps_the_time_of_its_stamp():
    clock = DeviceClock()
    for number in range(200):
        clock.place(number * 50 * MS + 1, 100 * SECOND + number * 50 * MS, waited=True)
    span = clock.place(200 * 50 * MS + 1, 100 * SECOND + 200 * 50 * MS + 800 * MS, waited=False)
    assert abs(span.captured_ns - 110 * SECOND) < MS
    assert span.doubt_ns < MS
