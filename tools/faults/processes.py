"""A process as the kernel reports it: its children, its memory, its descriptors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_TOOLS: Final = Path(__file__).parents[1]
ENVIRONMENT: Final = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        [str(_TOOLS), str(_TOOLS.parent / "tests"), os.environ.get("PYTHONPATH", "")]
    ),
}
"""Of a program of this suite that runs as a process of its own."""

ENDS_WITH_ITS_MAKER: Final = ("setpriv", "--pdeathsig", "KILL")
"""Words before a command that must not go on where the thread that started it has ended."""

_GONE = (FileNotFoundError, ProcessLookupError)


def children(pid: int) -> dict[str, int]:
    """Process id of each child of a daemon by its job: `scoring`, `door:local`, or the camera's name."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            words = (stat.parent / "cmdline").read_bytes().decode().split("\0")
        except _GONE:
            continue
        if int(parent) == pid and state != "Z" and "-m" in words:
            _, _, job = words[words.index("-m") + 1].partition(".")
            if not job:
                continue  # it was forked from the daemon and has not become what it will be
            name = words[words.index("--camera") + 1] if "--camera" in words else job.partition(".")[0]
            name = f"door:{words[words.index('--side') + 1]}" if "--side" in words else name
            found[name] = int(stat.parent.name)
    return found


def offspring(pid: int) -> list[int]:
    """Process ids of all children of a process, as its main thread started them."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except _GONE:
        return []


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def open_files(pid: int) -> int:
    """Open descriptors."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def is_running(pid: int) -> bool:
    """True while the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except _GONE:
        return False
