"""Reads a stream over HTTP and records when each of its bytes came in, for `arrival_log`.

The socket is looked at in slices: only who looks knows that nothing came.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import httpcore
import httpx

from inspectd.capture.arrival_log import SLICE_SECONDS, ArrivalLog
from inspectd.capture.driver import CameraError

_SO_TIMESTAMPNS: Final = 35  # of Linux; the module `socket` does not name it
_CLOCK_SET_NS: Final = 1_000_000
_STAMPS_OLD_NS: Final = 10_000_000_000
"""What was stamped before the host's clock was set has been read after so long."""
_TIMESPEC: Final = struct.Struct("=qq")
_TCP_INFO: Final = struct.Struct("=68xI")  # tcpi_rtt, in microseconds
_LONGEST_PICTURE_BYTES: Final = 256 << 20
"""Most that a demuxer may gather for one picture; no JPEG of a camera is as large."""
_NO_STREAM: Final = ("text/", "application/json", "application/xml", "application/xhtml")
_PREAMBLE_BYTES: Final = 4096
_PART_HEAD: Final = re.compile(rb"--[^\n]*\n(?:[^\r\n][^\n]*\n)+\r?\n")
_DIGEST_KIND: Final = re.compile(r"\b(?:algorithm|qop)\s*=\s*(?:\"[^\"]*\"|[^\s,]+)")
_MOST_SHOWN: Final = 200
_NETWORK_ERRORS: Final = (
    httpx.HTTPError,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
)


class _Opening:
    """How long opening may still take, whatever it needs: connections, logins, redirects, the first bytes."""

    def __init__(self, seconds: float) -> None:
        self.awaits = ""
        """What is waited for."""
        self._seconds = seconds
        self._began_ns = time.monotonic_ns()
        self._until_ns: int | None = self._began_ns + int(seconds * 1e9)

    def begin_stream(self, seconds: float, most_seconds: float) -> None:
        """It answered, and may be silent for so long before its first picture, as before any other."""
        self.awaits = "the beginning of its stream"
        until_ns = min(time.monotonic_ns() + int(seconds * 1e9), self._began_ns + int(most_seconds * 1e9))
        if self._until_ns is not None and until_ns > self._until_ns:
            self._until_ns, self._seconds = until_ns, (until_ns - self._began_ns) / 1e9

    def end(self) -> None:
        """It is open: from now on only silence takes too long."""
        self._until_ns = None

    def left(self, timeout: float | None) -> float | None:
        """At most `timeout` seconds, and no more than are left.

        Raises:
            httpcore.TimeoutException: none are left.
        """
        if self._until_ns is None:
            return timeout
        left = (self._until_ns - time.monotonic_ns()) / 1e9
        if left <= 0:
            raise httpcore.TimeoutException
        return left if timeout is None else min(left, timeout)

    def why(self, error: Exception) -> str:
        """Why it failed, and of what did not come in time, what that was."""
        if self._until_ns is None or not isinstance(error, httpcore.TimeoutException):
            return _why(error)
        is_over = time.monotonic_ns() >= self._until_ns
        return f"{f'not within {self._seconds:.3g} s' if is_over else _why(error)}, waiting for {self.awaits}"


