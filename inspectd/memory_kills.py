"""How often the kernel ended a process as memory ran out: what tells such an end from another SIGKILL."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

_OWN_GROUP: Final = Path("/proc/self/cgroup")
_GROUPS: Final = Path("/sys/fs/cgroup")
_HOST: Final = Path("/proc/vmstat")
_NAME: Final = "oom_kill"

NO_MEMORY: Final = (
    "killed by SIGKILL as memory ran out: the kernel's count oom_kill went up since it was started. "
    "Compare what `inspectd check` says of memory with what the host has and with MemoryMax= of the unit, "
    "then add memory, or ask for less at a time"
)
"""Of a child that ended so: what happened, and what to do."""


def is_memory_kill(code: int | None, before: int | None, now: int | None) -> bool:
    """Whether the kernel ended a child as memory ran out, if nobody of this process killed it.

    Args:
        code: its exit code, negative where a signal ended it; None: not known.
        before: `memory_kills` before it was started.
        now: `memory_kills` after its end.
    """
    return code == -signal.SIGKILL and before is not None and now is not None and now > before


def memory_kills(own_group: Path = _OWN_GROUP, groups: Path = _GROUPS, host: Path = _HOST) -> int | None:
    """Processes that ended so: of this process's control group, else of the host; None: the kernel won't say.

    Args:
        own_group: where the kernel says which control group this process is in.
        groups: where those lie; a group's count has all of its processes, whichever limit was met.
        host: where the host's own count is, which has processes of others too.
    """
    for file in (_events_of(own_group, groups), host):
        found = None if file is None else _count_in(file)
        if found is not None:
            return found
    return None


def _events_of(own_group: Path, groups: Path) -> Path | None:
    for line in _lines(own_group):
        number, _, place = line.partition("::")
        if number == "0":
            return groups / place.strip("/") / "memory.events"
    return None


def _count_in(file: Path) -> int | None:
    for line in _lines(file):
        name, _, count = line.partition(" ")
        if name == _NAME and count.isdecimal():
            return int(count)
    return None


def _lines(file: Path) -> list[str]:
    """No lines where there is no such file: not every kernel and container has each of these."""
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
