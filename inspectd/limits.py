"""Limits of the kernel on this process."""

from __future__ import annotations

import resource


def raise_descriptor_limit() -> int:
    """Let this process and its children open as many files as they may; the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