class _WatchedConnection(httpcore.NetworkStream):
    """A connection that notes what had arrived before each read."""

    def __init__(self, inner: httpcore.NetworkStream, seen: ArrivalLog, opening: _Opening) -> None:
        self._inner = inner
        self._seen = seen
        self._opening = opening
        self._stamps = Stamps(time.monotonic_ns)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what comes within `timeout` seconds, and note when.

        Raises:
            httpcore.TimeoutException: nothing came, or opening takes too long.
        """
        timeout = self._opening.left(timeout)
        connection = self._inner.get_extra_info("socket")
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        give_up_ns = time.monotonic_ns() + int((timeout or 1e9) * 1e9)
        slice_ns = int(SLICE_SECONDS * 1e9)
        while not (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            looked_ns = time.monotonic_ns()
            self._stamps.look()
            if poller.poll(SLICE_SECONDS * 1000):
                break
            # Nothing came up to the end of the slice, however much later this process could go on.
            self._seen.nothing_until(looked_ns + slice_ns)
            if time.monotonic_ns() > give_up_ns:
                raise httpcore.ReadTimeout("no data")
        self._seen.round_trip_ns = _round_trip_ns(connection)
        if isinstance(connection, ssl.SSLSocket):
            began_ns = time.monotonic_ns()
            data = self._inner.read(max_bytes, timeout)  # waits until a whole TLS record has come
            if (lasted_ns := time.monotonic_ns() - began_ns) > slice_ns:
                self._seen.waited(lasted_ns)
            # After it: more may have come since it was looked for.
            self._seen.something_at(time.monotonic_ns())
            return data
        try:
            found: tuple[bytes, list[tuple[int, int, bytes]], int, Any]
            found = connection.recvmsg(max_bytes, socket.CMSG_SPACE(_TIMESPEC.size))
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        came_ns = self._stamps.came_ns(found[1])
        self._seen.something_at(*[came_ns] * 2 if came_ns is not None else (time.monotonic_ns(),))
        return found[0]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """See `httpcore.NetworkStream.write`."""
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        """End the connection."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """See `httpcore.NetworkStream.start_tls`; the result is watched, too."""
        self._opening.awaits = f"TLS with {server_hostname}"
        inner = self._inner.start_tls(ssl_context, server_hostname, self._opening.left(timeout))
        self._opening.awaits = f"an answer of {server_hostname}"
        return _WatchedConnection(inner, self._seen, self._opening)

    def get_extra_info(self, info: str) -> Any:
        """See `httpcore.NetworkStream.get_extra_info`."""
        return self._inner.get_extra_info(info)


class Stamps:
    """When bytes came by the kernel, which notes it by the host's wall clock; that may be set at any time."""

    def __init__(self, clock: Callable[[], int], wall_clock: Callable[[], int] = time.time_ns) -> None:
        self._clock, self._wall_clock = clock, wall_clock
        self._ahead_ns = wall_clock() - clock()
        self._valid_from_ns = 0

    def look(self) -> None:
        """Note whether the wall clock was set since the last look: what was stamped before is not known."""
        ahead_ns = self._wall_clock() - self._clock()
        if abs(ahead_ns - self._ahead_ns) > _CLOCK_SET_NS:
            self._valid_from_ns = self._clock() + _STAMPS_OLD_NS
        self._ahead_ns = ahead_ns

    def came_ns(self, told: Iterable[tuple[int, int, bytes]]) -> int | None:
        """When the last of the bytes that were just read came; None: that is not known."""
        self.look()
        now_ns = self._clock()
        for level, kind, data in told:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS) and now_ns >= self._valid_from_ns:
                seconds, ns = _TIMESPEC.unpack(data)
                came_ns: int = seconds * 1_000_000_000 + ns - self._ahead_ns
                return min(now_ns, came_ns)
        return None


