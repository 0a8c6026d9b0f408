"""A line under test: the real daemon on files of its own, which can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from faults import processes
from faults.listener import Listener, wait_for
from faults.parts import Bank

from inspectd.cli.daemon_process import DaemonProcess

VIEW: Final = "view.png"
READY_SECONDS: Final = 60.0
_END_SECONDS: Final = 20.0


class Line:
    """One daemon, its folder, and an ear at its bus that stays through every restart.

    Args:
        folder: an empty folder for everything of this line.
        settings: the configuration's text.
        environment: variables of the daemon's, over those of this process.
        wrapper: words before the command, such as `ip netns exec NAME`.
        log: descriptor of where its log goes; None: the file `log`.
        program: words that begin the daemon, after the interpreter.
    """

    def __init__(
        self,
        folder: Path,
        settings: str,
        environment: Mapping[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        *,
        log: int | None = None,
        program: tuple[str, ...] = ("-m", "inspectd"),
    ) -> None:
        self.folder = folder
        self.runtime_dir = folder / "run"
        self.state_dir = folder / "state"
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.file = folder / "line.toml"
        self.file.write_text(settings)
        self.log = folder / "log"
        self.launched_ns = 0
        self.environment = {
            **os.environ,
            "GOMP_SPINCOUNT": "1000",
            "RUNTIME_DIRECTORY": str(self.runtime_dir),
            "STATE_DIRECTORY": str(self.state_dir),
            **(environment or {}),
        }
        self._wrapper = wrapper
        self._log_to = log
        self._program = program
        self._process: DaemonProcess | None = None
        self.listener = Listener(self.endpoint("verdicts"))

    def endpoint(self, socket: str) -> str:
        """The local endpoint of `verdicts`, `heatmaps`, `previews`, `sync` or `control`."""
        return f"ipc://{self.runtime_dir}/{socket}.sock"

    @property
    def pid(self) -> int:
        """The daemon's main process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Launch the daemon; its log goes on in the same file."""
        self.launched_ns = time.monotonic_ns()
        self._process = DaemonProcess(
            self.file,
            self.log,
            command=[*self._wrapper, sys.executable, *self._program],
            environment=self.environment,
            stderr=self._log_to,
            append=True,
        )

    def wait_ready(self, timeout_seconds: float = READY_SECONDS) -> float:
        """Wait until the line runs with every camera up; seconds since its launch.

        Raises:
            RuntimeError: the daemon ended.
            TimeoutError: it did not become ready.
        """
        wait_for(self._is_ready, timeout_seconds, "the line is not ready")
        return (time.monotonic_ns() - self.launched_ns) / 1e9

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Kill the main process; its children die with it."""
        self._end(signum)

    def stop(self) -> int:
        """End the daemon as a person would; its exit code."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill and launch at once."""
        self.kill()
        self.start()

    def ended(self) -> int | None:
        """The daemon's exit code; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def close(self) -> None:
        """End whatever still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.listener.close()

    def _end(self, signum: int) -> int:
        assert self._process is not None
        offspring = processes.children(self.pid).values()
        self._process.send_signal(signum)
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the daemon did not end within {_END_SECONDS:g} s") from None
        wait_for(lambda: not any(map(processes.is_running, offspring)), 10, "a child outlived the daemon")
        return code

    def _is_ready(self) -> bool:
        if self.ended() is not None:
            raise RuntimeError(f"the daemon ended with {self.ended()}: {self.log.read_text()[-2000:]}")
        if self.listener.state(self.launched_ns) != "running":
            return False
        assert self.listener.last_heartbeat is not None
        return set(self.listener.last_heartbeat.header["cameras"].values()) == {"up"}


def settings(bank: Bank, cameras: str, *, deadline_ms: float, metrics_port: int, extra: str = "") -> str:
    """A whole configuration around some cameras."""
    return f"""
[line]
plant = "test"
name = "line"
deadline_ms = {deadline_ms}
[[recipes]]
name = "part"
bank = "{bank.file}"
threshold = {bank.threshold}
{cameras}
[metrics]
port = {metrics_port}
{extra}
"""


def live_camera(name: str, url: str, *, more: str = "") -> str:
    """The table of a camera that is read over the network."""
    return f"""
[[cameras]]
kind = "opencv"
name = "{name}"
recipe = "part"
source = "{url}"
{more}
"""


def camera(name: str, folder: Path, *, fps: float, more: str = "") -> str:
    """The table of a camera that sees what lies in `folder` at the moment."""
    return f"""
[[cameras]]
kind = "images"
name = "{name}"
recipe = "part"
folder = "{folder}"
fps = {fps}
loop = true
stall_timeout_ms = 800
{more}
"""
