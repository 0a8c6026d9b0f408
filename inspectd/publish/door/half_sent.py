"""Finds clients whose message begins and does not end, before it has taken the memory of their door.

libzmq keeps the parts of a message until the last one is there, however many they are, and reports nothing.
So when the process has grown, it ends whoever has much waiting in the kernel while nothing whole comes of it;
where that finds nobody and memory runs out, everybody of whom nothing whole came meanwhile, and then all.
Honest clients connect again.
"""

from __future__ import annotations

import fcntl
import struct
import termios
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from inspectd import limits

MAX_MEMORY_BYTES: Final = 512 << 20
"""The kernel gives a door no more: it ends instead, and is replaced."""

_GROWN_BYTES: Final = 32 << 20
"""Half a million empty parts. A message takes as long to be thrown away as it is long."""

_RUNS_OUT_BYTES: Final = MAX_MEMORY_BYTES // 2
_SPARED_NS: Final = 200_000_000
"""Memory is given back after everybody was ended, not at once."""

_MUCH_BYTES: Final = 16_384
"""Of an honest client, which sends requests of a few hundred bytes, so much never waits."""


class HalfSent:
    """Finds clients with half-sent messages among those of one process."""

    def __init__(
        self,
        memory_bytes: Callable[[], int] | None = None,
        waiting_bytes: Callable[[int], int] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Takes the memory of the process now as that at rest.

        Args:
            memory_bytes: what the process takes; by default what of it is resident.
            waiting_bytes: what came by a descriptor and the kernel still holds; 0 if it is closed.
            clock: monotonic, in nanoseconds.
        """
        self._memory_bytes = memory_bytes or partial(limits.memory_bytes, "VmRSS")
        self._waiting_bytes = waiting_bytes or _waiting_bytes
        self._rest_bytes = self._memory_bytes()
        self._most: dict[int, int] = {}
        self._whole: set[int] = set()
        self._clock = clock
        self._spared_until_ns = 0

    def came_whole(self, fd: int) -> None:
        """A whole message came by this descriptor."""
        self._most.pop(fd, None)
        self._whole.add(fd)

    def ended(self, fd: int) -> None:
        """The descriptor is another connection's now, or nobody's."""
        self._most.pop(fd, None)
        self._whole.discard(fd)

    def find(self, fds: Iterable[int]) -> list[int]:
        """Connections to be ended now; call it some ten times a second.

        Args:
            fds: descriptors of all there are.
        """
        connected = list(fds)
        for fd in connected:
            self._most[fd] = max(self._most.get(fd, 0), self._waiting_bytes(fd))
        memory_bytes = self._memory_bytes()
        if memory_bytes < self._rest_bytes + _GROWN_BYTES:
            self._whole.clear()
            return []
        found = [fd for fd in connected if self._most[fd] >= _MUCH_BYTES]
        if not found and memory_bytes > _RUNS_OUT_BYTES and self._clock() >= self._spared_until_ns:
            found = [fd for fd in connected if fd not in self._whole]
            if not found:
                found = connected
                self._whole.clear()
                self._spared_until_ns = self._clock() + _SPARED_NS
        return found


def _waiting_bytes(fd: int) -> int:
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])
    except OSError:  # closed since
        return 0
