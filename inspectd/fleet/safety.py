"""Whether servers keep what they acknowledge: by their own report, of every one.

A server that flushes every two minutes, which is the default, acknowledges what a power cut takes away. So
each server's monitoring endpoint is asked (`/varz` for its name, `/jsz` for how it stores), and what it does
not say is not assumed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from inspectd.errors import InspectdError

_ANSWER_SECONDS: Final = 3.0
"""For each of the two answers, at whatever pace its bytes come: a busy disk is behind the second."""
_MAX_ANSWER_BYTES: Final = 1_000_000
_READ_BYTES: Final = 65_536


class _StoreConfig(msgspec.Struct):
    sync_always: bool = False
    sync_interval: int = 0


class _StoreReport(msgspec.Struct):
    disabled: bool = False
    config: _StoreConfig | None = None
    storage: int = 0


class _ServerReport(msgspec.Struct):
    server_name: str
    version: str = ""


# Made here, before there are threads: msgspec works out a type at its first use, and a second thread that
# sees it half made ends the process by a segmentation fault (0.22.0).
_SERVER: Final = msgspec.json.Decoder(_ServerReport)
_STORE: Final = msgspec.json.Decoder(_StoreReport)


class ServerState(msgspec.Struct, frozen=True):
    """What one server says of itself.

    Attributes:
        monitor: the address that was asked.
        name: the server's name; empty: it did not answer.
        version: of nats-server.
        always_flushes: every message is on its disk before it is acknowledged; None: that is not known.
        detail: in words, what it does or why it is not known.
    """

    monitor: str
    name: str
    version: str
    always_flushes: bool | None
    detail: str


class UnsafeServersError(InspectdError):
    """Servers may lose what they acknowledge, or too few of them say that they do not."""


async def ask(monitor: str, tls: ssl.SSLContext, seconds: float = _ANSWER_SECONDS) -> ServerState:
    """What a server says of itself; takes a few seconds at most.

    Args:
        monitor: its monitoring endpoint, `https://HOST:PORT`.
        tls: what its certificate is checked by.
        seconds: for each of the two answers.
    """
    try:
        async with asyncio.timeout(seconds):
            server = _SERVER.decode(await _get(monitor, "/varz", tls))
        async with asyncio.timeout(seconds):
            store = _STORE.decode(await _get(monitor, "/jsz", tls))
    except (OSError, ValueError, RecursionError) as error:
        why = str(error) or f"no whole answer within {seconds:g} s"
        return ServerState(monitor, "", "", None, f"does not say how it stores: {why}")
    name, version, config = server.server_name, server.version, store.config
    if store.disabled or config is None or not (config.sync_always or config.sync_interval):
        off = "stores nothing now: its jetstream is off, or still starts; its log says why"
        return ServerState(monitor, name, version, None, off)
    if config.sync_always:
        return ServerState(monitor, name, version, always_flushes=True, detail="flushes every message")
    return ServerState(
        monitor, name, version, always_flushes=False,
        detail=f"flushes every {config.sync_interval / 1e9:g} s: what it acknowledges, a power cut may take; "
        "expected sync_interval: always in its jetstream",
    )  # fmt: skip


def refuse_unsafe(states: Sequence[ServerState], replicas: Sequence[str]) -> None:
    """Refuse servers that may lose what they acknowledge.

    Args:
        states: of every server that could be asked.
        replicas: names of the servers that keep the stream.

    Raises:
        UnsafeServersError: one does not flush every message, or not even a majority of the stream's says so.
    """
    for state in states:
        if state.always_flushes is False:
            raise UnsafeServersError(f"{state.name} ({state.monitor}): {state.detail}")
    known = {state.name for state in states if state.always_flushes}
    silent = [name for name in replicas if name not in known]
    if len(replicas) - len(silent) <= len(replicas) // 2:
        said = "; ".join(
            f"{state.monitor}: {state.detail}" for state in states if state.always_flushes is None
        )
        raise UnsafeServersError(
            f"{said}{'; so ' if said else ''}of the stream's servers {', '.join(silent)} do not say how they "
            "store: servers.monitors must have each server's monitoring endpoint, and most must answer"
        )


async def _get(monitor: str, path: str, tls: ssl.SSLContext) -> bytes:
    """The answer to a GET, by HTTP/1.0: it ends where the connection does.

    Not by a thread: one that waits for a server would keep the program from ending.

    Raises:
        OSError: there is none.
        ValueError: it is no answer to this.
    """
    url = urlsplit(monitor)
    assert url.hostname is not None
    is_encrypted = url.scheme == "https"
    reader, writer = await asyncio.open_connection(
        url.hostname, url.port or (443 if is_encrypted else 80), ssl=tls if is_encrypted else None
    )
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\n\r\n".encode())
        answer = bytearray()
        while data := await reader.read(_READ_BYTES):
            answer += data
            if len(answer) > _MAX_ANSWER_BYTES:
                raise ValueError(f"{path} answered with more than {_MAX_ANSWER_BYTES} bytes")
    finally:
        writer.transport.abort()
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    status = (head.split(None, 2)[1:2] or [b""])[0]
    if status != b"200":
        raise ValueError(f"{path} answered {status[:3].decode() if status.isdigit() else 'no HTTP'}")
    return body
