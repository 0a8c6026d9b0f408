"""The clock by which a gateway knows what is late: it goes on while the host sleeps, as the belt does."""

from __future__ import annotations

import time


def clock_seconds() -> float:
    """CLOCK_BOOTTIME: seconds, never set back. CLOCK_MONOTONIC stands still while the host is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
