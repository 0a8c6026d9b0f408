"""The poller knows how long nobody looked at its sources."""

from __future__ import annotations

import os

from inspectd.ipc.poller import Poller


class Pipe:
    """Something that can be read."""

    def __init__(self):
        self.reading, self.writing = os.pipe()
        os.write(self.writing, b"x")

    def fileno(self):
        return self.reading

    def close(self):
        os.close(self.reading)
        os.close(self.writing)


def test_a_busy_loop_and_a_process_that_stood_still_delay_what_is_read():
    now_ns = [0]
    poller, pipe, delays = Poller(lambda: now_ns[0]), Pipe(), []
    poller.add(pipe, lambda: delays.append(poller.delay_ns()))
    poller.wait(0)
    now_ns[0] += 7_000_000  # busy
    poller.wait(0)
    now_ns[0] += 300_000_000  # stopped
    poller.wait(0)
    now_ns[0] += 40_000_000  # what came meanwhile may be handed on a while later
    poller.wait(0)
    now_ns[0] += 60_000_000
    poller.wait(0)
    pipe.close()
    assert [round(delay_ns / 1e6) for delay_ns in delays] == [0, 7, 300, 340, 60]
