"""The clock by which a program of the plant knows what is late."""

from __future__ import annotations

import time


def clock_seconds() -> float:
    """CLOCK_BOOTTIME: seconds, never set back. It goes on while the host sleeps, as the belt does.

    CLOCK_MONOTONIC stands still then: a line that was not heard for hours would be alive, and the answer to a
    trigger of before in time.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
