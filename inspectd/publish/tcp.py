"""The bus's TCP endpoints: bound with or without keys, watched for failed hand-shakes, cut on a revocation.

A socket's options count for the binds that follow. So one socket serves local readers without keys, through
the bind made before `Authenticator.protect`, and TCP readers with keys, through the one made after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import msgspec
import zmq

from inspectd.errors import UnavailableError
from inspectd.log import event
from inspectd.publish.auth import Authenticator, Cause

_log: Final = logging.getLogger("inspectd.publish")

_HANDSHAKE_MS: Final = 2000  # a client that connects and says nothing costs a descriptor for so long
_REPORTS_PER_TURN: Final = 256
_TELL_AFTER: Final = 50  # turns, some seconds; the kernel lets go of a port within milliseconds
_FAILED: Final = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


class _Bound(msgspec.Struct):
    name: str
    socket: zmq.Socket[bytes]
    endpoint: str
    monitor: zmq.Socket[bytes] | None
    is_bound: bool = True
    failures: int = 0


class TcpEndpoints:
    """Every TCP endpoint of a bus."""

    def __init__(self, auth: Authenticator | None, on_refused: Callable[[str, Cause], None]) -> None:
        """Protect every endpoint with `auth`, where there is one; refused hand-shakes are told."""
        self._auth = auth
        self._on_refused = on_refused
        self._bound: list[_Bound] = []

    def bind(self, socket: zmq.Socket[bytes], name: str, address: str) -> None:
        """Bind `socket` to `address`, `host:port`.

        Raises:
            UnavailableError: it cannot be bound.
        """
        endpoint = f"tcp://{address}"
        socket.setsockopt(zmq.IPV6, address.startswith("["))
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        monitor = None
        if self._auth is not None:
            self._auth.protect(socket, name)
            monitor = _monitor(socket, name)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise UnavailableError(
                f"publish.{name}_tcp: cannot bind {endpoint}: {error.strerror}; "
                "choose another one or stop what uses it"
            ) from error
        self._bound.append(_Bound(name, socket, endpoint, monitor))

    def sources(self) -> list[tuple[zmq.Socket[bytes], Callable[[], None]]]:
        """What a loop polls, and what it calls when there is something to read."""
        found: list[tuple[zmq.Socket[bytes], Callable[[], None]]] = []
        if self._auth is not None:
            found.append((self._auth.socket, self._auth.answer))
        found += [(b.monitor, partial(self._read_monitor, b)) for b in self._bound if b.monitor is not None]
        return found

    def cut(self, names: Iterable[str]) -> None:
        """End every TCP connection of these sockets; who still has an allowed key connects again.

        libzmq cannot end one connection. It ends all that came through an endpoint when that is unbound.
        """
        for bound in self._bound:
            if bound.name in names and bound.is_bound:
                linger = bound.socket.getsockopt(zmq.LINGER)
                bound.socket.setsockopt(zmq.LINGER, 0)  # what is queued for a revoked key is not sent either
                bound.socket.unbind(bound.endpoint)
                bound.socket.setsockopt(zmq.LINGER, linger)
                bound.is_bound = False
        self.bind_again()

    def bind_again(self) -> None:
        """Bind what `cut` unbound, as soon as the kernel has let go of the port."""
        for bound in self._bound:
            if not bound.is_bound:
                try:
                    bound.socket.bind(bound.endpoint)
                except zmq.ZMQError as error:
                    bound.failures += 1
                    if bound.failures == _TELL_AFTER:
                        event(_log, logging.ERROR, "not_bound", endpoint=bound.endpoint, cause=error.strerror)
                else:
                    bound.is_bound, bound.failures = True, 0

    def close(self) -> None:
        """Stop watching; the sockets are their owner's to close."""
        for bound in self._bound:
            if bound.monitor is not None:
                bound.socket.disable_monitor()
                bound.monitor.close(0)

    def _read_monitor(self, bound: _Bound) -> None:
        assert bound.monitor is not None
        for _ in range(_REPORTS_PER_TURN):
            if not bound.monitor.poll(0):
                return
            bound.monitor.recv_multipart(flags=zmq.NOBLOCK)
            self._on_refused(bound.name, Cause.HANDSHAKE)


def _monitor(socket: zmq.Socket[bytes], name: str) -> zmq.Socket[bytes]:
    endpoint = f"inproc://monitor-{name}"
    socket.monitor(endpoint, _FAILED)
    reader: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
    reader.setsockopt(zmq.LINGER, 0)
    reader.setsockopt(zmq.RCVHWM, 0)  # libzmq's thread would wait at a full queue, and all sockets with it
    reader.connect(endpoint)
    return reader
