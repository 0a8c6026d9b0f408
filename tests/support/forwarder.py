"""`inspectd forward` as a process, for tests."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.nats_cluster import NatsCluster
from support.ports import free_port


def forwarder_file(
    cluster: NatsCluster, line: str, runtime_dir: Path, *, port: int = 0, forward: str = "", **servers: Any
) -> str:
    """The forwarder's file of a line of the plant `test`."""
    link = cluster.settings(line)
    values = {
        "addresses": [*link.addresses],
        "monitors": [*link.monitors],
        "ca_file": link.ca_file,
        "seed_file": link.seed_file,
        **servers,
    }
    table = "\n".join(
        f"{name} = {value if isinstance(value, list) else repr(value)}" for name, value in values.items()
    )
    return f"""
[line]
plant = "test"
name = "{line}"
verdicts = "ipc://{runtime_dir}/verdicts.sock"
[servers]
{table}
[forward]
{forward}
[metrics]
port = {port}
"""


class ForwarderProcess:
    """A forwarder that runs until it is stopped.

    Args:
        folder: for its file and its log, which is of all its starts.
        text: its file; a `{port}` of its metrics is filled in.
    """

    def __init__(self, folder: Path, cluster: NatsCluster, line: str, runtime_dir: Path, **more: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.file, self.log = folder / f"forward-{line}.toml", folder / f"forward-{line}.log"
        self.file.write_text(forwarder_file(cluster, line, runtime_dir, port=self.port, **more))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def is_running(self) -> bool:
        """It has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, again after an end."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "inspectd", "forward", "--config", str(self.file)], stderr=log
            )

    def stop(self, signum: int = signal.SIGTERM, timeout_seconds: float = 20.0) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self._process is not None
        self._process.send_signal(signum)
        return self._process.wait(timeout_seconds)

    def close(self) -> None:
        """End it whatever it does."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def metrics(self) -> dict[str, float]:
        """Every sample by its name with labels; empty of one that has ended or does not answer for long."""
        end = time.monotonic() + 20
        while self.is_running and time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                    text = answer.read().decode()
            except OSError:  # not yet, or it is busy
                time.sleep(0.1)
                continue
            found = re.findall(r"^([^#\s]\S*) (\S+)$", text, re.MULTILINE)
            return {name: float(value) for name, value in found}
        return {}

    def until(self, condition: Callable[[], Any], timeout_seconds: float = 40.0) -> None:
        """Wait until `condition` holds; a forwarder that ended meanwhile fails the test with its log."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            assert self._process is not None
            ended = self._process.poll()
            assert ended is None, f"the forwarder ended with {ended}: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.1)
