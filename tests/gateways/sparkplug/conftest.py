"""A broker, a host application, and gateways between them and a line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon
from support.mqtt_broker import PLAIN, Mosquitto, Scada


class Gateway:
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


class Plant:
    """Starts brokers, hosts and gateways of one test, and ends them after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = ExitStack()

    def broker(self, options: str = PLAIN, folder: str = "broker") -> Mosquitto:
        (self.folder / folder).mkdir()
        broker = Mosquitto(self.folder / folder, options).start()
        self._open.callback(broker.close)
        return broker

    def host(self, broker: Mosquitto, **more: Any) -> Scada:
        host = Scada(broker, **more)
        self._open.callback(host.close)
        return host

    def gateway(
        self, line: Daemon, *brokers: Mosquitto, broker: str = "tls = false", node: str = "", bus: str = ""
    ) -> Gateway:
        servers = json.dumps([f"127.0.0.1:{each.port}" for each in brokers])
        text = f"""
            [line]
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
        gateway = Gateway(self.folder / "gateway", text)
        self._open.callback(gateway.close)
        return gateway

    def close(self) -> None:
        """End all of them, also where one of them says that something was wrong."""
        self._open.close()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.close()
