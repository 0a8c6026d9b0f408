"""The demo's daemon: its configuration, its process, and its messages until it has stopped."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from inspectd.cli.daemon_process import STOP_SECONDS, DaemonProcess
from inspectd.cli.demo_data import CAMERAS
from inspectd.client import Liveness, LiveReader, Message
from inspectd.errors import ExitCode, InspectdError
from inspectd.files import temporary_root, write_text
from inspectd.wire import Event, Heartbeat, LineState

PLANT: Final = "demo"
LINE: Final = "line1"
BANK: Final = "demo.bank"
IMAGES: Final = "images"
_START_SECONDS: Final = 180.0
_STALL_SECONDS: Final = 30.0
_SETTLE_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.1
_SOCKET_PATH_LIMIT: Final = 80
_PORTS: Final = {"verdicts": 5571, "heatmaps": 5572, "metrics": 9464}


class LineFile(msgspec.Struct, frozen=True):
    """Contents of `demo.toml`, and the places of its sockets."""

    path: Path
    fps: float
    loop: bool
    runtime_dir: Path
    ports: dict[str, int]
    any_size: bool = False

    def write(self) -> None:
        """Write the file."""
        write_text(self.path, self._text())

    def endpoint(self, name: str) -> str:
        """The local endpoint of `verdicts` or `heatmaps`."""
        return f"ipc://{self.runtime_dir}/{name}.sock"

    def _text(self) -> str:
        cameras = "".join(self._camera(name, seed) for seed, name in enumerate(CAMERAS, start=1))
        sizes = "\nany_size = true" if self.any_size else ""
        return f"""\
# Written by `inspectd demo`. Run it again with: inspectd run {self.path}
[line]
plant = "{PLANT}"
name = "{LINE}"
deadline_ms = 1000.0
runtime_dir = {_quoted(self.runtime_dir)}
state_dir = {_quoted(self.path.parent / "state")}

[[recipes]]
name = "demo"
bank = {_quoted(BANK)}{sizes}
{cameras}
[publish]
verdicts_tcp = "127.0.0.1:{self.ports["verdicts"]}"
heatmaps_tcp = "127.0.0.1:{self.ports["heatmaps"]}"

[metrics]
port = {self.ports["metrics"]}
"""

    def _camera(self, name: str, seed: int) -> str:
        return f"""
[[cameras]]
name = "{name}"
kind = "images"
recipe = "demo"
folder = {_quoted(f"{IMAGES}/{name}")}
fps = {self.fps}
loop = {json.dumps(self.loop)}
shuffle_seed = {seed}
when_full = "drop"
"""


class LineRun:
    """Follows one run of the daemon from its first heartbeat to its last event.

    Args:
        daemon: the running daemon.
        reader: connected to its verdicts and heatmaps.
        on_message: called with every message.
        on_turn: called about ten times a second, to draw.
    """

    def __init__(
        self,
        daemon: DaemonProcess,
        reader: LiveReader,
        on_message: Callable[[Message], None],
        on_turn: Callable[[], None],
    ) -> None:
        self._daemon = daemon
        self._reader = reader
        self._on_message = on_message
        self._on_turn = on_turn
        self._tracker = reader.line(PLANT, LINE)
        self._heartbeat: Heartbeat | None = None
        self._stopped: Event | None = None

    def start(self) -> None:
        """Return when the line runs: every bank is loaded and warm.

        Raises:
            InspectdError: the daemon died or takes too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while self._heartbeat is None or self._heartbeat.state != LineState.RUNNING:
            if time.monotonic() > deadline:
                raise self._failure(f"the line does not start: waited {_START_SECONDS:.0f} s")
            self._turn()

    def inspect(self, seconds: float | None) -> None:
        """Return after `seconds`, or, without, when every camera's replay has ended in verdicts.

        Raises:
            InspectdError: the daemon died, or the line makes no progress.
        """
        began = time.monotonic()
        progress, changed_at = (-1, -1), began
        while True:
            self._turn()
            now = time.monotonic()
            heartbeat = self._heartbeat
            assert heartbeat is not None, "start() returns after a heartbeat"
            if seconds is None and _is_through(heartbeat):
                return
            if seconds is not None and now - began >= seconds:
                return
            counts = heartbeat.counts
            if (counts.captured, counts.verdicts) != progress:
                progress, changed_at = (counts.captured, counts.verdicts), now
            if now - changed_at > _STALL_SECONDS:
                raise self._failure(f"the line made no progress for {_STALL_SECONDS:.0f} s")

    def stop(self) -> Event:
        """Stop the daemon and return its last event, which holds the final counts.

        Raises:
            InspectdError: it died, or did not stop in time and in order.
        """
        self._daemon.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while self._daemon.poll() is None and time.monotonic() < deadline:
            self._read(_POLL_SECONDS)
        while self._read(_SETTLE_SECONDS):
            # What was still on its way, heatmaps among it.
            continue
        if self._daemon.poll() != ExitCode.OK:
            raise self._failure("the daemon did not stop in order")
        if self._stopped is None:
            raise self._failure("the daemon stopped without announcing it on the bus")
        return self._stopped

    def _turn(self) -> None:
        """Take in what arrives until the next drawing is due."""
        due = time.monotonic() + _POLL_SECONDS
        while (remaining_seconds := due - time.monotonic()) > 0:
            self._read(remaining_seconds)
        if self._daemon.poll() is not None:
            raise self._failure("the daemon died")
        if self._tracker.liveness is Liveness.STALE and self._tracker.silent_seconds > STOP_SECONDS:
            raise self._failure(f"no heartbeat for {STOP_SECONDS:.0f} s")
        self._on_turn()

    def _read(self, timeout_seconds: float) -> bool:
        message = self._reader.receive(timeout_seconds)
        if message is None:
            return False
        match message:
            case Heartbeat():
                self._heartbeat = message
            case Event(event="stopped"):
                self._stopped = message
        self._on_message(message)
        return True

    def _failure(self, complaint: str) -> InspectdError:
        code = self._daemon.poll()
        state = "still running" if code is None else f"exit code {code}"
        return InspectdError(
            f"{complaint} ({state}); the end of {self._daemon.log}:\n{self._daemon.log_tail()}"
        )


def runtime_dir(work: Path) -> Path:
    """A short directory for the sockets of the demo in `work`, its own for every user and every `work`."""
    digest = hashlib.sha256(str(work.resolve()).encode()).hexdigest()[:8]
    preferred = temporary_root() / f"inspectd-{os.getuid()}" / f"demo-{digest}"
    fits = len(str(preferred).encode()) <= _SOCKET_PATH_LIMIT
    return preferred if fits else work.resolve() / "run"


def free_ports() -> dict[str, int]:
    """The usual ports; one that is in use is replaced by a free one."""
    ports: dict[str, int] = {}
    for name, usual in _PORTS.items():
        ports[name] = usual if _is_free(usual) else any_port()
    return ports


def _is_through(heartbeat: Heartbeat) -> bool:
    return heartbeat.counts.in_flight == 0 and all(phase == "ended" for phase in heartbeat.cameras.values())


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def any_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quoted(text: str | Path) -> str:
    # A JSON string is a TOML basic string too.
    return json.dumps(str(text), ensure_ascii=False)
