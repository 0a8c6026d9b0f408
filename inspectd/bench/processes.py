"""CPU time and memory of a daemon's processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAIN: Final = "main"

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of one process or of several with the same job.

    Attributes:
        cpu_seconds: user and system time since it started.
        peak_rss_mb: the most memory it has held; of several, of the largest.
    """

    cpu_seconds: float
    peak_rss_mb: float

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_seconds + other.cpu_seconds, max(self.peak_rss_mb, other.peak_rss_mb))


def usage_by_job(pid: int) -> dict[str, Usage]:
    """Usage so far of the daemon `pid` and its children, by their job.

    Raises:
        ProcessLookupError: the daemon is gone.
    """
    try:
        used = {MAIN: _usage(pid)}
    except FileNotFoundError as error:
        raise ProcessLookupError(f"process {pid} is gone") from error
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(_stat(status)[1]) != pid:
                continue
            words = (status.parent / "cmdline").read_bytes().split(b"\0")
            child = _usage(int(status.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we looked
        job = _job(words)
        used[job] = used[job] + child if job in used else child
    return used


def shares(before: Mapping[str, Usage], after: Mapping[str, Usage], seconds: float) -> dict[str, float]:
    """Share of a core each job used between two looks, `seconds` apart."""
    return {
        job: round((usage.cpu_seconds - before[job].cpu_seconds) / seconds, 4)
        for job, usage in after.items()
        if job in before
    }


def _job(words: list[bytes]) -> str:
    """`scoring` of a command with `inspectd.scoring.worker` in it; `other` where there is none of ours."""
    modules = [word.decode().split(".") for word in words if word.startswith(b"inspectd.")]
    return modules[0][1] if modules else "other"


def _usage(pid: int) -> Usage:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    peak_kb = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, round(peak_kb * 1024 / 1e6, 1))


def _stat(path: Path) -> list[str]:
    """The fields after the command's name: the first is the state, the second the parent."""
    return path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