def _round_trip_ns(connection: socket.socket) -> int:
    """The connection's round trip as the kernel measured it, when the connection was made."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    return int(_TCP_INFO.unpack(info)[0]) * 1000


class _WatchedNetwork(httpcore.SyncBackend):
    def __init__(self, seen: ArrivalLog, opening: _Opening) -> None:
        self._seen = seen
        self._opening = opening

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect, and watch what comes.

        Raises:
            httpcore.ConnectError: there is no such host, or it does not answer.
        """
        self._opening.awaits = f"a connection to {host}:{port}"
        timeout = self._opening.left(timeout)
        try:
            inner = super().connect_tcp(host, port, timeout, local_address, socket_options)
        except UnicodeError as error:
            raise httpcore.ConnectError(f"no host can have the name {host[:_MOST_SHOWN]}") from error
        self._opening.awaits = f"an answer of {host}:{port}"
        inner.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        return _WatchedConnection(inner, self._seen, self._opening)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _WatchedTransport(httpx.BaseTransport):
    """httpx's way to the network, over connections that are watched."""

    def __init__(self, seen: ArrivalLog, opening: _Opening) -> None:
        self._pool = httpcore.ConnectionPool(network_backend=_WatchedNetwork(seen, opening))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport.handle_request`.

        Raises:
            httpx.UnsupportedProtocol: it is no HTTP that a camera leads to.
        """
        if request.url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol("no HTTP", request=request)
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port,
            target=request.url.raw_path,
        )  # fmt: skip
        response = self._pool.handle_request(
            httpcore.Request(
                request.method, url, headers=request.headers.raw, extensions=dict(request.extensions)
            )
        )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        """End all connections."""
        self._pool.close()


class HttpStream:
    """The body of a response that does not end: a file to read from, and when its bytes came."""

    def __init__(
        self,
        url: str,
        name: str,
        *,
        open_seconds: float,
        read_seconds: float,
        most_seconds: float,
    ) -> None:
        """Ask for `url`, which may hold a user and a password (basic or digest).

        Args:
            url: of the stream.
            name: how it may be shown.
            open_seconds: how long it may take until it answers.
            read_seconds: how long nothing may come; also, after the answer, until the stream begins.
            most_seconds: the longest until then, whatever it needs.

        Raises:
            CameraError: it does not answer, or not with a stream.
        """
        self.arrivals = ArrivalLog(time.monotonic_ns())
        self._name = name
        self._rest = b""
        self._unparsed = 0
        self._is_at_start = True
        self._opening = _Opening(open_seconds)
        with ExitStack() as stack:
            timeout = httpx.Timeout(read_seconds, connect=open_seconds)
            try:
                address = httpx.URL(url)
            except httpx.InvalidURL:
                raise CameraError(
                    f"{name}: is not a URL; a password with / ? # or @ in it has to be percent-encoded"
                ) from None  # its text shows the URL
            login = (address.username, address.password) if address.username else None
            client = stack.enter_context(
                httpx.Client(
                    transport=_WatchedTransport(self.arrivals, self._opening),
                    timeout=timeout,
                    follow_redirects=True,
                    headers={"accept-encoding": "identity"},
                )
            )
            try:
                response = self._ask(client, address.copy_with(username=None, password=None), login, stack)
            except httpx.UnsupportedProtocol as error:
                # Without what may be a secret of the camera's.
                leads_to = error.request.url.copy_with(
                    username=None, password=None, query=None, fragment=None
                )
                raise CameraError(
                    f"{name}: leads to {str(leads_to)[:_MOST_SHOWN]}: name that in `source`"
                ) from None
            except _NETWORK_ERRORS as error:
                why = self._opening.why(error)
                raise CameraError(f"{name}: cannot be opened ({why}); is it there and reachable?") from error
            self._opening.begin_stream(read_seconds, most_seconds)
            self.content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self.content_type.startswith(_NO_STREAM):
                raise CameraError(
                    f"{name}: answers with {self.content_type}, expected a stream such as "
                    "multipart/x-mixed-replace; does the path of `source` lead to a page instead?"
                )
            self._is_multipart = self.content_type.startswith("multipart/")
            # The stream's first byte is the first of the body: what came before were headers.
            self._chunks = response.iter_raw()
            self._opened = stack.pop_all()

    def _ask(
        self, client: httpx.Client, url: httpx.URL, login: tuple[str, str] | None, stack: ExitStack
    ) -> httpx.Response:
        response = stack.enter_context(client.stream("GET", url, auth=login))
        challenge = response.headers.get("www-authenticate", "").lower()
        if response.status_code == httpx.codes.UNAUTHORIZED and login and challenge.startswith("digest"):
            try:
                response = stack.enter_context(client.stream("GET", url, auth=httpx.DigestAuth(*login)))
            except (LookupError, NotImplementedError, ValueError):  # httpx knows not all there is of digest
                kind = ", ".join(["digest", *_DIGEST_KIND.findall(challenge)])
                raise CameraError(
                    f"{self._name}: asks for a login of a kind that is not known ({kind[:_MOST_SHOWN]}); "
                    "expected basic, or digest with qop auth and MD5, SHA, SHA-256 or SHA-512"
                ) from None
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise CameraError(f"{self._name}: refuses the user name or password (HTTP 401); correct `source`")
        if not response.is_success:
            raise CameraError(f"{self._name}: answers HTTP {response.status_code}, expected a stream")
        return response

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, as soon as there are any; none at the end.

        Raises:
            CameraError: nothing came in time, or the connection broke.
        """
        if not self._rest:
            self._rest = self._next()
            while self._is_at_start and self._rest and len(self._rest) < _PREAMBLE_BYTES:
                # A demuxer looks at the first part's head and goes back, within what one read gave it.
                if not self._is_multipart or _PART_HEAD.search(self._rest):
                    break
                self._rest += self._next()
            self._is_at_start = False
            self._opening.end()
        data, self._rest = self._rest[:size], self._rest[size:]
        self._unparsed += len(data)
        if self._unparsed > _LONGEST_PICTURE_BYTES:
            raise CameraError(
                f"{self._name}: sent {self._unparsed >> 20} MiB without the end of a picture; is it a camera?"
            )
        return data

    def _next(self) -> bytes:
        try:
            data = next(self._chunks, b"")
        except _NETWORK_ERRORS as error:
            raise CameraError(f"{self._name}: delivers no frame ({self._opening.why(error)})") from error
        self.arrivals.received(len(data), time.monotonic_ns())
        return data

    def picture_ended(self) -> None:
        """Note that the bytes read so far became a picture: the count towards the limit begins anew."""
        self._unparsed = 0

    def close(self) -> None:
        """End the connection."""
        self._opened.close()


def _why(error: Exception) -> str:
    return type(error).__name__ if not str(error) else str(error).lower()
