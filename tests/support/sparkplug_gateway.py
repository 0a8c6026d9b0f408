"""`inspectd gateway sparkplug` as a process for tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from support.daemon import Daemon
from support.mqtt_broker import Mosquitto


def sparkplug_file(
    line: Daemon, *brokers: Mosquitto, broker: str = "tls = false", node: str = "", bus: str = ""
) -> str:
    """The file of a gateway between a line and its brokers, with more lines of its tables."""
    servers = json.dumps([f"127.0.0.1:{each.port}" for each in brokers])
    return f"""
        [line]
        plant = "test"
        name = "line"
        {bus or f'verdicts = "ipc://{line.runtime_dir}/verdicts.sock"'}
        [broker]
        servers = {servers}
        {broker}
        [sparkplug]
        group = "demo"
        node = "line1"
        state_dir = "state"
        {node}
        [metrics]
        port = 0
        """


class SparkplugGateway:
    """A running `inspectd gateway sparkplug`."""

    def __init__(self, folder: Path, text: str) -> None:
        """Start one; its state and log stay in `folder` for the next."""
        folder.mkdir(exist_ok=True)
        self.file, self.log = folder / "sparkplug.toml", folder / "log"
        self.file.write_text(text)
        command = [sys.executable, "-m", "inspectd", "gateway", "sparkplug", "--config", str(self.file)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)

    def until_logged(self, event: str, timeout_seconds: float = 15.0) -> None:
        """Wait until it has logged an event."""
        end = time.monotonic() + timeout_seconds
        while event not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.02)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(15)

    def close(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.wait()
