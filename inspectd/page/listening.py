"""The web server: uvicorn's protocols, with bounds on what browsers cost, and a renewable certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from inspectd.errors import InputError, UnavailableError
from inspectd.page.addresses import network_of
from inspectd.page.settings import PageConfig

REQUEST_SECONDS: Final = 10.0
"""A connection whose first request's head does not come within it is ended."""
_HANDSHAKE_SECONDS: Final = 5.0
_KEEP_ALIVE_SECONDS: Final = 15
_END_SECONDS: Final = 2.0
_MOST_HEAD_BYTES: Final = 16_384
MOST_MESSAGE_BYTES: Final = 1024
"""Of a message that a tab sends over its WebSocket."""
_MOST_CONNECTIONS: Final = 1000
_PING_SECONDS: Final = 10.0


class ConnectionBook:
    """Counts connections by address.

    Args:
        most_of_address: that one address may have at a time.
        counts: where what is refused is counted.
    """

    def __init__(self, most_of_address: int, counts: Counter[tuple[str, str]]) -> None:
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


class BoundedHttp(H11Protocol):
    """HTTP/1.1 whose client has to send its request, and may have only so many connections."""

    request_seconds = REQUEST_SECONDS
    book: ConnectionBook
    _has_entered = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take the connection, or refuse it."""
        super().connection_made(transport)
        self._address = network_of(self.client[0]) if self.client else "unknown"
        self._has_entered = self.book.enter(self._address)
        if not self._has_entered:
            transport.abort()
            return
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what came; a request that has begun has to come on."""
        super().data_received(data)
        if not self._has_entered:
            return
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_head()
        else:
            self._wait_no_longer()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._leave()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """It goes on as a WebSocket, which counts for itself."""
        self._leave()
        super().handle_websocket_upgrade(event)

    def _leave(self) -> None:
        if self._has_entered:
            self._has_entered = False
            self._wait_no_longer()
            self.book.leave(self._address)

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
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


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that counts among its address's connections."""

    book: ConnectionBook
    _has_entered = False

    def connection_made(self, transport: Any) -> None:
        """Take the connection, or refuse it."""
        super().connection_made(transport)
        self._address = network_of(self.client[0]) if self.client else "unknown"
        self._has_entered = self.book.enter(self._address)
        if not self._has_entered:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        if self._has_entered:
            self._has_entered = False
            self.book.leave(self._address)
        super().connection_lost(exc)


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
        settings: PageConfig,
        book: ConnectionBook,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._server_settings = settings.server
        self._state = ServerState()
        self._config = uvicorn.Config(
            app, log_config=None, log_level="error", access_log=False, server_header=False,
            date_header=False, lifespan="off",
            http=type("_Http", (BoundedHttp,), {"book": book, "request_seconds": request_seconds}),
            ws=type("_WebSocket", (BoundedWebSocket,), {"book": book}),
            ws_max_size=MOST_MESSAGE_BYTES, ws_per_message_deflate=False,
            ws_ping_interval=_PING_SECONDS, ws_ping_timeout=_PING_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS, h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
            proxy_headers=bool(settings.proxy.addresses), forwarded_allow_ips=list(settings.proxy.addresses),
        )  # fmt: skip
        self._tls = self._new_tls()
        self._certificate = self._certificate_ns()
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listen.

        Raises:
            UnavailableError: the address is taken, or is not one of this host.
        """
        host, port = self._server_settings.host, self._server_settings.port
        self._config.load()
        try:
            self._servers.append(
                await asyncio.get_running_loop().create_server(
                    self._protocol, host, port, ssl=self._tls,
                    ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._tls else None,
                )
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(
                f"server.port: cannot listen on {host}:{port}: {error.strerror or error}; "
                "choose another port or stop what uses it"
            ) from error

    @property
    def port(self) -> int:
        """The port it listens on."""
        number: int = self._servers[0].sockets[0].getsockname()[1]
        return number

    def renew_certificate(self) -> bool:
        """Use the certificate as it lies there now, if it changed; True if that was done.

        Raises:
            InputError: the new one cannot be used; the one before it stays in use.
        """
        found = self._certificate_ns()
        if self._tls is None or found == self._certificate:
            return False
        self._certificate = found
        self._new_tls()  # refused before it is taken
        self._load(self._tls)
        return True

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

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self._config.http_protocol_class(  # type: ignore[call-arg]
            config=self._config, server_state=self._state, app_state={}
        )
        return made

    def _new_tls(self) -> ssl.SSLContext | None:
        if self._server_settings.tls_certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._server_settings.tls_certificate, self._server_settings.tls_key
        assert certificate is not None
        assert key is not None
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"server.tls_certificate {certificate}, server.tls_key {key}: cannot be used: "
                f"{error.strerror or error}; expected two PEM files that match"
            ) from error

    def _certificate_ns(self) -> tuple[int, ...]:
        """When the files of the certificate were written; empty where one is missing just now."""
        names = [self._server_settings.tls_certificate, self._server_settings.tls_key]
        try:
            return tuple(Path(name).stat().st_mtime_ns for name in names if name)
        except OSError:
            return self._certificate if hasattr(self, "_certificate") else ()
