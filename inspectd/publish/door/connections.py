"""Counts the connections of one of the bus's sockets, and shuts its listener above their bound.

libzmq accepts whoever comes, until the process has no descriptors left, and then ends it. So above the bound
a listener is shut: a local one's file gets another name, a TCP one drops what asks for a connection. Whoever
is connected stays. Those that never finish their hand-shake are the first to go: libzmq ends them after
`HANDSHAKE_MS`, and then the listener opens again.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import zmq

from inspectd.publish.door.listeners import shut_path

HANDSHAKE_MS: Final = 2000
"""A client that connects and sends nothing costs a descriptor for so long."""

_REPORTS_PER_TURN: Final = 1024
_OPEN_BELOW: Final = 0.75
_LEAST_SHUT_NS: Final = 200_000_000
_FAILED: Final = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_EVENT: Final = struct.Struct("=HI")

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_DROP_ALL: Final = struct.pack("=HBBI", 0x06, 0, 0, 0)  # BPF: return 0, keep nothing of a packet


class Connections:
    """Counts the connections of one ZeroMQ socket, by its monitor."""

    def __init__(
        self,
        watched: zmq.Socket[bytes],
        name: str,
        bound: int,
        *,
        on_failed: Callable[[], None],
        on_changed: Callable[[int], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Watch a socket that has no connections yet.

        Args:
            watched: the socket.
            name: the socket's, among those of its context.
            bound: how many connections there may be.
            on_failed: called for each hand-shake that failed.
            on_changed: called with the descriptor of each connection that begins or ends: it changes hands.
            clock: monotonic, in nanoseconds.
        """
        self.is_shut = False
        self._bound = bound
        self._on_failed = on_failed
        self._clock = clock
        self._shut_ns = 0
        self._fds: set[int] = set()
        self._listeners: list[socket.socket] = []
        self._on_changed = on_changed
        endpoint = f"inproc://monitor-{name}"
        watched.monitor(endpoint, zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | _FAILED)
        self.monitor: zmq.Socket[bytes] = watched.context.socket(zmq.PAIR)
        self.monitor.setsockopt(zmq.LINGER, 0)
        # libzmq's thread would wait at a full queue, and all sockets with it.
        self.monitor.setsockopt(zmq.RCVHWM, 0)
        self.monitor.connect(endpoint)

    @property
    def count(self) -> int:
        """Number of connections, those without a finished hand-shake included."""
        return len(self._fds)

    @property
    def descriptors(self) -> AbstractSet[int]:
        """Descriptors of the connections."""
        return self._fds

    def guard(self, listener: socket.socket) -> None:
        """Shut this listener, too, when there are too many connections."""
        self._listeners.append(listener)

    def forget(self) -> None:
        """Count anew: all TCP connections were ended at once, of which the monitor does not report each."""
        self._fds.clear()

    def read(self) -> None:
        """Take the monitor's reports, a bounded number in a turn; shut or open."""
        for _ in range(_REPORTS_PER_TURN):
            if not self.monitor.poll(0):
                break
            event, value = _EVENT.unpack(self.monitor.recv_multipart(flags=zmq.NOBLOCK)[0])
            if event == zmq.EVENT_ACCEPTED:
                self._fds.add(value)
                self._on_changed(value)
            elif event == zmq.EVENT_DISCONNECTED:
                self._fds.discard(value)
                self._on_changed(value)
            else:
                self._on_failed()
        self.keep()

    def keep(self) -> None:
        """Shut above the bound; open again below three quarters of it."""
        if not self.is_shut and self.count >= self._bound:
            self.is_shut, self._shut_ns = True, self._clock()
            for listener in self._listeners:
                _shut(listener)
        elif (
            self.is_shut
            and self.count < self._bound * _OPEN_BELOW
            and self._clock() - self._shut_ns >= _LEAST_SHUT_NS
        ):
            self.open()

    def open(self) -> None:
        """Let clients connect again."""
        self.is_shut = False
        for listener in self._listeners:
            open_listener(listener)


def _shut(listener: socket.socket) -> None:
    if listener.family == socket.AF_UNIX:
        path = Path(listener.getsockname())
        path.rename(shut_path(path))
    else:
        program = ctypes.create_string_buffer(_DROP_ALL)
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program))
        )


def open_listener(listener: socket.socket) -> None:
    """Let clients connect. It may be shut, as its last user left it."""
    if listener.family == socket.AF_UNIX:
        path = Path(listener.getsockname())
        if shut_path(path).exists():
            shut_path(path).rename(path)
    else:
        try:
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        except FileNotFoundError:  # it was not shut
            return
