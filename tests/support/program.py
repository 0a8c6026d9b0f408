"""A program of `inspectd` as a process for tests, with what it says in a log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class ProgramProcess:
    """How it begins, how it ends, and what it costs."""

    log: Path
    process: subprocess.Popen[bytes] | None = None
    stop_seconds = 10
    """It may take so long to end."""

    def begin(self, *words: object, ready: bytes = b" listening ") -> None:
        """Start `inspectd WORDS`, and wait until its log says that it is ready."""
        with self.log.open("ab") as log:
            began = log.tell()
            command = [sys.executable, "-m", "inspectd", *map(str, words)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while ready not in self.log.read_bytes()[began:]:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"inspectd {words[0]} does not become ready"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, as when the power goes."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as systemd would; its exit code."""
        return self._end(signal.SIGTERM)

    def rss_mb(self) -> float:
        """Memory it has."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def cpu_seconds(self) -> float:
        """Processor time it took so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _end(self, signum: int) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(self.stop_seconds)
