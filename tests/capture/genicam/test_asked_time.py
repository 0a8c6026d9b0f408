"""How old a frame is at least, by a camera that was asked for its time."""

import random

import pytest

from inspectd.capture.genicam.asked_time import EVERY_NS, AskedTime
from inspectd.capture.genicam.device_clock import FrameSpan

SECOND, MS = 1_000_000_000, 1_000_000


def asked(device_ns=50 * SECOND, asked_ns=900 * SECOND, answered_ns=900 * SECOND + MS):
    time = AskedTime(20 * MS)
    time.answered(device_ns, asked_ns, answered_ns)
    return time


def test_nothing_is_known_of_a_camera_that_was_not_asked_or_of_a_frame_without_a_stamp():
    assert AskedTime(MS).latest_ns(SECOND, 2 * SECOND) is None
    assert asked().latest_ns(0, 901 * SECOND) is None


def test_a_frame_from_before_it_was_asked_is_never_younger_than_the_answer():
    time, chance = asked(), random.Random(1)
    for _ in range(1000):
        before_ns = int(chance.uniform(0, 49 * SECOND))
        latest_ns = time.latest_ns(50 * SECOND - before_ns, 901 * SECOND)
        assert latest_ns <= 900 * SECOND + MS
        assert 0 <= latest_ns - (900 * SECOND - before_ns) <= MS + 6e-4 * before_ns


