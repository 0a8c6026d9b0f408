"""The network namespaces of the fault suite. They take root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from faults import netns, processes
from faults.listener import wait_for

_HOLDS_A_LINK = """
import subprocess
from faults import netns

with netns.link() as link:
    reader = subprocess.Popen([*link.wrapper, "sleep", "600"])
    print(link.device, reader.pid, flush=True)
    reader.wait()
"""


def test_two_runs_have_cables_of_their_own():
    assert netns.missing() is None
    with netns.link() as first, netns.link() as second:
        assert first.here != second.here
        for link in (first, second):
            answer = subprocess.run(
                [*link.wrapper, "ip", "route", "get", link.here], check=True, capture_output=True
            )
            assert b"dev peer" in answer.stdout


def test_nothing_of_a_run_that_is_killed_is_left_for_the_next():
    assert netns.missing() is None
    command = [sys.executable, "-c", _HOLDS_A_LINK]
    with subprocess.Popen(command, env=processes.ENVIRONMENT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        device, reader = run.stdout.readline().split()
        assert Path("/sys/class/net", device).exists()
        os.kill(run.pid, signal.SIGKILL)
    wait_for(lambda: not processes.is_running(int(reader)), 10, "the reader goes on")
    wait_for(lambda: not Path("/sys/class/net", device).exists(), 10, f"{device} is left")
