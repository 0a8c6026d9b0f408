"""The daemon for tests: a configuration on disk, `inspectd run` as a process, a reader on its bus."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from inspectd import wire
from inspectd.cli.daemon_process import DaemonProcess
from inspectd.scoring.stub import Behaviour
from inspectd.wire import PartVerdict, Verdict
from inspectd.wire.shadow import ShadowScore

WELL = Behaviour()
"""Of a stub that does what it should."""

_QUIET_SECONDS = 2.0
"""After so long nothing more comes, though no end of the connection was seen."""

_STUB_DAEMON = Path(__file__).with_name("stub_daemon.py")


class Reader:
    """Collects everything a daemon publishes on its verdicts socket."""

    def __init__(self, endpoint: str) -> None:
        """Subscribe to all of `endpoint`; it need not exist yet."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.subscribe(b"")
        self._seen = self._socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
        self._connections = 0
        self._socket.connect(endpoint)
        self.verdicts: list[Verdict] = []
        self.parts: list[PartVerdict] = []
        self.late: list[wire.Late] = []
        self.events: list[wire.Event] = []
        self.heartbeats: list[wire.Heartbeat] = []
        self.shadows: list[ShadowScore] = []

    def read(self, timeout_ms: int = 100) -> bool:
        """Take what is there, waiting for the first message only; False when none came."""
        came = False
        while self._socket.poll(timeout_ms):
            header = wire.decode(self._socket.recv_multipart()[1])
            for kind, kept in (
                (Verdict, self.verdicts),
                (PartVerdict, self.parts),
                (wire.Late, self.late),
                (wire.Event, self.events),
                (wire.Heartbeat, self.heartbeats),
                (ShadowScore, self.shadows),
            ):
                if isinstance(header, kind):
                    kept.append(header)  # type: ignore[arg-type]
            timeout_ms, came = 0, True
        return came

    def until(self, condition: Callable[[], Any], timeout_seconds: float = 30.0) -> None:
        """Read until `condition` holds."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            assert time.monotonic() < deadline, (
                f"not within {timeout_seconds} s; last events {self.events[-5:]}"
            )
            self.read()

    def read_to_the_end(self) -> None:
        """Take the last messages of a daemon that has ended; they may come one by one, and late."""
        quiet_at = time.monotonic() + _QUIET_SECONDS
        while time.monotonic() < quiet_at:
            if self.read(20):
                quiet_at = time.monotonic() + _QUIET_SECONDS
            elif self._is_cut_off():
                self.read(20)
                return

    def _is_cut_off(self) -> bool:
        """Its connection has ended, and what had come over it is there to be read."""
        while self._seen.poll(0):
            is_new = recv_monitor_message(self._seen)["event"] == zmq.EVENT_CONNECTED
            self._connections += 1 if is_new else -1
        return self._connections == 0

    def event(self, name: str) -> wire.Event | None:
        """The last event of that name."""
        return next((event for event in reversed(self.events) if event.event == name), None)

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(linger=0)


class Daemon:
    """A running `inspectd run`, its log and a reader that was there from its first message.

    Args:
        folder: for its settings, sockets, state and log.
        text: its settings.
        environment: more variables.
        behaviour: of the stub that scores; None: the real scoring process does.
        stderr: descriptor of where its log goes; None: a file in `folder`.
    """

    def __init__(
        self,
        folder: Path,
        text: str,
        environment: dict[str, str] | None = None,
        *,
        behaviour: Behaviour | None = None,
        stderr: int | None = None,
    ) -> None:
        self.folder = folder
        self.runtime_dir = folder / "run"
        self.file = folder / "line.toml"
        self.log = folder / "log"
        self.file.write_text(text)
        if behaviour is not None:
            self.behave(behaviour)
        self.reader = Reader(f"ipc://{self.runtime_dir}/verdicts.sock")
        self.process = DaemonProcess(
            self.file,
            self.log,
            command=[sys.executable, *(["-m", "inspectd"] if behaviour is None else [str(_STUB_DAEMON)])],
            environment={
                "RUNTIME_DIRECTORY": str(self.runtime_dir),
                "STATE_DIRECTORY": str(folder / "state"),
                **(environment or {}),
            },
            stderr=stderr,
        )

    def ready(self, timeout_seconds: float = 60.0) -> Daemon:
        """Wait until scoring is warm and every camera is up."""
        self.until(lambda: "up" in self.phases() and set(self.phases()) <= {"up", "ended"}, timeout_seconds)
        return self

    def until(self, condition: Callable[[], Any], timeout_seconds: float = 30.0) -> None:
        """Read the bus until `condition` holds; a daemon that ended meanwhile fails the test with its log."""

        def alive_and() -> Any:
            assert self.process.poll() is None, f"the daemon ended: {self.process.log_tail()}"
            return condition()

        self.reader.until(alive_and, timeout_seconds)

    def phases(self) -> list[str]:
        """Each camera's phase in the last heartbeat."""
        return list(self.reader.heartbeats[-1].cameras.values()) if self.reader.heartbeats else []

    def behave(self, behaviour: Behaviour) -> None:
        """Have the stub that scores behave so, from its next batch or start on."""
        new = self.folder / "behaviour.json.new"
        new.write_bytes(msgspec.json.encode(behaviour))
        new.rename(self.folder / "behaviour.json")

    def children(self) -> dict[str, int]:
        """Process id of each child by its job: `scoring`, `scoring-1`, `door:local`, or the camera's name."""
        found = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                words = (status.parent / "cmdline").read_bytes().decode().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended while we looked
            if parent == self.process.pid and "-m" in words:
                job = words[words.index("-m") + 1].split(".")[1]  # inspectd.scoring.worker
                name = words[words.index("--camera") + 1] if "--camera" in words else job
                name = f"door:{words[words.index('--side') + 1]}" if "--side" in words else name
                name = words[words.index("--name") + 1] if "--name" in words else name
                found[name] = int(status.parent.name)
        return found

    def stop(self, signum: int = signal.SIGTERM, timeout_seconds: float = 20.0) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        deadline = time.monotonic() + timeout_seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "the daemon does not end"
            self.reader.read(20)
        self.reader.read_to_the_end()
        return self.process.returncode

    def close(self) -> None:
        """End the daemon whatever it does, and the reader."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.close()


def camera_table(
    name: str, folder: Path, *, fps: float = 10, loop: bool = True, recipe: str = "cell", **more: Any
) -> str:
    """The TOML of a camera that replays a folder."""
    lines = [
        "[[cameras]]",
        'kind = "images"',
        f'name = "{name}"',
        f'recipe = "{recipe}"',
        f'folder = "{folder}"',
        f"fps = {fps}",
        f"loop = {str(loop).lower()}",
    ]
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in more.items()), ""])


def settings(
    bank: Path,
    cameras: str,
    *,
    deadline_ms: float = 10_000,
    metrics_port: int = 0,
    recipe: str = "",
    extra: str = "",
) -> str:
    """A whole configuration around some cameras; evidence and previews are off unless `extra` has them."""
    if "[evidence]" not in extra:
        extra += "\n[evidence]\nenabled = false\n"  # one process less to start, in most of a hundred daemons
    if "[preview]" not in extra:
        extra += "\n[preview]\nenabled = false\n"
    return f"""
[line]
plant = "test"
name = "line"
deadline_ms = {deadline_ms}
[[recipes]]
name = "cell"
bank = "{bank}"
{recipe}
{cameras}
[metrics]
port = {metrics_port}
{extra}
"""
