import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.capture.driver import CameraError
from inspectd.capture.stream_clock import StreamClock

PERIOD_MS = 40.0


def play(clock, delays_ms):
    """Ages of frames taken every 40 ms that arrive with these delays, in order, never overtaking."""
    ages, arrival = [], 0.0
    for number, delay in enumerate(delays_ms, 1):
        arrival = max(arrival, 5_000 + number * PERIOD_MS + delay)
        ages.append(clock.age_ms(arrival, number * PERIOD_MS))
    return ages


@given(st.lists(st.floats(0, 2_000), min_size=1, max_size=300))
def test_an_age_is_never_negative_nor_above_the_true_delay(delays):
    ages = play(StreamClock(), [0.0, *delays])
    arrival = 0.0
    for number, (delay, age) in enumerate(zip([0.0, *delays], ages, strict=True), 1):
        arrival = max(arrival, number * PERIOD_MS + delay)
        true_delay = arrival - number * PERIOD_MS
        assert -1e-6 <= age <= true_delay + 1e-6
        assert age >= true_delay - 1e-3 * arrival - 1e-6


def test_the_backlog_after_a_stall_is_old_and_what_follows_is_not():
    stall = [3_000 - i * PERIOD_MS for i in range(75)]
    ages = play(StreamClock(), [*[10.0] * 50, *stall, *[10.0] * 50])
    assert max(ages[:50]) < 1
    assert ages[50] == pytest.approx(2_990, abs=20)
    assert sorted(ages[50:125], reverse=True) == ages[50:125]
    assert max(ages[125:]) < 20


def test_a_stream_that_stays_behind_stays_old():
    ages = play(StreamClock(), [*[10.0] * 50, *[3_000.0] * 500])
    assert min(ages[50:]) > 2_900


@pytest.mark.parametrize("drift", [-1e-4, 1e-4])
def test_clocks_that_drift_apart_for_a_month_make_no_frame_old(drift):
    clock = StreamClock()
    worst, month_ms = 0.0, 30 * 24 * 3600 * 1000.0
    for step in range(50_000):
        timestamp = 1 + step * month_ms / 50_000
        worst = max(worst, clock.age_ms(timestamp * (1 + drift), timestamp))
    assert worst < 1


def test_a_stream_without_timestamps_has_no_age():
    clock = StreamClock()
    assert {clock.age_ms(1_000.0 * i, 0.0) for i in range(100)} == {0.0}


@pytest.mark.parametrize("timestamp", [0, 40])
def test_a_missing_or_repeated_timestamp_is_as_old_as_the_one_before(timestamp):
    clock = StreamClock()
    clock.age_ms(101, 1)
    assert clock.age_ms(2_140, 40) == pytest.approx(2_000, abs=3)
    assert clock.age_ms(2_141, timestamp) == pytest.approx(2_000, abs=3)
    assert clock.age_ms(2_142, 80) == pytest.approx(1_962, abs=3)


def test_a_stream_whose_clock_goes_back_has_to_be_opened_anew():
    clock = StreamClock()
    play(clock, [0.0] * 100)
    with pytest.raises(CameraError, match="went back by 3960 ms"):
        clock.age_ms(20_000, 40)
