"""Waits on sockets and channels at once and calls whoever is responsible. One thread of its process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import zmq

_LOOK_MS: Final = 5
"""However long there is nothing to do: so often every source is looked at."""

_SILENCE_NS: Final = 5_000_000
_STILL_NS: Final = 20_000_000
_DELIVERY_NS: Final = 50_000_000
"""Where nobody looked for longer than the first, the whole process may have stood still; what came meanwhile
is handed on by ZeroMQ's own thread within the second."""


class HasFileno(Protocol):
    """Anything with a descriptor to wait on, e.g. a channel."""

    def fileno(self) -> int:
        """The descriptor."""


class Poller:
    """A table of readable things and what to call when they are, which knows how much of it was read."""

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Wait on nothing yet."""
        self._poller = zmq.Poller()
        self._callbacks: dict[int | zmq.Socket[bytes], Callable[[], None]] = {}
        self._clock = clock
        self._looked_ns = clock()
        self._empty_ns: dict[int | zmq.Socket[bytes], int] = {}
        self._read_ns: dict[int | zmq.Socket[bytes], int] = {}
        self._gaps: deque[tuple[int, int]] = deque()  # when nobody looked: from, to
        self._longest_gap_ns = 0

    def add(self, source: HasFileno | zmq.Socket[bytes], callback: Callable[[], None]) -> None:
        """Call `callback` whenever `source` can be read."""
        key = _key(source)
        self._callbacks[key] = callback
        self._empty_ns[key] = 0
        self._poller.register(key, zmq.POLLIN)

    def remove(self, source: HasFileno | zmq.Socket[bytes]) -> None:
        """Forget `source`; call it before the source is closed."""
        key = _key(source)
        del self._callbacks[key], self._empty_ns[key]
        self._poller.unregister(key)

    def wait(self, timeout_ns: int) -> None:
        """Wait for something to read, `timeout_ns` (rounded up to a millisecond) at most; make the calls."""
        end_ns = self._clock() + timeout_ns
        readable: list[tuple[int | zmq.Socket[bytes], int]] = []
        while not readable:
            left_ms = max(0, -(-(end_ns - self._clock()) // 1_000_000))
            readable = self._look(min(left_ms, _LOOK_MS))
            if left_ms <= _LOOK_MS:
                break
        if readable:
            # What came first may be in any of them, so all are looked at once more, without waiting.
            readable = self._look(0)
        for key, _ in readable:
            # An earlier callback of this round may have removed this one.
            callback = self._callbacks.get(key)
            if callback is not None:
                callback()

    def known_ns(self, source: HasFileno | zmq.Socket[bytes]) -> int:
        """What came to `source` until then was read by its callback; to the callback: or is read now.

        It is the last time when the source was seen empty, and had been silent for 5 ms, so a backlog that
        takes many turns is counted in full; or the beginning of a standstill after which messages may still
        be on their way to the source.
        """
        return min([self._empty_ns[_key(source)], *(began_ns for began_ns, _ in self._gaps)])

    def take_longest_gap_ns(self) -> int:
        """The longest time nobody looked at any source since this was last asked."""
        longest_ns, self._longest_gap_ns = self._longest_gap_ns, 0
        return longest_ns

    def _look(self, timeout_ms: int) -> list[tuple[int | zmq.Socket[bytes], int]]:
        began_ns = self._clock()
        readable = self._poller.poll(timeout_ms)
        now_ns = self._clock()
        gap_ns = now_ns - self._looked_ns
        self._longest_gap_ns = max(self._longest_gap_ns, gap_ns)
        if gap_ns > _STILL_NS:
            self._gaps.append((self._looked_ns, now_ns))
        while self._gaps and self._gaps[0][1] < now_ns - _DELIVERY_NS:
            self._gaps.popleft()
        self._looked_ns = now_ns
        for key, _ in readable:
            self._read_ns[key] = now_ns
        for key in self._empty_ns.keys() - {key for key, _ in readable}:
            # Right after something was read it may be empty for a moment only, with more on its way through
            # ZeroMQ's own thread.
            if began_ns - self._read_ns.get(key, 0) >= _SILENCE_NS:
                self._empty_ns[key] = began_ns
        return readable


def _key(source: HasFileno | zmq.Socket[bytes]) -> int | zmq.Socket[bytes]:
    return source if isinstance(source, zmq.Socket) else source.fileno()