@pytest.mark.parametrize("ppm", [-500, 0, 500])
def test_it_is_right_for_clocks_that_drift_and_is_asked_again_every_two_seconds(ppm):
    time = AskedTime(MS)
    for step in range(1, 200):
        true_ns = 900 * SECOND + step * 137 * MS
        device_ns = 7 * SECOND + int((true_ns - 900 * SECOND) * (1 + ppm / 1e6))
        if time.is_due(true_ns):
            last_ns = true_ns
            time.answered(device_ns, true_ns - MS // 2, true_ns + MS // 2)
        assert true_ns - last_ns <= EVERY_NS
        latest_ns = time.latest_ns(device_ns, true_ns + 30 * MS)
        assert 0 <= latest_ns - true_ns <= 3.5 * MS


def test_an_answer_that_took_long_bounds_frames_and_does_not_show_that_one_is_new():
    time = asked(answered_ns=900 * SECOND + 400 * MS)
    assert time.is_known
    assert not time.is_sharp(50 * SECOND)
    assert time.latest_ns(50 * SECOND - 300 * MS, 901 * SECOND) == pytest.approx(900.1 * SECOND, abs=MS)
    assert time.is_due(901 * SECOND)  # this machine may have been busy
    for _ in range(2):
        time.answered(50 * SECOND, 900 * SECOND, 900 * SECOND + 400 * MS)
    assert not time.is_due(901 * SECOND)  # the camera is slow: it is not asked for every frame
    assert time.is_due(903 * SECOND)
    time.answered(53 * SECOND, 903 * SECOND, 903 * SECOND + MS)
    assert time.is_sharp(53 * SECOND)


def test_an_answer_that_took_long_does_not_replace_one_that_says_more():
    time = asked()
    for second in (902, 904, 906):
        time.answered((second - 850) * SECOND, second * SECOND, second * SECOND + 400 * MS)
        held_ns = (second - 850) * SECOND - 300 * MS
        assert time.latest_ns(held_ns, second * SECOND + 450 * MS) < (second - 0.3) * SECOND + 10 * MS
        assert time.is_sharp(held_ns) == (second < 906)  # the clocks may have drifted apart since
    assert not time.is_due(908 * SECOND)
    assert time.is_due(909 * SECOND)
    time.answered(1000 * SECOND, 2000 * SECOND, 2000 * SECOND + 400 * MS)  # too long ago: it was set since
    assert not time.is_sharp(1000 * SECOND)
    assert time.latest_ns(1000 * SECOND, 2001 * SECOND) == 2000 * SECOND + 400 * MS


def test_after_a_pause_it_is_asked_before_a_frame_is_dated_and_one_that_answers_slowly_is_not():
    time, hour_ns = asked(), 3600 * SECOND
    assert not time.is_needed(51 * SECOND, 903 * SECOND)  # it is asked after the frame
    stamp_ns, now_ns = 50 * SECOND + hour_ns, 900 * SECOND + hour_ns
    assert time.is_needed(stamp_ns, now_ns)
    assert not time.is_needed(0, now_ns)  # nothing would date it
    time.refused("busy", now_ns)
    assert time.is_due(now_ns + 3 * SECOND)  # but no part waits for it
    assert not time.is_needed(stamp_ns, now_ns + 3 * SECOND)
    now_ns += hour_ns
    assert time.is_needed(stamp_ns, now_ns)
    time.answered(stamp_ns, now_ns, now_ns + 400 * MS)
    assert not time.is_sharp(stamp_ns)
    assert time.is_due(now_ns + SECOND)
    assert not time.is_needed(stamp_ns, now_ns + SECOND)
    time.answered(stamp_ns + 2 * SECOND, now_ns + 2 * SECOND, now_ns + 2 * SECOND + MS)
    assert not time.is_needed(stamp_ns + 60 * SECOND, now_ns + 60 * SECOND)


def test_a_camera_that_refuses_now_and_then_is_asked_again_and_what_it_said_holds():
    time = asked()
    for second in range(2, 14, 2):
        assert time.is_due((900 + second) * SECOND + MS)
        time.refused("busy", (900 + second) * SECOND)
        assert not time.is_due((901 + second) * SECOND)
        held_ns = (49 + second) * SECOND
        assert time.latest_ns(held_ns, (900 + second) * SECOND) < (899 + second) * SECOND + 15 * MS
    assert not time.take_remark()
    time.answered(66 * SECOND, 916 * SECOND, 916 * SECOND + MS)
    for second in range(18, 34, 2):
        assert time.is_known
        time.refused("busy", (900 + second) * SECOND)
    assert not time.is_known
    assert time.take_remark() == "the camera is not asked for its time any longer: busy"
    assert not time.is_due(1000 * SECOND)


def test_a_clock_that_was_set_ahead_is_asked_anew_and_another_clock_never_again():
    time = asked()
    assert time.latest_ns(60 * SECOND, 901 * SECOND) is None
    assert time.is_due(901 * SECOND)
    time.answered(60 * SECOND, 901 * SECOND, 901 * SECOND + MS)
    assert time.latest_ns(61 * SECOND, 902 * SECOND) == pytest.approx(902 * SECOND, abs=2 * MS)
    for second in range(8):
        time.answered(5 * SECOND, (910 + second) * SECOND, (910 + second) * SECOND)
        assert time.latest_ns(900 * SECOND, (911 + second) * SECOND) is None
    assert not time.is_due(10_000 * SECOND)
    assert "stamped by another clock, which is ahead of it" in time.take_remark()
    assert not time.take_remark()


def test_frames_that_are_all_late_are_said_and_stay_late():
    time, remarks = asked(), []
    for second in range(20):
        arrival_ns = (901 + second) * SECOND
        assert time.latest_ns((51 + second) * SECOND - 300 * MS, arrival_ns) < arrival_ns - 250 * MS
        remarks.append(time.take_remark())
    said = [remark for remark in remarks if remark]
    assert len(said) == 2
    assert "its frames come 29" in said[0]
    assert "late, expected 20 ms at most" in said[0]
    assert "ask_time = false" in said[0]


def test_one_frame_that_is_late_is_not_worth_a_word():
    time = asked()
    for second in range(20):
        late_ns = 5 * SECOND if second % 3 == 0 else 0
        time.latest_ns((51 + second) * SECOND - late_ns, (901 + second) * SECOND)
    assert not time.take_remark()


def test_of_the_span_that_its_frames_show_it_leaves_what_it_says_itself():
    time, stamp_ns = asked(), 51 * SECOND  # within a millisecond from 901 s on, and what clocks drift
    from_ns, until_ns = 901 * SECOND - MS, 901 * SECOND + 2 * MS
    latest_ns = time.latest_ns(stamp_ns, 902 * SECOND)

    def narrowed(first_ns, last_ns):
        span = time.narrowed(FrameSpan(first_ns, last_ns - first_ns), stamp_ns, latest_ns)
        return span.captured_ns, span.captured_ns + span.doubt_ns

    assert narrowed(901 * SECOND + 5 * MS, 901 * SECOND + 6 * MS) == (
        901 * SECOND + 5 * MS,
        901 * SECOND + 6 * MS,
    )
    first_ns, last_ns = narrowed(900 * SECOND, 902 * SECOND)  # it came late
    assert (from_ns < first_ns <= 901 * SECOND, last_ns) == (True, 902 * SECOND)
    first_ns, last_ns = narrowed(901 * SECOND - 9 * MS, 901 * SECOND - 8 * MS)  # its clock went back
    assert from_ns < first_ns <= 901 * SECOND < last_ns < until_ns
