"""A host that slept: nothing that was open before is judged after it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.daemon import camera_table, settings

from inspectd.host_sleep import HostSleepWatch, HostSleptError
from inspectd.ipc.poller import Poller
from inspectd.scoring.stub import Behaviour


class Clocks:
    """Both clocks of a host, of which the process may be held up between any two looks."""

    def __init__(self) -> None:
        self.awake_ns = self.asleep_ns = 0
        self.held_up_ns = 0

    def clock(self) -> int:
        self.awake_ns += self.held_up_ns
        return self.awake_ns

    def boot_clock(self) -> int:
        self.awake_ns += self.held_up_ns
        return self.awake_ns + self.asleep_ns


@pytest.mark.parametrize("held_up_ns", [0, 10_000_000_000])
def test_a_sleep_is_seen_and_a_process_that_is_held_up_is_none(held_up_ns: int) -> None:
    clocks = Clocks()
    clocks.held_up_ns = held_up_ns
    watch = HostSleepWatch(clocks.clock, clocks.boot_clock)
    for _ in range(100):
        watch.look()
    clocks.held_up_ns = 0
    clocks.asleep_ns = held_up_ns + 600_000_000_000
    with pytest.raises(HostSleptError, match=r"this host slept for 600\.0 s"):
        watch.look()


def test_what_came_is_not_handed_on_after_it() -> None:
    clocks = Clocks()
    poller = Poller(may_go_on=HostSleepWatch(clocks.clock, clocks.boot_clock).look)
    handed_on: list[Any] = []
    with open("/dev/zero", "rb") as source:
        poller.add(source, lambda: handed_on.append(source))
        poller.wait(0)
        clocks.asleep_ns = 1_000_000_000
        with pytest.raises(HostSleptError):
            poller.wait(0)
    assert len(handed_on) == 1


def test_a_line_ends_with_it_and_its_next_start_closes_what_was_open(
    start_daemon: Callable[..., Any], stub_bank: Path, small_good: Path, tmp_path: Path
) -> None:
    text = settings(stub_bank, camera_table("cam", small_good, fps=20), deadline_ms=60_000)
    slept = {"SLEPT_FILE": str(tmp_path / "slept")}
    daemon = start_daemon(text, slept, Behaviour(latency_ms=2000)).ready()
    daemon.until(
        lambda: len(daemon.reader.verdicts) > 5 and daemon.reader.heartbeats[-1].counts.in_flight > 5
    )
    while daemon.reader.read(200):  # a batch's verdicts come together: stopped amid them, the others follow
        pass
    daemon.process.send_signal(signal.SIGSTOP)
    while daemon.reader.read(200):
        pass
    before = len(daemon.reader.verdicts)
    (tmp_path / "slept").touch()
    daemon.process.send_signal(signal.SIGCONT)
    assert daemon.process.wait(10) == 3
    while daemon.reader.read(200):
        pass
    assert len(daemon.reader.verdicts) - before <= 1  # of the turn that was under way
    log = daemon.log.read_text()
    assert "this host slept for 600.0 s: what was open before is undecidable" in log
    assert "(systemctl mask sleep.target)" in log
    assert "Traceback" not in log
    again = start_daemon(text, {"STATE_DIRECTORY": str(daemon.folder / "state")}).ready()
    again.until(lambda: again.reader.heartbeats[-1].counts.restarted > 5)
