"""Notices that the host slept: no time passed for a line's clock, but it did for the parts on the belt.

Deadlines count on CLOCK_MONOTONIC, as cameras' times do, and it stands still while the host is suspended.
What was open by then would be judged minutes later, and in time. So a line does not outlive a sleep of its
host.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from inspectd.errors import UnavailableError

_LEAST_NS: Final = 100_000_000


class HostSleptError(UnavailableError):
    """The host was suspended; what was open before has no verdict any more."""


def boottime_ns() -> int:
    """CLOCK_BOOTTIME: as CLOCK_MONOTONIC, but it goes on while the host is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class HostSleepWatch:
    """Compares two clocks that only a sleep takes apart, whatever becomes of the time of day.

    Args:
        clock: CLOCK_MONOTONIC, in nanoseconds.
        boot_clock: CLOCK_BOOTTIME, in nanoseconds.
    """

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        boot_clock: Callable[[], int] = boottime_ns,
    ) -> None:
        self._clock = clock
        self._boot_clock = boot_clock
        # In this order, and `look` in the other one: a process that is held up between them sees no sleep.
        now_ns = clock()
        self._ahead_ns = boot_clock() - now_ns

    def look(self) -> None:
        """Look at both clocks.

        Raises:
            HostSleptError: the host slept since the first look.
        """
        boot_ns = self._boot_clock()
        slept_ns = boot_ns - self._clock() - self._ahead_ns
        if slept_ns > _LEAST_NS:
            raise HostSleptError(
                f"this host slept for {slept_ns / 1e9:.1f} s: what was open before is undecidable, and the "
                "line has to be started again, as systemd does; keep the host awake (systemctl mask "
                "sleep.target)"
            )
