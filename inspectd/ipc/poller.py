"""Waits on sockets and channels at once and calls whoever is responsible. One thread, the main process's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import zmq


class HasFileno(Protocol):
    """Anything with a descriptor to wait on, e.g. a channel."""

    def fileno(self) -> int:
        """The descriptor."""


class Poller:
    """A table of readable things and what to call when they are."""

    def __init__(self) -> None:
        """Wait on nothing yet."""
        self._poller = zmq.Poller()
        self._callbacks: dict[int | zmq.Socket[bytes], Callable[[], None]] = {}

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
        for key, _ in self._poller.poll(max(0, -(-timeout_ns // 1_000_000))):
            # An earlier callback of this round may have removed this one.
            callback = self._callbacks.get(key)
            if callback is not None:
                callback()
