"""A Modbus TCP server for one PLC and some readers, in an event loop.

Every request is answered in one turn of the loop, so each sees the registers of one moment. What a client may
cost is bounded: connections, the time they may be silent, half a request, answers that nobody takes.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from inspectd.errors import UnavailableError
from inspectd.gateways.modbus.protocol import (
    HEADER_BYTES,
    MOST_PDU_BYTES,
    WRITING,
    FunctionCode,
    RegisterBank,
    answer_to,
    exception_in,
)
from inspectd.gateways.modbus.settings import ModbusSettings
from inspectd.text import cannot_listen

HALF_SENT_SECONDS: Final = 2.0
"""A request that began has to be whole by then."""

_REQUESTS_PER_TURN: Final = 16
_MOST_UNREAD_BYTES: Final = 65_536
_REPLACED_AFTER_SECONDS: Final = 1.0
"""A connection that was silent for so long makes room where there are too many: as after a power cut, when
the PLC comes back and its old connections look alive."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class CutReason(StrEnum):
    """Why a connection was refused or ended. A closed set: it is a metric label."""

    PEER = "peer"
    """The address is neither the PLC's nor a reader's."""
    LIMIT = "limit"
    """There are as many as there may be, and none of them makes room for it."""
    REPLACED = "replaced"
    """It was silent, and another came; or it only reads, and the PLC came."""
    NOT_MODBUS = "not_modbus"
    HALF_SENT = "half_sent"
    IDLE = "idle"
    UNREAD = "unread"
    """It does not take its answers."""
    SUPERSEDED = "superseded"
    """The PLC writes through a connection that it made later."""


class ModbusServer:
    """Serves a bank of registers.

    Args:
        bank: the registers.
        settings: where to listen, and who may connect.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, bank: RegisterBank, settings: ModbusSettings, clock: Callable[[], float]) -> None:
        self.bank = bank
        self.clock = clock
        self.connections: dict[_Connection, None] = {}
        self.requests: Counter[tuple[str, str]] = Counter()
        """Answered requests, by function and `ok` or the exception."""
        self.cuts: Counter[str] = Counter()
        """Connections that were refused or ended, by `CutReason`."""
        self._settings = settings
        self._plc = ipaddress.ip_address(settings.plc)
        self._readers = {ipaddress.ip_address(reader) for reader in settings.readers}
        self._server: asyncio.Server | None = None
        self._accepted = 0
        self._writer: _Connection | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the address is taken, is not one of this host, or takes more rights.
        """
        host, port = self._settings.host, self._settings.port
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=64)
        except OSError as error:
            raise UnavailableError(cannot_listen("modbus.host, modbus.port", host, port, error)) from error

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.end()
            await self._server.wait_closed()

    def sweep(self) -> None:
        """End connections that were silent for too long, or stop in the middle of a request."""
        now = self.clock()
        for connection in list(self.connections):
            silent = now - connection.heard_at
            if connection.is_within_request and now - connection.began_at > HALF_SENT_SECONDS:
                connection.cut(CutReason.HALF_SENT)
            elif silent > self._settings.idle_seconds:
                connection.cut(CutReason.IDLE)

    def may_write(self, address: Address) -> bool:
        """It is the PLC's."""
        return address == self._plc

    def takes_writes(self, connection: _Connection) -> bool:
        """Whether what the PLC writes by a connection still counts: only by the youngest it has written by.

        What a network held back may come long after the PLC gave that connection up, and would be taken for
        a trigger of the part that is there by then.
        """
        if self._writer is not None and self._writer.number > connection.number:
            connection.cut(CutReason.SUPERSEDED)
            return False
        before, self._writer = self._writer, connection
        if before is not None and before is not connection:
            before.cut(CutReason.SUPERSEDED)
        return True

    def gone(self, connection: _Connection) -> None:
        """A connection has ended, however it did; told again, it has been heard of already."""
        if connection in self.connections:
            del self.connections[connection]
            if connection is self._writer:
                self.bank.writer_lost()

    def next_number(self) -> int:
        """Numbers of connections, in the order in which they came."""
        self._accepted += 1
        return self._accepted

    def admits(self, address: Address | None) -> CutReason | None:
        """Why a newcomer may not connect; makes room for one that may."""
        if address is None or (address != self._plc and address not in self._readers):
            return CutReason.PEER
        if len(self.connections) < self._settings.max_connections:
            return None
        of_readers = [connection for connection in self.connections if not connection.may_write]
        is_plc = self.may_write(address)
        oldest = min(self.connections if is_plc else of_readers, key=_heard_at, default=None)
        if oldest is not None and self.clock() - oldest.heard_at < _REPLACED_AFTER_SECONDS:
            # Nobody who only reads keeps the PLC out, however busy its connections are.
            oldest = min(of_readers, key=_heard_at, default=None) if is_plc else None
        if oldest is None:
            return CutReason.LIMIT
        oldest.cut(CutReason.REPLACED)
        return None


