"""Shows whether ZeroMQ's own threads in this process have delivered everything that came to its sockets."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from inspectd.errors import InspectdError

_TASKS: Final = Path("/proc/self/task")
_NAME: Final = "ZMQbg/IO"
_ASLEEP: Final = b"S"
_STAT_BYTES: Final = 64
_NAMED_SECONDS: Final = 0.5
"""A thread gives itself its name once it runs."""


class IoThreads:
    """The I/O threads of all contexts that have a socket now.

    Such a thread sleeps when it has handed on everything the kernel has for it; the kernel wakes it with the
    next byte. So a socket that is empty after its thread was seen asleep has had all that came before.
    """

    def __init__(self) -> None:
        """Find them.

        Raises:
            InspectdError: there is none.
        """
        self._stats: list[int] = []
        end = time.monotonic() + _NAMED_SECONDS
        while not self._stats and time.monotonic() < end:
            for task in _TASKS.iterdir():
                if (task / "comm").read_text().startswith(_NAME):
                    self._stats.append(os.open(task / "stat", os.O_RDONLY | os.O_CLOEXEC))
            time.sleep(0.0 if self._stats else 0.001)
        if not self._stats:
            raise InspectdError(
                f"no thread named {_NAME} is in this process; is that still the name of ZeroMQ's own?"
            )

    def are_asleep(self) -> bool:
        """True when none of them has anything to do."""
        return all(os.pread(stat, _STAT_BYTES, 0).rpartition(b") ")[2][:1] == _ASLEEP for stat in self._stats)

    def close(self) -> None:
        """Close what was opened to watch them."""
        while self._stats:
            os.close(self._stats.pop())
