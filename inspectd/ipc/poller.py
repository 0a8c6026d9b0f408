"""Waits on all sockets and channels at once and calls back for those that can be read. For one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import zmq

LOOK_MS: Final = 5
"""However long there is nothing to do: so often every source is looked at, where `known_ns` has to be new."""


class HasFileno(Protocol):
    """Anything with a descriptor to wait on, e.g. a channel."""

    def fileno(self) -> int:
        """The descriptor."""


class Poller:
    """A table of sources and callbacks. Keeps until when each source was read completely."""

    def __init__(
        self,
        clock: Callable[[], int] = time.monotonic_ns,
        is_handed_on: Callable[[], bool] = lambda: True,
        look_ms: int = LOOK_MS,
        may_go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """Wait on nothing yet.

        Args:
            clock: monotonic, in nanoseconds.
            is_handed_on: True when nothing that came is on its way to a source, within this process.
            look_ms: longest time without a look at every source.
            may_go_on: called before what was found is called back; raises where that must not be.
        """
        self._poller = zmq.Poller()
        self._callbacks: dict[int | zmq.Socket[bytes], Callable[[], None]] = {}
        self._clock = clock
        self._looked_ns = clock()
        self._empty_ns: dict[int | zmq.Socket[bytes], int] = {}
        self._is_handed_on = is_handed_on
        self._look_ms = look_ms
        self._may_go_on = may_go_on
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
            readable = self._look(min(left_ms, self._look_ms))
            if left_ms <= self._look_ms:
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
        """Everything that came to `source` before this moment was read by its callback, or is read now by it.

        It is the last time when the source was seen empty with nothing on its way to it, so a backlog that
        takes many turns is counted in full, and so is what came while this process stood still.
        """
        return self._empty_ns[_key(source)]

    def take_longest_gap_ns(self) -> int:
        """The longest time nobody looked at any source, or waited for one, since this was last asked."""
        longest_ns, self._longest_gap_ns = self._longest_gap_ns, 0
        return longest_ns

    def _look(self, timeout_ms: int) -> list[tuple[int | zmq.Socket[bytes], int]]:
        began_ns = self._clock()
        is_handed_on = self._is_handed_on()
        readable = self._poller.poll(timeout_ms)
        self._may_go_on()
        now_ns = self._clock()
        overrun_ns = max(0, now_ns - began_ns - timeout_ms * 1_000_000)
        self._longest_gap_ns = max(self._longest_gap_ns, began_ns - self._looked_ns + overrun_ns)
        self._looked_ns = now_ns
        if is_handed_on:
            for key in self._empty_ns.keys() - {key for key, _ in readable}:
                self._empty_ns[key] = began_ns
        return readable


def _key(source: HasFileno | zmq.Socket[bytes]) -> int | zmq.Socket[bytes]:
    return source if isinstance(source, zmq.Socket) else source.fileno()
