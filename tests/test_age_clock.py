"""By what time verdicts grow old: a clock that leaps ahead is not believed for a day."""

from __future__ import annotations

from inspectd.age_clock import AgeClock

DAY = 86_400 * 10**9
START = 1000 * DAY


def clock() -> AgeClock:
    made = AgeClock(7 * DAY)
    made.begin(START, 0)
    return made


def test_a_clock_that_goes_is_believed():
    made = clock()
    for hour in range(100):
        at = hour * DAY // 24
        assert made.now_ns(START + at, at) == START + at
        assert made.ahead_ns == 0


def test_a_weekend_is_believed_at_once():
    assert clock().now_ns(START + 3 * DAY, 1) == START + 3 * DAY


def test_a_leap_is_not_believed_for_a_day_and_then_is():
    made = clock()
    assert made.now_ns(START + 40 * DAY, 5) == START + 5
    assert made.ahead_ns == 40 * DAY - 5
    assert made.now_ns(START + 41 * DAY - 1, DAY - 1) == START + DAY - 1
    assert made.now_ns(START + 41 * DAY + 5, DAY + 5) == START + 41 * DAY + 5
    assert made.ahead_ns == 0


def test_a_day_may_have_a_restart_in_it():
    made = clock()
    made.now_ns(START + 40 * DAY, 5)
    held_ns = made.held_ns(DAY // 2 + 5)
    assert held_ns == DAY // 2
    again = AgeClock(7 * DAY)
    again.begin(START + DAY // 2, 100, held_ns)
    assert again.now_ns(START + 41 * DAY, 100 + DAY // 4) == START + 3 * DAY // 4
    assert again.held_ns(100 + DAY // 4) == 3 * DAY // 4
    assert again.now_ns(START + 41 * DAY, 100 + DAY // 2) == START + 41 * DAY
    assert again.held_ns(100 + DAY // 2) == 0


def test_a_leap_that_is_put_right_leaves_nothing_behind():
    made = clock()
    made.now_ns(START + 40 * DAY, 5)
    assert made.now_ns(START + 9, 9) == START + 9
    assert made.now_ns(START + 40 * DAY, 10) == START + 10, "the next one begins a day of its own"


def test_a_clock_that_goes_back_is_followed():
    made = clock()
    assert made.now_ns(START - 100 * DAY, 1) == START - 100 * DAY


def test_without_a_verdict_the_wall_clock_is_all_there_is():
    assert AgeClock(7 * DAY).now_ns(START, 0) == START
