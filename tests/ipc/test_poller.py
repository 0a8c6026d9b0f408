"""The poller knows up to when everything was read that came to a source."""

from __future__ import annotations

import os
import time

import pytest
import zmq

from inspectd.ipc.poller import Poller


class Pipe:
    """Something that can be read, a byte at a time."""

    def __init__(self):
        self.reading, self.writing = os.pipe()

    def fileno(self):
        return self.reading

    def send(self, count=1):
        os.write(self.writing, b"x" * count)

    def take(self):
        os.read(self.reading, 1)

    def close(self):
        os.close(self.reading)
        os.close(self.writing)


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now_ns = 1_000_000_000

    def __call__(self):
        return self.now_ns

    def passes(self, milliseconds):
        self.now_ns += int(milliseconds * 1e6)


def delays_ms(poller, pipe, clock):
    """How long ago, at most, what the callback reads may have come; in milliseconds, by call."""
    delays = []

    def read():
        pipe.take()
        delays.append((clock() - poller.known_ns(pipe)) / 1e6)

    poller.add(pipe, read)
    return delays


def test_what_is_read_came_after_the_source_was_last_seen_empty(pipe):
    clock = Clock()
    poller = Poller(clock)
    delays = delays_ms(poller, pipe, clock)
    poller.wait(0)  # empty
    for busy_ms in (7, 19):
        clock.passes(busy_ms)
        pipe.send()
        poller.wait(0)
        clock.passes(2)
        poller.wait(0)
        clock.passes(3)
        poller.wait(0)
    assert delays == [7, 19]


def test_a_backlog_that_takes_many_turns_is_counted_in_full(pipe):
    clock = Clock()
    poller = Poller(clock)
    delays = delays_ms(poller, pipe, clock)
    poller.wait(0)
    pipe.send(50)
    for _ in range(50):
        clock.passes(10)  # each turn takes so long and reads one message
        poller.wait(0)
    assert delays == [10 * n for n in range(1, 51)]
    clock.passes(10)
    poller.wait(0)
    assert clock() == poller.known_ns(pipe)


def test_while_something_is_on_its_way_nothing_more_is_known(pipe):
    clock, handed_on = Clock(), [True]
    poller = Poller(clock, lambda: handed_on[0])
    delays = delays_ms(poller, pipe, clock)
    poller.wait(0)
    handed_on[0] = False
    clock.passes(300)
    poller.wait(0)  # nothing there yet
    clock.passes(15)
    pipe.send()
    poller.wait(0)
    handed_on[0] = True
    clock.passes(40)
    poller.wait(0)
    clock.passes(15)
    pipe.send()
    poller.wait(0)
    assert delays == [315, 15]
    assert poller.take_longest_gap_ns() == 300_000_000
    assert poller.take_longest_gap_ns() == 0


def test_a_long_wait_goes_on_looking_and_is_no_standstill(pipe):
    poller = Poller()
    poller.add(pipe, pipe.take)
    poller.wait(0)
    poller.take_longest_gap_ns()
    began_ns = time.monotonic_ns()
    poller.wait(120_000_000)
    assert poller.known_ns(pipe) > began_ns + 100_000_000
    assert poller.take_longest_gap_ns() < 100_000_000


def test_a_poller_that_need_know_no_times_looks_seldom(pipe):
    looks = []
    poller = Poller(lambda: looks.append(None) or time.monotonic_ns(), look_ms=50)
    poller.add(pipe, pipe.take)
    poller.wait(40_000_000)
    assert len(looks) < 8  # a few for each look; every 5 ms they would be dozens


def test_each_source_has_a_time_of_its_own(pipe):
    clock = Clock()
    poller = Poller(clock)
    delays_ms(poller, pipe, clock)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.bind("tcp://127.0.0.1:*")
        poller.add(socket, lambda: None)
        assert poller.known_ns(socket) == 0  # it was not looked at yet
        clock.passes(1)
        pipe.send(3)
        for _ in range(2):
            poller.wait(0)
            clock.passes(1)
        assert (clock() - poller.known_ns(socket)) / 1e6 == 1
        assert poller.known_ns(pipe) == 0
