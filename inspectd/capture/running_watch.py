"""Notices when this process was stopped, throttled or kept waiting for a processor."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

_TICK_SECONDS: Final = 0.005
_PAUSE_NS: Final = 20_000_000
_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")


class RunningWatch:
    """Notices when this process did not run, by a thread that only ticks and by the kernel's own account.

    A reader that was held up between two looks at its clock takes the time for time it waited, and old frames
    for new ones. Two things show it: ticks that did not come (the process was stopped, or throttled by its
    group's quota) and the time that the kernel kept this thread waiting for a processor.
    """

    def __init__(self) -> None:
        """Watch until `close`.

        Raises:
            OSError: the kernel does not answer.
        """
        _busy_or_kept_waiting_ns()
        self._ended = threading.Event()
        self._last_tick_ns = time.monotonic_ns()
        self._last_pause_ns = self._last_tick_ns
        self._mark = (self._last_tick_ns, 0)
        self._thread = threading.Thread(target=self._watch, name="running-watch", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Mark the beginning of a wait."""
        self._mark = (time.monotonic_ns(), _busy_or_kept_waiting_ns())

    def waited_ns(self) -> int:
        """Time since `begin` in which this thread slept of its own accord; 0 if that is unknown."""
        now_ns = time.monotonic_ns()
        began_ns, busy_ns = self._mark
        if now_ns - self._last_tick_ns > _PAUSE_NS or self._last_pause_ns >= began_ns:
            return 0
        return max(0, now_ns - began_ns - (_busy_or_kept_waiting_ns() - busy_ns))

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            now_ns = time.monotonic_ns()
            if now_ns - self._last_tick_ns > _PAUSE_NS:
                self._last_pause_ns = now_ns
            self._last_tick_ns = now_ns


def _busy_or_kept_waiting_ns() -> int:
    """Time this thread ran or could have run: on a processor, and waiting for one (Linux's sched-stats)."""
    on_cpu, waiting, _ = _SCHEDSTAT.read_text().split()
    return int(on_cpu) + int(waiting)
