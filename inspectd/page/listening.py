"""The web server: uvicorn's protocols, with bounds on what browsers cost, and a renewable certificate."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from inspectd import log
from inspectd.config import MOST_NAME, MOST_PLACES
from inspectd.errors import InputError, UnavailableError
from inspectd.page.addresses import network_of
from inspectd.page.proxy_login import with_peer
from inspectd.page.settings import PageServer
from inspectd.page.site import SiteSettings
from inspectd.text import cannot_listen

REQUEST_SECONDS: Final = 10.0
"""A connection whose first request's head does not come within it is ended."""
UNREAD_SECONDS: Final = 30.0
_HANDSHAKE_SECONDS: Final = 5.0
_KEEP_ALIVE_SECONDS: Final = 15
_END_SECONDS: Final = 2.0
_MOST_HEAD_BYTES: Final = 16_384
MOST_MESSAGE_BYTES: Final = 1024 + MOST_PLACES * (MOST_NAME + len('"",'))
"""Of a message that a tab sends over its WebSocket: names of all cameras that it shows, at most."""
_MOST_CONNECTIONS: Final = 1000
_PING_SECONDS: Final = 10.0

_log: Final = logging.getLogger(__name__)


class ConnectionBook:
    """Counts connections by address.

    Args:
        most_of_address: that one address may have at a time.
        counts: where what is refused is counted.
        unread_seconds: a connection that reads nothing for so long of what is sent is ended.
    """

    def __init__(
        self, most_of_address: int, counts: Counter[tuple[str, str]], unread_seconds: float = UNREAD_SECONDS
    ) -> None:
        self.unread_ms = round(unread_seconds * 1000)
        self._most = most_of_address
        self._counts = counts
        self._by_address: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Connections there are now."""
        return self._by_address.total()

    def enter(self, address: str) -> bool:
        """Whether another connection of that address is taken."""
        if self._by_address[address] >= self._most or self.total >= _MOST_CONNECTIONS:
            self._counts["refused", "connections"] += 1
            return False
        self._by_address[address] += 1
        return True

    def slow(self) -> None:
        """A connection was ended whose request did not come."""
        self._counts["refused", "slow"] += 1

    def leave(self, address: str) -> None:
        """One of its connections has ended."""
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class BookedConnection(socket.socket):
    """A connection that counts until it is closed.

    Attributes:
        on_close: what it is then counted off by.
    """

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        """Close it; as often as one likes."""
        on_close, self.on_close = self.on_close, None
        super().close()
        if on_close is not None:
            on_close()


class BookedListener(socket.socket):
    """A listening socket that takes so many connections of an address, unfinished hand-shakes included.

    An open one of TLS takes 300 kB: it has to count from its first moment, which no protocol of asyncio sees.

    Attributes:
        book: of connections.
    """

    book: ConnectionBook

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            ConnectionAbortedError: its address has too many; asyncio goes on with the next one.
        """
        accepted, address = super().accept()
        network = network_of(address[0])
        if not self.book.enter(network):
            accepted.close()
            raise ConnectionAbortedError
        connection = BookedConnection(fileno=accepted.detach())
        connection.on_close = lambda: self.book.leave(network)
        # What does not read is ended by the kernel, however little is written to it.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.book.unread_ms)
        return connection, address


