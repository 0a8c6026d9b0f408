"""The connection to the plant's servers: keys, TLS 1.3, and errors of one kind.

Nothing is kept beyond a connection: it is never made again by itself, so nothing that was handed to a lost
one can arrive after what its successor sends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api

from inspectd import log
from inspectd.errors import InputError
from inspectd.fleet.answers import checked, max_payload
from inspectd.fleet.keys import read_key
from inspectd.fleet.settings import ServersLink
from inspectd.text import why

_CONNECT_SECONDS: Final = 5
_TRY_AGAIN_SECONDS: Final = 0.5
_ANSWER_SECONDS: Final = 5.0
_AFTER_DENIAL_SECONDS: Final = 0.5
"""A server answers in turn, so what it does not answer soon after a denial is what it denied."""
_PING_SECONDS: Final = 2
_PINGS_UNANSWERED: Final = 2
_CLOSE_SECONDS: Final = 2.0
_DENIED: Final = "permissions violation"
_NEXT: Final = "$JS.API.CONSUMER.MSG.NEXT"
_NOBODY: Final = "503"
_NO_MORE: Final = {"404", "408"}
"""What servers say where there is no more, or no more came in time."""

_ERRORS_TOLD: Final = 20
"""Of what went wrong before a connection came about."""

_T = TypeVar("_T")
_log: Final = logging.getLogger(__name__)
_denied: Final = log.Repeated(_log)
"""A server may deny without being asked, as often as it likes."""
# At every end of a TLS connection asyncio says something of the library's reader that helps nobody.
logging.getLogger("asyncio").setLevel(logging.ERROR)


class ServersError(Exception):
    """The servers cannot be used now.

    Attributes:
        is_unreachable: no connection came about at all.
    """

    def __init__(self, detail: str, *, is_unreachable: bool = False) -> None:
        super().__init__(detail)
        self.is_unreachable = is_unreachable


class DeniedError(ServersError):
    """The servers refuse what this user wants: its permissions do not have it."""


class NotThereError(ServersError):
    """The servers have no such stream or message."""


class _Denials:
    """What a connection was denied, and who waits for an answer on it meanwhile.

    Attributes:
        count: how often it was denied something.
        last: what the server said of it last.
    """

    def __init__(self) -> None:
        self.count, self.last = 0, ""
        self._waiting: set[asyncio.Timeout] = set()

    def came(self, said: str) -> None:
        """A server denied something; which of the questions, it does not say."""
        self.count, self.last = self.count + 1, said
        ends = asyncio.get_running_loop().time() + _AFTER_DENIAL_SECONDS
        for limit in self._waiting:
            if limit.when() is None:
                limit.reschedule(ends)

    @asynccontextmanager
    async def end_waiting(self) -> AsyncIterator[None]:
        """Raise `TimeoutError` in what waits inside, soon after a denial."""
        async with asyncio.timeout(None) as limit:
            self._waiting.add(limit)
            try:
                yield
            finally:
                self._waiting.discard(limit)


class Servers:
    """A connection, from its beginning to its end.

    Attributes:
        js: the stream engine.
        lost: done when the connection is gone.
        max_payload_bytes: the longest message the server takes.

    Raises:
        ServersError: it does not say that.
    """

    def __init__(self, client: Client, lost: asyncio.Future[None], denials: _Denials) -> None:
        self.js: JetStreamContext = client.jetstream(timeout=_ANSWER_SECONDS)
        self.lost = lost
        with as_servers_error():
            self.max_payload_bytes = max_payload(client.max_payload)
        self._client, self._denials = client, denials

    @property
    def where(self) -> str:
        """The server's address."""
        url = self._client.connected_url
        return url.netloc if url is not None else "a server that is gone"

    async def until_lost(self) -> None:
        """Wait for the connection's end.

        Raises:
            ServersError: it has come.
        """
        await asyncio.shield(self.lost)
        raise ServersError("the connection is gone")

    async def asked(self, answer: Awaitable[_T]) -> _T:
        """Wait for an answer.

        Raises:
            DeniedError: this user may not ask it.
            NotThereError: there is no such stream or message.
            ServersError: no answer, or an error.
        """
        denied = self._denials.count
        try:
            with as_servers_error():
                async with self._denials.end_waiting():
                    return checked(await answer)
        except ServersError as error:
            # The library waits for an answer to what was denied; that it was came beside it.
            if self._denials.count > denied:
                raise DeniedError(self._denials.last) from error
            raise

    async def hear(self, subject: str, heard: Callable[[], None]) -> None:
        """Have `heard` called for every message of a subject. It is a hint: what is there, is asked for.

        Raises:
            ServersError: the connection is gone.
        """

        async def came(_: Msg) -> None:
            heard()

        with as_servers_error():
            await self._client.subscribe(subject, cb=came)

    @asynccontextmanager
    async def pull(self, stream: str, config: api.ConsumerConfig) -> AsyncIterator[StreamPull]:
        """Read a stream by a new consumer, which goes at the end, as far as the connection still allows.

        Raises:
            DeniedError: this user may not.
            NotThereError: there is no such stream.
            ServersError: no answer, or an error.
        """
        consumer = await self.asked(self.js.add_consumer(stream, config))
        inbox = self._client.new_inbox()
        try:
            with as_servers_error():
                heard = await self._client.subscribe(inbox)
            try:
                yield StreamPull(self._client, heard, inbox, stream, f"{_NEXT}.{stream}.{consumer.name}")
            finally:
                with suppress(ServersError), as_servers_error():
                    await heard.unsubscribe()
        finally:
            # Where that fails, or this program is killed, the servers take it away after a while.
            with suppress(ServersError), as_servers_error():
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.js.delete_consumer(stream, consumer.name)


