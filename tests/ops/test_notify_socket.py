"""The real daemon talks to a notify socket: ready when warm, fed by progress, silent while stuck."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspectd.scoring.stub import Behaviour
from tests.support.daemon import Daemon, camera_table, settings

INTERVAL_SECONDS = 4.0
SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; the kernel notes when each datagram came


class Manager:
    """The service manager's end of the notify socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(str(path))
        self.messages: list[tuple[float, str]] = []

    def times(self, message: str) -> list[float]:
        """When `message` came, each time, in Unix seconds."""
        self._read()
        return [at for at, text in self.messages if text == message]

    def _read(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(16))
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            self.messages.append((seconds + nanoseconds / 1e9, data.decode()))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    end = Manager(tmp_path / "notify")
    yield end
    end.close()


@pytest.mark.system
def test_systemd_is_told_the_truth(
    tmp_path: Path, manager: Manager, start_daemon: Callable[..., Daemon], stub_bank: Path, small_good: Path
) -> None:
    daemon = start_daemon(
        # Scoring that hangs is not replaced here: it is the watchdog that is looked at.
        settings(
            stub_bank, camera_table("cam1", small_good, fps=5), extra="[scoring]\nstall_timeout_ms = 600000"
        ),
        {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(int(INTERVAL_SECONDS * 1e6))},
        Behaviour(load_seconds=1.0),  # so that the reader is there when it is ready
    )

    daemon.until(lambda: manager.times("READY=1"), 60)
    daemon.until(lambda: daemon.reader.event("scoring_ready"))
    assert manager.times("READY=1")[0] >= daemon.reader.event("scoring_ready").utc_ns / 1e9
    assert manager.messages[0][1] == "READY=1"

    daemon.until(lambda: len(manager.times("WATCHDOG=1")) >= 4)
    fed = manager.times("WATCHDOG=1")
    assert max(later - earlier for earlier, later in itertools.pairwise(fed)) < INTERVAL_SECONDS

    for pid in daemon.children().values():  # a child must not speak in the daemon's name
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()

    scoring = daemon.children()["scoring"]
    os.kill(scoring, signal.SIGSTOP)
    stopped, judged = time.time(), len(daemon.reader.verdicts)
    daemon.until(lambda: time.time() - max(manager.times("WATCHDOG=1")) > INTERVAL_SECONDS, 30)
    assert max(manager.times("WATCHDOG=1")) < stopped + INTERVAL_SECONDS / 2 + 1
    daemon.until(
        lambda: len(daemon.reader.verdicts) > judged + 5
    )  # the line itself goes on: undecidable, on time

    os.kill(scoring, signal.SIGCONT)
    silent_until = time.time()
    daemon.until(lambda: max(manager.times("WATCHDOG=1")) > silent_until)

    assert daemon.stop(signal.SIGTERM) == 0
    assert len(manager.times("STOPPING=1")) == 1
    assert len(manager.times("READY=1")) == 1
    assert manager.messages[-1][1] == "STOPPING=1"
