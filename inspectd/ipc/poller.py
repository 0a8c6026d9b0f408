"""Waits on sockets and channels at once and calls whoever is responsible. One thread, the main process's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import zmq

_DELIVERY_NS: Final = 50_000_000
"""ZeroMQ's own thread hands on within this time what came while the whole process stood still."""


class HasFileno(Protocol):
    """Anything with a descriptor to wait on, e.g. a channel."""

    def fileno(self) -> int:
        """The descriptor."""


class Poller:
    """A table of readable things and what to call when they are."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Wait on nothing yet."""
        self._poller = zmq.Poller()
        self._callbacks: dict[int | zmq.Socket[bytes], Callable[[], None]] = {}
        self._clock = clock
        self._returned_ns = clock()
        self._unwatched: deque[tuple[int, int]] = deque()  # when it ended, how long it was

    def add(self, source: HasFileno | zmq.Socket[bytes], callback: Callable[[], None]) -> None:
        """Call `callback` whenever `source` can be read."""
        key = source if isinstance(source, zmq.Socket) else source.fileno()
        self._callbacks[key] = callback
        self._poller.register(key, zmq.POLLIN)

    def remove(self, source: HasFileno | zmq.Socket[bytes]) -> None:
        """Forget `source`; call it before the source is closed."""
        key = source if isinstance(source, zmq.Socket) else source.fileno()
        del self._callbacks[key]
        self._poller.unregister(key)

    def wait(self, timeout_ns: int) -> None:
        """Wait for something to read, `timeout_ns` (rounded up to a millisecond) at most; make the calls."""
        began_ns, timeout_ms = self._clock(), max(0, -(-timeout_ns // 1_000_000))
        readable = self._poller.poll(timeout_ms)
        self._note(began_ns, timeout_ms * 1_000_000)
        for key, _ in readable:
            # An earlier callback of this round may have removed this one.
            callback = self._callbacks.get(key)
            if callback is not None:
                callback()

    def delay_ns(self) -> int:
        """To a callback: how long ago, at most, what it reads may have come."""
        return sum(length_ns for _, length_ns in self._unwatched) + self._clock() - self._returned_ns

    def _note(self, began_ns: int, timeout_ns: int) -> None:
        """Remember how long nobody looked: the loop was busy, or the process stood still.

        While the loop waits it is woken at once; only a wait that took longer than it should is no watch.
        """
        now_ns = self._clock()
        unwatched_ns = began_ns - self._returned_ns + max(0, now_ns - began_ns - timeout_ns)
        self._returned_ns = now_ns
        self._unwatched.append((now_ns, unwatched_ns))
        while self._unwatched[0][0] < now_ns - _DELIVERY_NS:
            self._unwatched.popleft()