class StreamPull:
    """Gives what is in a stream, from its consumer's start on.

    The client library's own takes a message for a word of the server's by a header, which whoever writes into
    the stream can give it too: it would leave that message out, or end. A message of a stream has a subject
    for its acknowledgement, and a word of the server's has none.

    Args:
        client: the connection.
        heard: what comes for `inbox`.
        inbox: where messages are sent to.
        stream: the stream.
        next_subject: where they are asked for.
    """

    def __init__(
        self, client: Client, heard: Subscription, inbox: str, stream: str, next_subject: str
    ) -> None:
        self._client, self._heard, self._inbox = client, heard, inbox
        self._stream, self._next = stream, next_subject

    async def fetch(self, most: int, wait_seconds: float) -> list[Msg]:
        """At most so many messages that are there; where there are none, what comes next; empty: nothing did.

        Raises:
            ServersError: the consumer is gone, or nobody answers.
        """
        found = await self._some({"batch": most, "no_wait": True}, _ANSWER_SECONDS)
        if found:
            return found
        waiting = {"batch": 1, "expires": round(wait_seconds * 1e9)}
        return await self._some(waiting, wait_seconds + _ANSWER_SECONDS)

    async def _some(self, request: dict[str, Any], answer_seconds: float) -> list[Msg]:
        found: list[Msg] = []
        with as_servers_error():
            await self._client.publish(self._next, msgspec.json.encode(request), self._inbox)
            while len(found) < request["batch"]:
                message = await self._heard.next_msg(answer_seconds)
                if not message.reply:
                    status = (message.headers or {}).get("Status", "")
                    if status == _NOBODY:
                        raise ServersError(
                            f"{self._stream}: nobody gives it any more; it was deleted, or its server is gone"
                        )
                    if status not in _NO_MORE:
                        words = (message.headers or {}).get("Description", "").partition("\n")[0].strip()
                        raise ServersError(
                            f"{self._stream}: the servers give no more of it: {status} {words}"
                        )
                    break
                checked(message.metadata)
                found.append(message)
        return found


