"""A host that sleeps, as its clocks show it."""

from __future__ import annotations

import time

import pytest


class Host:
    """The time since it booted goes on while it sleeps, the monotonic clock stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.slept_seconds = 0.0
        of_kernel = time.clock_gettime

        def clock_gettime(clock: int) -> float:
            return of_kernel(clock) + (self.slept_seconds if clock == time.CLOCK_BOOTTIME else 0.0)

        monkeypatch.setattr(time, "clock_gettime", clock_gettime)

    def sleep(self, seconds: float) -> None:
        self.slept_seconds += seconds
