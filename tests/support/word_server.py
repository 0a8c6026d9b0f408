"""A plant server that says what a test wants, over TLS and by the servers' protocol; for one client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.nats_cluster import make_certificates

from inspectd.fleet.keys import new_key
from inspectd.fleet.servers import Servers, ServersDoor
from inspectd.fleet.settings import ServersLink


class WordServer:
    """Answers requests about streams by `answers`; made is not started.

    Attributes:
        answers: gives what is answered to a request, by the word after `$JS.API.STREAM.` or the like: what is
            sent as JSON, or the bytes of headers.
        info: what it says of itself first, beside what it has to.
    """

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.info: dict[str, Any] = {}
        self._folder = folder
        self._writer: asyncio.StreamWriter | None = None
        make_certificates(folder, ("127.0.0.1",))
        self._seed, _ = new_key(folder / "user")

    @asynccontextmanager
    async def started(self) -> AsyncIterator[ServersLink]:
        """Serve meanwhile; how it is reached."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield ServersLink(
                addresses=(f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}",),
                ca_file=str(self._folder / "ca.pem"), seed_file=str(self._seed),
            )  # fmt: skip

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Servers]:
        """A connection to it."""
        async with self.started() as link, ServersDoor(link, "_INBOX.test", "test").connect() as servers:
            yield servers

    async def say(self, words: bytes) -> None:
        """Say anything to whoever is connected."""
        assert self._writer is not None
        self._writer.write(words)
        await self._writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {
            "server_id": "A", "server_name": "nats1", "version": "2.15.1", "proto": 1, "headers": True,
            "max_payload": 1_000_000, "tls_required": True, "auth_required": True, "nonce": "abc",
        }  # fmt: skip
        info |= self.info
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._folder / "server.pem", self._folder / "server.key")
            await writer.start_tls(context)
            self._writer = writer
            while line := await reader.readline():
                await self._hear(line.split(), reader)
        writer.transport.abort()

    async def _hear(self, words: list[bytes], reader: asyncio.StreamReader) -> None:
        if words[0] == b"PING":
            await self.say(b"PONG\r\n")
        elif words[0] == b"SUB":
            self._inbox_id = words[-1]
        elif words[0] == b"PUB":
            request = await reader.readexactly(int(words[-1]) + 2)
            if len(words) == 4:
                found = self.answers[words[1].decode().split(".")[3]](json.loads(request.strip() or b"{}"))
                if isinstance(found, bytes):
                    size = len(found)
                    await self.say(
                        b"HMSG %b %b %d %d\r\n%b\r\n" % (words[2], self._inbox_id, size, size, found)
                    )
                    return
                body = json.dumps(found).encode()
                await self.say(b"MSG %b %b %d\r\n%b\r\n" % (words[2], self._inbox_id, len(body), body))