class ServersDoor:
    """Connects to the plant's servers with the key of the settings.

    Args:
        settings: of the servers.
        inbox: where answers go.
        name: of this program, in the servers' reports.
        on_denied: is called when a server refuses what this user's permissions do not have.

    Raises:
        InputError: the key file or the authority's certificate cannot be used.
    """

    def __init__(
        self, settings: ServersLink, inbox: str, name: str, on_denied: Callable[[str], None] = lambda _: None
    ) -> None:
        self._settings, self._inbox, self._name, self._on_denied = settings, inbox, name, on_denied
        files = settings.seed_file, settings.credentials_file
        self.key = read_key(*(None if file is None else Path(file) for file in files))
        self.tls = tls_context(settings.ca_file)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Servers]:
        """A connection to any of the servers.

        Raises:
            ServersError: none comes about.
        """
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        denials = _Denials()
        last: deque[str] = deque(maxlen=_ERRORS_TOLD)

        async def failed(error: Exception) -> None:
            last.append(_said(error))
            if _DENIED in str(error).lower():
                denials.came(str(error))
                self._on_denied(str(error))
                _denied.event(logging.WARNING, "denied", detail=str(error))

        async def closed() -> None:
            if not lost.done():
                lost.set_result(None)

        client = Client()
        try:
            await self._connect(client, failed, closed, last)
            yield Servers(client, lost, denials)
        finally:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await client.close()
            except (TimeoutError, OSError, nats.errors.Error) as error:
                log.event(_log, logging.DEBUG, "close_failed", detail=str(error))

    async def _connect(
        self,
        client: Client,
        failed: Callable[[Exception], Awaitable[None]],
        closed: Callable[[], Awaitable[None]],
        last: deque[str],
    ) -> None:
        more: dict[str, Any] = (
            {"nkeys_seed_str": self.key.seed} if self.key.seed else {"user_credentials": self.key.credentials}
        )
        more["reconnect_time_wait"] = _TRY_AGAIN_SECONDS  # taken as whole seconds by its type alone
        try:
            with as_servers_error():
                await client.connect(
                    list(self._settings.addresses),
                    name=self._name,
                    tls=self.tls,
                    inbox_prefix=self._inbox.encode(),
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # of each server, or the end takes minutes
                    connect_timeout=_CONNECT_SECONDS,
                    ping_interval=_PING_SECONDS,
                    max_outstanding_pings=_PINGS_UNANSWERED,
                    error_cb=failed,
                    closed_cb=closed,
                    **more,
                )
        except ServersError as error:
            said = "; ".join(dict.fromkeys(last)) or str(error)
            detail = f"no connection to {', '.join(self._settings.addresses)}: {said}"
            is_refused = "authorization" in said.lower()
            if is_refused:
                detail += f": the servers do not know the user {self.key.public}, or refuse its JWT"
            raise ServersError(detail, is_unreachable=not is_refused) from error


@contextmanager
def as_servers_error() -> Iterator[None]:
    """Turn what the library raises into errors of this module."""
    try:
        yield
    except nats.js.errors.NotFoundError as error:
        raise NotThereError(_said(error)) from error
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise ServersError(_said(error)) from error
    except msgspec.ValidationError as error:
        raise ServersError(f"what they say is no answer to this: {error}") from error
    # The library takes an answer apart without asking whether it is one.
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ServersError(f"what they say cannot be understood: {type(error).__name__}: {error}") from error


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """What a connection to a server is checked by: its certificate and name, and no TLS before 1.3.

    Raises:
        InputError: the file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"servers.ca_file {ca_file}: cannot be used: {error.strerror or error}; expected a PEM file"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _said(error: BaseException) -> str:
    if isinstance(error, nats.js.errors.APIError):
        return str(error.description or error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError | socket.gaierror):  # whose numbers are none of the system's
        return error.strerror or str(error)
    if isinstance(error, OSError):
        return why(error)
    return str(error).removeprefix("nats: ") or type(error).__name__