class _Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: ModbusServer) -> None:
        self.heard_at = self.began_at = server.clock()
        self.number = server.next_number()
        self._server = server
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self.may_write = False

    @property
    def is_within_request(self) -> bool:
        """Some of a request is here, and not all of it."""
        return bool(self._received) and not self._is_paused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client or not."""
        assert isinstance(transport, asyncio.Transport)
        address = _address(transport.get_extra_info("peername"))
        refused = self._server.admits(address)
        if refused is not None or address is None:
            self._server.cuts[refused or CutReason.PEER] += 1
            transport.abort()
            return
        self._transport = transport
        self.may_write = self._server.may_write(address)
        self._server.connections[self] = None
        _set_up(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        """Forget the client."""
        self._server.gone(self)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer what has come."""
        if self._transport is not None:
            self.heard_at = self._server.clock()
            if not self._received:
                self.began_at = self.heard_at
            self._received += data
            self._answer_some()

    def cut(self, reason: CutReason) -> None:
        """End the connection for what the client does, or does not."""
        if self._transport is not None:
            self._server.cuts[reason] += 1
            self.end()

    def end(self) -> None:
        """End the connection at once."""
        self._server.gone(self)
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def _answer_some(self) -> None:
        """Answer a few requests, then let others have their turn."""
        self._is_paused = False
        for _ in range(_REQUESTS_PER_TURN):
            # Closing: the client has gone, and its other requests need no answer.
            if self._transport is None or self._transport.is_closing() or not self._answer_one():
                break
        else:
            if self._transport is not None and self._received:
                self._is_paused = True
                self._transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._go_on)
        if self._transport is not None and self._transport.get_write_buffer_size() > _MOST_UNREAD_BYTES:
            self.cut(CutReason.UNREAD)

    def _go_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()
            self._answer_some()

    def _answer_one(self) -> bool:
        """Answer a request; False where none is whole."""
        if len(self._received) < HEADER_BYTES:
            return False
        transaction, protocol, length, unit = struct.unpack_from(">HHHB", self._received)
        if protocol or not 2 <= length <= MOST_PDU_BYTES + 1:
            self.cut(CutReason.NOT_MODBUS)  # nothing that follows can be trusted
            return False
        end = HEADER_BYTES - 1 + length
        if len(self._received) < end:
            return False
        request = bytes(self._received[HEADER_BYTES:end])
        del self._received[:end]
        self.began_at = self.heard_at
        if self.may_write and request[0] in WRITING and not self._server.takes_writes(self):
            return False
        answer = answer_to(self._server.bank, request, may_write=self.may_write)
        self._server.requests[_function(request[0]), exception_in(answer)] += 1
        assert self._transport is not None
        self._transport.write(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)
        return True


def _heard_at(connection: _Connection) -> float:
    return connection.heard_at


def _function(code: int) -> str:
    return FunctionCode(code).name.lower() if code in set(FunctionCode) else "other"


def _address(peer: tuple[object, ...] | None) -> Address | None:
    """A client's address; None: it was gone before anybody looked."""
    if not peer:
        return None
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _set_up(connection: socket.socket) -> None:
    """Have the kernel notice a client that is gone, and keep little for one that does not read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_UNREAD_BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
