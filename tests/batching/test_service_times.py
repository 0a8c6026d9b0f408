from __future__ import annotations

from itertools import pairwise

import pytest

from inspectd.batching.service_times import ServiceTimes


def known(one_ns: float = 10_000, full_ns: float = 17_000) -> ServiceTimes:
    times = ServiceTimes(8)
    times.use("r", one_ns, full_ns)
    return times


def test_what_is_not_known_takes_no_time():
    times = ServiceTimes(8)
    assert times.expected_ns("r", 8) == 0
    assert times.fitting("r", 0) == 8
    assert times.per_second() == {}
    times.learn("r", 8, 1000, 0)
    assert times.expected_ns("r", 8) == 0


def test_a_new_recipe_is_planned_with_what_scoring_measured():
    times = known()
    assert times.expected_ns("r", 1) == 10_000
    assert times.expected_ns("r", 8) == 17_000
    assert times.expected_ns("r", 2) == 11_000
    assert times.deviation_ns("r", 8) == 17_000 / 4
    assert times.fitting("r", 11_000) == 2
    assert times.fitting("r", 9_999) == 0
    assert times.fitting("r", -1) == 0


def test_a_steady_machine_takes_the_doubt_away():
    times = known()
    for _ in range(200):
        times.learn("r", 8, 17_000, 0)
    assert times.expected_ns("r", 1) == pytest.approx(10_000, rel=0.01)
    assert times.per_second()["r"] == pytest.approx(8e9 / 17_000, rel=0.01)


def test_a_slower_machine_is_known_after_a_few_batches_of_any_size():
    times = known()
    for _ in range(8):
        times.learn("r", 1, 20_000, 0)
    assert times.expected_ns("r", 8) > 28_000
    for _ in range(100):
        times.learn("r", 1, 20_000, 0)
    assert times.expected_ns("r", 8) == pytest.approx(34_000, rel=0.02)


def test_one_hiccup_is_no_new_machine():
    times = known()
    for _ in range(200):
        times.learn("r", 8, 17_000, 0)
    times.learn("r", 8, 17_000_000, 0)
    assert times.expected_ns("r", 8) < 2 * 17_000


@pytest.mark.parametrize(("full_ns", "limit"), [(80_000, 1), (74_000, 1), (60_000, 8), (10_000, 8)])
def test_a_batch_that_takes_as_long_as_its_images_is_not_worth_filling(full_ns, limit):
    assert known(full_ns=full_ns).batch_limit("r") == limit


def test_a_slow_time_is_forgotten_where_nothing_shows_whether_it_lasts():
    times = known()
    for _ in range(100):
        times.learn("r", 1, 30_000, 0)
    times.forget_stale(2_000_000_000)
    assert times.expected_ns("r", 1) == pytest.approx(30_000, rel=0.01)
    times.forget_stale(2_000_000_001)
    assert times.expected_ns("r", 1) == 10_000


def test_a_trial_is_had_now_and_then():
    times = known()
    times.learn("r", 1, 10_000, 5_000_000_000)
    assert [times.may_try("r", int(s * 1e9)) for s in (6, 7, 7.1, 8, 9.2)] == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_a_recipe_that_turns_out_as_slow_as_expected_is_tried_less_and_less_often():
    times = known()
    second, tried = 1_000_000_000, []
    for now in range(0, 200 * second, second):
        if times.may_try("r", now):
            tried.append(now // second)
            times.begin_trial("r")
            times.learn("r", 1, 10_000, now)
    assert [after - before for before, after in pairwise(tried)] == [5, 9, 17, 33, 33, 33, 33, 33]
    last = tried[-1] * second
    assert times.may_try("r", last + 33 * second)
    times.begin_trial("r")
    times.learn("r", 1, 5_000, last + 33 * second)  # it is not as slow as that
    assert times.may_try("r", last + 36 * second)


@pytest.mark.parametrize(("measured_ms", "takes_ms"), [(500, 50), (200, 90), (130, 96)])
def test_a_time_that_trials_show_to_be_wrong_refuses_parts_for_seconds(measured_ms, takes_ms):
    """It was measured beside other work; the deadline is 100 ms, and a part comes every 100 ms."""
    times, ms = known(measured_ms * 1e6, measured_ms * 1e6), 1_000_000
    for _ in range(20):
        times.learn("r", 1, measured_ms * ms, 0)
    tried_ns = []
    for now_ns in range(0, 300_000 * ms, 100 * ms):
        if times.expected_ns("r", 1) > 100 * ms and times.may_try("r", now_ns):
            tried_ns.append(now_ns)
            times.begin_trial("r")
            times.learn("r", 1, takes_ms * ms, now_ns)
    assert times.expected_ns("r", 1) <= 100 * ms
    assert tried_ns[-1] < 30_000 * ms


@pytest.mark.parametrize(("own_ns", "expected_ns"), [(30_000, 20_000), (15_000, 15_000)])
def test_a_process_that_takes_over_expects_the_shorter_of_what_both_know(own_ns, expected_ns):
    times, before = known(own_ns, own_ns), known(20_000, 20_000)
    times.use("new", 9_000, 9_000)
    times.follow(before)
    assert times.expected_ns("r", 1) == expected_ns
    assert times.expected_ns("new", 1) == (6_000 if own_ns == 30_000 else 9_000)


def test_a_slow_first_batch_is_soon_forgotten():
    times = known()
    times.learn("r", 1, 100_000, 0)
    for _ in range(5):
        times.learn("r", 1, 10_000, 0)
    assert times.expected_ns("r", 1) < 13_000
