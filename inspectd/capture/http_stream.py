"""Reads a stream over HTTP and records when each of its bytes came in.

Motion JPEG over HTTP carries no time. What can be known is when bytes arrive, and only by looking: a reader
that was held up finds the pictures of the whole time in the buffers of both machines, and they come at once,
one after the other, like new ones. And a network that holds something back gives all of it at once. So the
socket is looked at in slices, and the beginning of the last silence between two pictures is the earliest that
the second can have been sent: had it been on its way then, it would have come with the first.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import struct
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import accumulate, islice, pairwise
from statistics import fmean, median
from typing import Any, Final, NamedTuple

import httpcore
import httpx

from inspectd.capture.driver import CameraError

_SLICE_SECONDS: Final = 0.002
_LONGEST_SILENCE_NS: Final = 8_000_000
_SHORTEST_SILENCE_NS: Final = 2_000_000
_SILENT_SHARE: Final = 0.25
"""Of the time between two pictures: silence this long shows that the sender has nothing left to send."""
_STEADY: Final = 4
"""Pictures one after the other that have to come as the camera takes them before a silence shows anything."""
_USUALLY_SILENT: Final = 4
"""Of twice as many pictures: so many have to have come after a silence, else what is sent fills the link."""
_UNSTEADY_SHARE: Final = 0.75
"""Of that time: pictures that come sooner or later than even ones would, by more than this, are a backlog, or
may hide one. A camera that leaves out every third picture of its sensor is within it."""
_STALL_SHARE: Final = 1.5
"""Of that time: a picture that comes so much later than it should may begin a backlog."""
_STILL_COMING: Final = 48
"""Pictures in which a backlog becomes smaller, by `_FEWER_SHARE` of that time, if there is one."""
_FEWER_SHARE: Final = 0.5
_NEAR_SHARE: Final = 0.25
"""Of that time: a picture that comes so near a multiple of it comes after some that the camera left out."""
_EVEN_SHARE: Final = 0.25
"""Of that time: a pace is even if the mean of `_ARRIVALS` pictures is never sooner or later by more. So a
camera may jitter, but what hands on a backlog, whose every delay stays, is not even for long."""
_SURE_PICTURES: Final = 256
"""So many in a row tell the pace to `_PACE_DOUBT`, with the jitter that cameras have."""
_PACE_DOUBT: Final = 0.003
_LOOK_NS: Final = 500_000_000
"""How often the pace is learned, which costs about a microsecond for each picture of half a minute."""
_SETTLE_NS: Final = 1_000_000_000
_RATE_WINDOW_NS: Final = 30_000_000_000
_ARRIVALS: Final = 16  # whose middle interval is taken, or whose mean
_OF_A_PAUSE: Final = 2
"""A sender that waits for the network pauses within pictures too; a silence is longer than such a pause, and
than a round trip, by so much."""
_PAUSES: Final = 8  # pictures whose longest pause is remembered
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
_REMEMBERED_CHUNKS: Final = 4096
_NETWORK_ERRORS: Final = (
    httpx.HTTPError,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
)


class ArrivalSpan(NamedTuple):
    """Span in which the sending of a picture began."""

    earliest_ns: int
    latest_ns: int


class _Silence(NamedTuple):
    """A time in which nothing came, and the offset at which it lies."""

    offset: int
    since_ns: int
    lasted_ns: int


class ArrivalLog:
    """Arrival times of a stream's bytes, by their offset. Pure: time is handed in.

    A picture that comes after a silence was sent after the silence began, however long the network held it
    back meanwhile (a lost packet, a link that was down, a radio that sleeps). One that comes without a
    silence before it may have waited, here or at the sender, since the last. A silence within a picture shows
    that the sender waits for the network, and how long: none as short shows anything between two pictures.
    Where what is sent fills the link, pictures come without one, and a silence is a rest of the link. Nor
    does a silence show anything unless the last pictures came as the camera takes them: what hands on a
    backlog may rest between them. How often the camera takes pictures shows over a time that a backlog and
    what caused it fit in. So nothing is known of the first pictures of a connection: a relay may begin with
    what it kept from before. Nor of those after a stall, until the pictures of that time have come or plainly
    do not: where others on the link stand between those of a backlog it comes evenly, each after a silence.
    A backlog also gathers without a stall, while the share of a link falls slowly: a picture may have been
    sent sooner by what it is behind the camera's pace, and nothing is known while that is much.
    """

    def __init__(self, began_ns: int) -> None:
        """Nothing has come when the connection begins."""
        self.round_trip_ns = 0
        self._begun_ns: deque[int] = deque()
        self._settled_ns: int | None = None
        self._silent_since_ns = began_ns
        self._silent_until_ns = began_ns
        self._read_ns = began_ns
        self._earliest_ns = 0
        self._offset = 0
        self._offsets: deque[int] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._came: deque[ArrivalSpan] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._silences: deque[_Silence] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._pauses_ns: deque[int] = deque(maxlen=_PAUSES)
        self._came_after_silence: deque[bool] = deque(maxlen=2 * _USUALLY_SILENT)
        self._end = 0
        self._stall = _Stall()
        self._lag = _Lag()

    def nothing_until(self, time_ns: int) -> None:
        """Note that there was nothing to read up to this moment."""
        self._silent_until_ns = time_ns

    def waited(self, lasted_ns: int) -> None:
        """Note that what had begun to come took so long until it could be read."""
        self._silences.append(_Silence(self._offset + 1, self._silent_until_ns, lasted_ns))

    def something_at(self, latest_ns: int, earliest_ns: int | None = None) -> None:
        """Note that something has been read that came between these moments, as far as they are known.

        It had not come while there was nothing to read, whatever clocks say.
        """
        earliest_ns = max(earliest_ns or 0, self._silent_until_ns)
        latest_ns = max(latest_ns, earliest_ns)
        lasted_ns = self._silent_until_ns - max(self._silent_since_ns, self._read_ns)
        if lasted_ns > 0:
            self._silences.append(_Silence(self._offset, self._silent_since_ns, lasted_ns))
        if self._offsets and self._offsets[-1] == self._offset:
            # What was read before held no byte of the body yet.
            self._came.pop()
        else:
            self._offsets.append(self._offset)
        self._came.append(ArrivalSpan(earliest_ns, latest_ns))

    def received(self, size: int, now_ns: int) -> None:
        """Note that `size` bytes of what was read belong to the stream, as is found by now.

        Nothing has come since they did, however late they were read: else it would have been read with them.
        But only from now on does that show anything of the sender: until then there may have been no room.
        """
        self._offset += size
        came_ns = self._came[-1].latest_ns if self._came else now_ns
        self._silent_since_ns = self._silent_until_ns = min(came_ns, now_ns)
        self._read_ns = now_ns

    def picture(self, begin: int, size: int) -> ArrivalSpan:
        """Span in which the picture at these bytes was sent; call it for each in order, after it has come."""
        end = begin + size
        pause_ns = 0
        before: list[_Silence] = []
        while self._silences and self._silences[0].offset < end:
            found = self._silences.popleft()
            if found.offset > begin:
                pause_ns = max(pause_ns, found.lasted_ns)
            elif found.offset >= self._end:
                before.append(found)
            else:  # it lay within the one before, and came to light since
                self._pauses_ns.append(found.lasted_ns)
        self._pauses_ns.append(pause_ns)
        self._end = end
        index = bisect_right(self._offsets, begin) - 1
        if index < 0:  # longer ago than is remembered
            return ArrivalSpan(0, self._came[0].latest_ns if self._came else 0)
        came = self._came[index]
        self._note_silences(before, came.earliest_ns)
        was_stalled = bool(self._stall.owed_ns)
        were_lost = self._stall.note(came.latest_ns, self._begun_ns)
        if came.latest_ns >= (self._settled_ns or 0):
            self._lag.note(came.latest_ns, is_stalled=was_stalled or bool(self._stall.owed_ns))
        if were_lost:
            # The time without those that were lost says nothing of how often the camera takes pictures.
            while len(self._begun_ns) > _STILL_COMING:
                self._begun_ns.popleft()
        self._begun_ns.append(came.latest_ns)
        while self._begun_ns[-1] - self._begun_ns[0] > _RATE_WINDOW_NS:
            self._begun_ns.popleft()
        return ArrivalSpan(self._earliest_ns, came.latest_ns)

    def _note_silences(self, before: Iterable[_Silence], came_ns: int) -> None:
        """Take the last silence before a picture that came then, if it shows anything."""
        least_ns = max(self._silence_ns(), _OF_A_PAUSE * max(self.round_trip_ns, *self._pauses_ns, 0))
        is_usual = sum(self._came_after_silence) >= _USUALLY_SILENT
        self._came_after_silence.append(any(silence.lasted_ns >= least_ns for silence in before))
        if self._is_steady(came_ns) and is_usual and not self._stall.owed_ns and not self._lag.is_long:
            for silence in before:
                if silence.lasted_ns >= least_ns:
                    since_ns = silence.since_ns - int(self._lag.lag_ns)
                    self._earliest_ns = max(self._earliest_ns, since_ns)

    def _silence_ns(self) -> int:
        """The least silence between two pictures, a share of the time between the last ones."""
        last = list(islice(reversed(self._begun_ns), _ARRIVALS))
        if len(last) <= 1:
            return _LONGEST_SILENCE_NS
        share_ns = int(_SILENT_SHARE * median(later - sooner for later, sooner in pairwise(last)))
        return min(_LONGEST_SILENCE_NS, max(_SHORTEST_SILENCE_NS, share_ns))

    def _is_steady(self, came_ns: int) -> bool:
        """Whether the last pictures came as the camera takes them, and one that comes now not too soon."""
        if self._settled_ns is None:
            self._settled_ns = came_ns + _SETTLE_NS
        if came_ns < self._settled_ns or len(self._begun_ns) <= _STEADY:
            return False
        interval_ns = (self._begun_ns[-1] - self._begun_ns[0]) / (len(self._begun_ns) - 1)
        # By how much each came later than this one, had they come evenly.
        late_ns = [
            begun_ns - came_ns + number * interval_ns
            for number, begun_ns in enumerate(islice(reversed(self._begun_ns), _STEADY + 1), 1)
        ]
        most_ns = max(_UNSTEADY_SHARE * interval_ns, 2e9 * _SLICE_SECONDS)
        return max(late_ns) <= most_ns and max(late_ns) - min(late_ns) <= most_ns


class _Stall:
    """Whether pictures of the time of a stall are still to come, by how far those since then are behind."""

    def __init__(self) -> None:
        self.owed_ns = 0.0
        """Time whose pictures may still come; 0: none."""
        self._owed_before_ns = 0.0
        self._pictures = 0
        self._was_late = False
        self._pace_ns = 0.0

    def note(self, begun_ns: int, before_ns: deque[int]) -> bool:
        """Note when a picture came, and when those before it did; True where those of a stall were lost."""
        last_ns = before_ns[-1] if before_ns else begun_ns
        if not self.owed_ns:
            self._was_late = False
            if len(before_ns) <= _STEADY or last_ns - before_ns[0] < _SETTLE_NS:
                return False
            self._pace_ns = (last_ns - before_ns[0]) / (len(before_ns) - 1)
        late_ns = begun_ns - last_ns - self._pace_ns
        is_late = late_ns > _STALL_SHARE * self._pace_ns
        if not (is_late or self.owed_ns):
            return False
        self.owed_ns += late_ns
        self._pictures += 1
        if is_late and not self._was_late:  # not each time: then the camera's rate has changed
            self._owed_before_ns, self._pictures = self.owed_ns, 0
        self._was_late = is_late
        if self.owed_ns <= _UNSTEADY_SHARE * self._pace_ns:
            self.owed_ns = 0.0  # they have come
        elif self._pictures >= _STILL_COMING:
            were_lost = self._owed_before_ns - self.owed_ns < _FEWER_SHARE * self._pace_ns
            if were_lost:
                self.owed_ns = 0.0
            self._owed_before_ns, self._pictures = self.owed_ns, 0
            return were_lost
        return False


class _Lag:
    """How far pictures are behind the quickest even pace that they kept on this connection.

    While a sender gets a little less of the link than its camera takes, it gathers a backlog, and they come
    evenly, a little too slowly. Those of a camera that became slower come so, too: the two cannot be told
    apart. So either is behind until what is missing has come, or until the pace has been even for half a
    minute, as a camera's is, and a link's only where nothing on it varies. So is what lost some meanwhile.
    """

    def __init__(self) -> None:
        self.lag_ns = 0.0
        self.is_long = False
        """Whether it is so much that nothing is known of the pictures."""
        self._pace_ns = 0.0
        self._begun_ns: deque[int] = deque(maxlen=_REMEMBERED_CHUNKS)
        self._look_ns = 0

    def note(self, begun_ns: int, *, is_stalled: bool) -> None:
        """Note when a picture came, and whether in a stall, which `_Stall` knows about."""
        if self._pace_ns and self._begun_ns and not is_stalled:
            since_ns = begun_ns - self._begun_ns[-1]
            due_ns = _intervals(since_ns, self._pace_ns) * self._pace_ns * (1 + _PACE_DOUBT)
            self.lag_ns = max(0.0, self.lag_ns + since_ns - due_ns)
            self.is_long = self.lag_ns > _UNSTEADY_SHARE * self._pace_ns
        self._begun_ns.append(begun_ns)
        while len(self._begun_ns) > 1 and begun_ns - self._begun_ns[1] >= _RATE_WINDOW_NS:
            self._begun_ns.popleft()
        is_whole = (
            begun_ns - self._begun_ns[0] >= _RATE_WINDOW_NS or len(self._begun_ns) == _REMEMBERED_CHUNKS
        )
        are_enough = is_whole or (len(self._begun_ns) >= _SURE_PICTURES and not self.is_long)
        if are_enough and not is_stalled and begun_ns >= self._look_ns:
            self._look_ns = begun_ns + _LOOK_NS
            self._learn()

    def _learn(self) -> None:
        """Learn the pace from the last pictures, if they kept one."""
        pace_ns, is_even = _pace(self._begun_ns)
        if is_even and (self.is_long or not self._pace_ns):
            self._pace_ns, self.lag_ns, self.is_long = pace_ns, 0.0, False
        elif is_even:
            self._pace_ns = min(self._pace_ns, pace_ns)


def _intervals(since_ns: float, pace_ns: float) -> int:
    """How many intervals of a camera lie between two pictures: those between were left out, or lost."""
    number = round(since_ns / pace_ns)
    is_near = abs(since_ns - number * pace_ns) <= _NEAR_SHARE * pace_ns
    return max(1, number) if is_near or number > 1 + _STALL_SHARE else 1


def _pace(begun_ns: Iterable[int]) -> tuple[float, bool]:
    """The mean time between pictures, also those that were left out, and whether they kept it all along."""
    since_ns = [later - sooner for sooner, later in pairwise(begun_ns)]
    usual_ns = max(1.0, median(since_ns))
    numbers = [_intervals(each_ns, usual_ns) for each_ns in since_ns]
    pace_ns = sum(since_ns) / sum(numbers)
    late_ns = list(
        accumulate(each - number * pace_ns for each, number in zip(since_ns, numbers, strict=True))
    )
    firsts = range(0, max(1, len(late_ns) - _ARRIVALS + 1), _ARRIVALS)
    means_ns = [fmean(late_ns[first : first + _ARRIVALS]) for first in firsts]
    return pace_ns, max(means_ns) - min(means_ns) <= _EVEN_SHARE * pace_ns


class _WatchedConnection(httpcore.NetworkStream):
    """A connection that notes what had arrived before each read."""

    def __init__(self, inner: httpcore.NetworkStream, seen: ArrivalLog, clock: Callable[[], int]) -> None:
        self._inner = inner
        self._seen = seen
        self._clock = clock
        self._stamps = Stamps(clock)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what comes within `timeout` seconds, and note when.

        Raises:
            httpcore.ReadTimeout: nothing came.
        """
        connection = self._inner.get_extra_info("socket")
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        give_up_ns = self._clock() + int((timeout or 1e9) * 1e9)
        slice_ns = int(_SLICE_SECONDS * 1e9)
        while not (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            looked_ns = self._clock()
            self._stamps.look()
            if poller.poll(_SLICE_SECONDS * 1000):
                break
            # Nothing came up to the end of the slice, however much later this process could go on.
            self._seen.nothing_until(looked_ns + slice_ns)
            if self._clock() > give_up_ns:
                raise httpcore.ReadTimeout("no data")
        self._seen.round_trip_ns = _round_trip_ns(connection)
        if isinstance(connection, ssl.SSLSocket):
            began_ns = self._clock()
            data = self._inner.read(max_bytes, timeout)  # waits until a whole TLS record has come
            if (lasted_ns := self._clock() - began_ns) > slice_ns:
                self._seen.waited(lasted_ns)
            self._seen.something_at(self._clock())  # after it: more may have come since it was looked for
            return data
        try:
            found: tuple[bytes, list[tuple[int, int, bytes]], int, Any]
            found = connection.recvmsg(max_bytes, socket.CMSG_SPACE(_TIMESPEC.size))
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        came_ns = self._stamps.came_ns(found[1])
        self._seen.something_at(*[came_ns] * 2 if came_ns is not None else (self._clock(),))
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
        inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return _WatchedConnection(inner, self._seen, self._clock)

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
    def __init__(self, seen: ArrivalLog, clock: Callable[[], int]) -> None:
        self._seen = seen
        self._clock = clock

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect, and watch what comes."""
        inner = super().connect_tcp(host, port, timeout, local_address, socket_options)
        inner.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        return _WatchedConnection(inner, self._seen, self._clock)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _WatchedTransport(httpx.BaseTransport):
    """httpx's way to the network, over connections that are watched."""

    def __init__(self, seen: ArrivalLog, clock: Callable[[], int]) -> None:
        self._pool = httpcore.ConnectionPool(network_backend=_WatchedNetwork(seen, clock))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport.handle_request`."""
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
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Ask for `url`, which may hold a user and a password (basic or digest).

        Args:
            url: of the stream.
            name: how it may be shown.
            open_seconds: how long connecting may take.
            read_seconds: how long nothing may come.
            clock: CLOCK_MONOTONIC.

        Raises:
            CameraError: it does not answer, or not with a stream.
        """
        self.arrivals = ArrivalLog(clock())
        self._name = name
        self._clock = clock
        self._rest = b""
        self._unparsed = 0
        self._is_at_start = True
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
                    transport=_WatchedTransport(self.arrivals, clock),
                    timeout=timeout,
                    follow_redirects=True,
                    headers={"accept-encoding": "identity"},
                )
            )
            try:
                response = self._ask(client, address.copy_with(username=None, password=None), login, stack)
            except _NETWORK_ERRORS as error:
                raise CameraError(
                    f"{name}: cannot be opened ({_why(error)}); is it there and reachable?"
                ) from error
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
            response = stack.enter_context(client.stream("GET", url, auth=httpx.DigestAuth(*login)))
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
            raise CameraError(f"{self._name}: delivers no frame ({_why(error)})") from error
        self.arrivals.received(len(data), self._clock())
        return data

    def picture_ended(self) -> None:
        """Note that the bytes read so far became a picture: the count towards the limit begins anew."""
        self._unparsed = 0

    def close(self) -> None:
        """End the connection."""
        self._opened.close()


def _why(error: Exception) -> str:
    return type(error).__name__ if not str(error) else str(error).lower()
