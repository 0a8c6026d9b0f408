"""A control group with little memory, for a process that the kernel shall kill. It takes root."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_FIRST = Path("/sys/fs/cgroup/memory")  # cgroup v1
_SECOND = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def memory_group(most_bytes: int) -> Iterator[Path]:
    """Its `cgroup.procs`, where a process id is written; the group is gone at the end."""
    base, limit = (_FIRST, "memory.limit_in_bytes") if _FIRST.is_dir() else (_SECOND, "memory.max")
    group = base / f"inspectd-memory-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(most_bytes))
        yield group / "cgroup.procs"
    finally:
        end = time.monotonic() + 10
        while (group / "cgroup.procs").read_text():
            assert time.monotonic() < end, f"a process is left in {group}"
            time.sleep(0.01)
        group.rmdir()
