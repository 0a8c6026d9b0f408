"""Limits of the kernel on this process, and what it has taken."""

from __future__ import annotations

import resource
from pathlib import Path


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files as they may; the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def memory_bytes(kind: str) -> int:
    """Memory of this process: `VmData`, private and writable; `VmRSS`, held now; `VmHWM`, most ever held.

    getrusage would count what the program held that started this one.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:")))
