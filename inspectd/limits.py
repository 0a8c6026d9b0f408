"""What the kernel lets a process have."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files as they may; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