class BoundedHttp(H11Protocol):
    """HTTP/1.1 whose client has to send its request."""

    request_seconds = REQUEST_SECONDS
    book: ConnectionBook
    _head_timer: asyncio.TimerHandle | None = None
    _has_gone_on = False

    def connection_made(self, transport: Any) -> None:
        """Take the connection."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what came; a request that has begun has to come on."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_head()
        else:
            self._wait_no_longer()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """It goes on as a WebSocket."""
        super().handle_websocket_upgrade(event)
        self._has_gone_on = True
        self._wait_no_longer()

    def _wait_for_head(self) -> None:
        if self._head_timer is None and not self._has_gone_on:
            self._head_timer = self.loop.call_later(self.request_seconds, self._end_silent)

    def _wait_no_longer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_silent(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.book.slow()
            self.transport.abort()


def tls_of(server: PageServer) -> ssl.SSLContext | None:
    """What browsers' connections are encrypted by; None: they are not.

    Raises:
        InputError: the certificate or its key cannot be used.
    """
    if server.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    _load(context, server)
    return context


def _load(context: ssl.SSLContext, server: PageServer) -> None:
    assert server.tls_certificate is not None
    assert server.tls_key is not None
    try:
        context.load_cert_chain(server.tls_certificate, server.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"server.tls_certificate {server.tls_certificate}, server.tls_key {server.tls_key}: cannot be "
            f"used: {error.strerror or error}; expected two PEM files that match"
        ) from error


class PageListener:
    """Listens for browsers.

    Args:
        app: the page.
        settings: the page's.
        book: of connections.
        request_seconds: longest time for a request's head to come.

    Raises:
        InputError: the certificate or its key cannot be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: SiteSettings,
        book: ConnectionBook,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._server_settings = settings.server
        self._book = book
        self._state = ServerState()
        self._config = uvicorn.Config(
            app, log_config=None, log_level="error", access_log=False, server_header=False,
            date_header=False, lifespan="off",
            http=type("_Http", (BoundedHttp,), {"book": book, "request_seconds": request_seconds}),
            ws=WebSocketsSansIOProtocol,
            ws_max_size=MOST_MESSAGE_BYTES, ws_per_message_deflate=False,
            ws_ping_interval=_PING_SECONDS, ws_ping_timeout=_PING_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS, h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
            proxy_headers=bool(settings.proxy.addresses), forwarded_allow_ips=list(settings.proxy.addresses),
        )  # fmt: skip
        self._tls = tls_of(self._server_settings)
        self._certificate = self._certificate_ns()
        self._refused: tuple[tuple[int, ...], str] | None = None
        """What was last refused and why, so that it is said once."""
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the address is taken, or is not one of this host.
        """
        host, port = self._server_settings.host, self._server_settings.port
        self._config.load()
        self._config.loaded_app = with_peer(self._config.loaded_app)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, address in dict.fromkeys((each[0], each[4]) for each in found):
                self._servers.append(
                    await loop.create_server(
                        self._protocol, sock=self._listener(family, address), ssl=self._tls,
                        ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
                    )
                )  # fmt: skip
        except OSError as error:
            raise UnavailableError(cannot_listen("server.host, server.port", host, port, error)) from error

    @property
    def port(self) -> int:
        """The port it listens on."""
        number: int = self._servers[0].sockets[0].getsockname()[1]
        return number

    def renew_certificate(self) -> None:
        """Use the certificate as it lies there now, if it changed; one that cannot be used is logged.

        It is tried again until it is taken: a right to read it that was missing is given without a change of
        the file.
        """
        found = self._certificate_ns()
        if self._tls is None or found == self._certificate:
            return
        try:
            tls_of(self._server_settings)  # refused before it is taken
            _load(self._tls, self._server_settings)
        except InputError as error:
            if (refused := (found, str(error))) != self._refused:
                self._refused = refused
                log.event(_log, logging.ERROR, "certificate_refused", detail=str(error))
        else:
            self._certificate, self._refused = found, None
            log.event(_log, logging.INFO, "certificate_renewed")

    async def close(self) -> None:
        """Listen no longer, and end every connection."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        # Answers under way may end; who does not read is not waited for.
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=_END_SECONDS)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)

    def _listener(self, family: int, address: Any) -> BookedListener:
        listener = BookedListener(family, socket.SOCK_STREAM)
        listener.book = self._book
        try:
            listener.settimeout(0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # the IPv4 address is another one, as everywhere on this host
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
        return listener

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self._config.http_protocol_class(  # type: ignore[call-arg]
            config=self._config, server_state=self._state, app_state={}
        )
        return made

    def _certificate_ns(self) -> tuple[int, ...]:
        """When the files of the certificate were written; empty where one is missing just now."""
        names = [self._server_settings.tls_certificate, self._server_settings.tls_key]
        try:
            return tuple(Path(name).stat().st_mtime_ns for name in names if name)
        except OSError:
            return self._certificate if hasattr(self, "_certificate") else ()
