"""Timing against a clock that only scoring moves."""

import numpy as np
import pytest

from inspectd.bench.timing import Latency, summary, time_batches

FRAMES = [np.full((2, 2, 3), value, np.uint8) for value in range(5)]


class Machine:
    """10 ms a call, 2 ms a frame, 100 ms more every tenth call; a minute for each of the first three."""

    def __init__(self):
        self.seconds = 0.0
        self.batches = []

    def score(self, frames):
        self.batches.append([int(frame[0, 0, 0]) for frame in frames])
        calls = len(self.batches)
        milliseconds = 60_000 if calls <= 3 else 10 + 2 * len(frames) + (100 if calls % 10 == 0 else 0)
        self.seconds += milliseconds / 1000
        return {"backbone": milliseconds - 1.0, "search": 1.0}

    def clock(self):
        return self.seconds


def test_warm_up_is_left_out_and_percentiles_are_of_single_calls():
    machine = Machine()
    timing = time_batches(machine.score, FRAMES, 4, 5.0, machine.clock)
    assert timing.batch == 4
    assert timing.calls == len(machine.batches) - 3
    assert timing.latency.p50 == pytest.approx(18)
    assert timing.latency.p99 == pytest.approx(118)
    assert timing.stages_ms == {"backbone": pytest.approx(17), "search": 1.0}


def test_the_rate_counts_frames_and_every_slow_call():
    machine = Machine()
    timing = time_batches(machine.score, FRAMES, 4, 5.0, machine.clock)
    spent = machine.seconds - 180
    assert timing.images_per_second == pytest.approx(4 * timing.calls / spent)
    assert 5.0 <= spent < 5.2


def test_where_scoring_overlaps_the_rate_is_of_two_batches_under_way():
    machine, under_way, most = Machine(), 0, 0

    def begin(frames):
        nonlocal under_way, most
        assert len(frames) == 4
        under_way += 1
        most = max(most, under_way)
        machine.seconds += 0.004

        def collect():
            nonlocal under_way
            under_way -= 1
            machine.seconds += 0.006

        return collect

    timing = time_batches(machine.score, FRAMES, 4, 5.0, machine.clock, begin=begin)
    assert timing.images_per_second == pytest.approx(400, rel=0.01)
    assert timing.latency.p50 == pytest.approx(18)
    assert (under_way, most) == (0, 2)


def test_a_call_longer_than_the_time_given_is_still_measured_five_times():
    machine = Machine()
    assert time_batches(machine.score, FRAMES, 1, 0.001, machine.clock).calls == 5


def test_frames_are_taken_in_turn():
    machine = Machine()
    time_batches(machine.score, FRAMES, 2, 0.001, machine.clock)
    assert machine.batches[3:7] == [[0, 1], [2, 3], [4, 0], [1, 2]]


def test_the_summary_has_single_figures_of_the_smallest_batch():
    machine = Machine()
    timings = [time_batches(machine.score, FRAMES, batch, 1.0, machine.clock) for batch in (8, 1)]
    values = summary(timings)
    assert values["single_ms"] == {"p50": 12.0, "p99": 112.0}
    assert values["stages_ms"] == {"backbone": 11.0, "search": 1.0}
    assert list(values["images_per_second"]) == ["8", "1"]
    assert values["latency_ms_by_batch"]["8"]["p50"] == 26.0


def test_percentiles():
    latency = Latency.of(range(101))
    assert (latency.p50, latency.p99) == (50, 99)
