import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.capture.schedule import ReplaySchedule


class Clock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@given(st.floats(0.5, 500), st.lists(st.floats(0, 0.9), min_size=1, max_size=200))
def test_a_reader_that_is_a_little_late_each_time_does_not_make_it_drift(fps, latenesses):
    clock = Clock()
    schedule = ReplaySchedule(fps, clock)
    for number, lateness in enumerate(latenesses):
        clock.seconds += schedule.due_seconds()
        assert clock.seconds == pytest.approx(100 + number / fps, abs=1e-6)
        due = clock.seconds
        clock.seconds = due + lateness / fps
        schedule.taken()
        clock.seconds = max(clock.seconds, due)


def test_a_reader_that_is_very_late_gets_no_burst():
    clock = Clock()
    schedule = ReplaySchedule(10, clock)
    schedule.taken()
    clock.seconds += 60
    schedule.taken()
    burst = 0
    while schedule.due_seconds() == 0:
        schedule.taken()
        burst += 1
    assert burst <= 4


def test_a_short_delay_is_caught_up():
    clock = Clock()
    schedule = ReplaySchedule(10, clock)
    schedule.taken()
    clock.seconds += 0.35
    taken = 0
    while schedule.due_seconds() == 0:
        schedule.taken()
        taken += 1
    assert taken == 3
    assert schedule.due_seconds() == pytest.approx(0.05)


@given(st.floats(0.5, 200), st.floats(0, 0.999), st.floats(0, 1e6))
def test_frames_with_a_phase_keep_their_place_in_the_clocks_periods(fps, phase, start):
    clock = Clock()
    clock.seconds = start
    schedule = ReplaySchedule(fps, clock, phase)
    for _ in range(3):
        due = clock.seconds + schedule.due_seconds()
        place = due * fps - phase
        assert place == pytest.approx(round(place), abs=1e-4)
        assert due <= clock.seconds + 1 / fps + 1e-6
        clock.seconds = due
        schedule.taken()


def test_a_reader_that_is_very_late_comes_back_in_phase():
    clock = Clock()
    schedule = ReplaySchedule(10, clock, 0.5)
    clock.seconds += 60.01
    schedule.taken()
    assert clock.seconds + schedule.due_seconds() == pytest.approx(160.05)
