"""`inspectd teach serve` as a process for tests."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from support.program import ProgramProcess


class DeskProcess(ProgramProcess):
    """The teaching desk of a line.

    Args:
        config: the line's configuration file.
        runtime_dir: for its socket; a short path.
        environment: of the process; None: this one's.
    """

    stop_seconds = 20

    def __init__(self, config: Path, runtime_dir: Path, environment: dict[str, str] | None = None) -> None:
        self.socket = runtime_dir / "teach.sock"
        self.log = runtime_dir / "desk.log"
        self._command = [
            sys.executable, "-m", "inspectd", "teach", "serve", "--config", str(config),
            "--runtime-dir", str(runtime_dir),
        ]  # fmt: skip
        self._environment = environment
        runtime_dir.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        end = time.monotonic() + 60
        while not self.socket.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, "the desk does not listen"
            time.sleep(0.02)
