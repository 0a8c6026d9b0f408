"""A client's sockets: its keys, and what lets a connection outlive a cut link and a key that was refused."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from inspectd.client.clock import clock_seconds
from inspectd.client.decode import MAX_MESSAGE_BYTES
from inspectd.client.locked_out import Refused, locked_out, words
from inspectd.errors import InputError, UnavailableError
from inspectd.key_files import read_pair, read_public

_Answer = TypeVar("_Answer")

_EXPECTED: Final = "expected ipc:///path/to/verdicts.sock or tcp://127.0.0.1:5571"

_PING_MS: Final = 1000
_DEAD_AFTER_MS: Final = 3000
_FORGOTTEN_AFTER_MS: Final = 10_000
"""The daemon drops what it keeps for a client that was silent for so long."""
LOOK_MS: Final = 1000
"""Whoever waits looks so often whether ZeroMQ has given a connection up."""
_ANEW_SECONDS: Final = 2.0
"""Between two connections that are made: a line counts every refusal."""
_RECONNECT_MS: Final = 50
_SELDOM_MS: Final = 2000
"""ZeroMQ connects again after so long, and up to as much again, where hand-shakes are broken off."""
_BROKEN_OFF_IN_A_ROW: Final = 3
"""A line that starts or stops breaks off fewer."""
_ASKED_LOOK_MS: Final = 100
_SILENT_SECONDS: Final = 5.0
"""Longer than any step of ZeroMQ's towards a connection, but for the name server's: without one, it makes
none again."""

_HOW: Final[dict[int, Refused]] = {
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: Refused.KEY,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: Refused.NO_LINE,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: Refused.BROKEN_OFF,
}
_EVENTS: Final = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | sum(_HOW)
"""These alone: but for broken off hand-shakes they come once for each connection. ZeroMQ keeps what is not
taken, and stands still once it is too much, until `LastingConnection.keep`."""
_COMES_ABOUT: Final = zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_CONNECTED
"""ZeroMQ is on its way to another connection; many times a second where nothing is there."""
_monitors: Final = itertools.count()
"""Their numbers; a sender may make one connection after another before ZeroMQ has freed an address."""


class CannotConnectError(InputError):
    """No connection can be made: an endpoint or a key file cannot be used, at least at this moment."""


class ClientKeys(msgspec.Struct, frozen=True):
    """Keys that let a client in over TCP; local sockets need none.

    Attributes:
        server_key: file of the daemon's public key, `server.key`.
        client_key: file of the client's own pair, `NAME.key_secret`, readable by its owner alone.
    """

    server_key: Path
    client_key: Path


def subscriber(context: zmq.Context[Any], queue_messages: int) -> Any:
    """A socket for what is published; nothing is subscribed to yet."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, queue_messages)
    return _lasting(socket)


def requester(context: zmq.Context[Any]) -> Any:
    """A socket for requests to `sync` or `control`."""
    return _lasting(context.socket(zmq.DEALER))


def connect(socket: Any, endpoint: str, keys: ClientKeys | None = None) -> None:
    """Connect; a publisher that is not there yet is waited for, in the background.

    Raises:
        CannotConnectError: the endpoint cannot be one, or a key file cannot be used.
    """
    try:
        _connect(socket, endpoint, keys)
    except InputError as error:
        raise CannotConnectError(str(error)) from error


class LastingConnection:
    """A socket's one connection, made anew where ZeroMQ has given up, as it does for good and without a word.

    It does when a line refuses a key, and when a line has no keys and the client has, or the other way round.
    Both may be over a second later: the list of keys was being written, or a key is allowed again. It does,
    too, after a message that is damaged or longer than a line's are.

    Where a hand-shake is broken off, ZeroMQ knocks again many times a second, and says nothing either. A line
    whose own key was replaced does that: it is knocked at seldom then, until it lets this program in.

    One alone: ZeroMQ names what it was given first as it was given, and by its address from then on, which
    may be that of several host names.

    Args:
        socket: the socket; one that is made here with `subscriber` or `requester`.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, socket: Any, clock: Callable[[], float] = clock_seconds) -> None:
        self._socket, self._clock = socket, clock
        self._left: list[int] = []
        """Events that came before ZeroMQ was asked for others."""
        self._events = self._monitor(_EVENTS)
        self._endpoint = ""
        self._server_key: Path | None = None
        self._is_given_up = False
        self._ended_at: float | None = None
        """A connection that had come about ended then, and ZeroMQ has not begun to make another one since."""
        self._connected_at = 0.0
        self._broken_off = 0
        """Hand-shakes in a row."""
        self._is_seldom = False
        self.problem = ""
        """Why there is no connection though something is there, in words; empty: there is, or nothing is."""

    def connect(self, endpoint: str, keys: ClientKeys | None = None) -> None:
        """As the function of this name; once.

        Raises:
            CannotConnectError: the endpoint cannot be one, or a key file cannot be used.
        """
        # Whoever asks every few seconds does not knock anew each time.
        self._is_seldom = endpoint in locked_out.problems()
        self._knock_again()
        connect(self._socket, endpoint, keys)
        self._endpoint, self._server_key = endpoint, keys.server_key if keys is not None else None
        self._connected_at = self._clock()

    def keep(self) -> None:
        """Connect anew where ZeroMQ gave up; never waits. To be called every `LOOK_MS`, or before a send."""
        # Until the socket is asked something, what it was disconnected from is knocked at as before.
        self._socket.getsockopt(zmq.EVENTS)
        seen = self._take_events()
        is_anew = False
        for event in seen:
            # One that ended and has come back meanwhile is not cut: what is sent would go with it.
            if event != zmq.EVENT_DISCONNECTED or seen[-1] == event:
                is_anew = self._must_connect_anew(event) or is_anew
        self._see_whether_ended(seen)
        if is_anew or (self._is_given_up and self._clock() - self._connected_at >= _ANEW_SECONDS):
            self._socket.disconnect(self._endpoint)
            self._knock_again()
            self._socket.connect(self._endpoint)
            self._is_given_up = False
            self._connected_at = self._clock()

    def poll(self, milliseconds: int, events: int = zmq.POLLIN, look_ms: int = LOOK_MS) -> int:
        """As the socket's own, and connects anew meanwhile where ZeroMQ has given up."""
        self.keep()
        while not (ready := self._socket.poll(min(milliseconds, look_ms), events)) and milliseconds > look_ms:
            milliseconds -= look_ms
            self.keep()
        return int(ready)

    def close(self) -> None:
        """Close the socket."""
        # Where ZeroMQ stands still it holds the lock that `disable_monitor` takes: no thread would go on.
        self._take_events()
        self._socket.disable_monitor()
        self._events.close(linger=0)
        self._socket.close(linger=0)

    def _see_whether_ended(self, seen: list[int]) -> None:
        """Give a connection up that ended, and that ZeroMQ does not begin to make again."""
        if seen:
            had_ended = self._ended_at is not None
            has_ended = seen[-1] == zmq.EVENT_DISCONNECTED and not self._broken_off
            self._ended_at = self._clock() if has_ended else None
            if has_ended != had_ended:
                before = self._events
                self._events = self._monitor(_EVENTS | _COMES_ABOUT if has_ended else _EVENTS)
                self._left += _taken(before)
                before.close(linger=0)
            return
        is_silent = self._ended_at is not None and self._clock() - self._ended_at >= _SILENT_SECONDS
        # What came before is read first: connecting anew would drop it.
        if is_silent and not self._socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._ended_at = self._clock()
            self._refused(Refused.NOT_MADE_AGAIN if _has_name(self._endpoint) else Refused.UNREADABLE)
            self._is_given_up = True

    def _monitor(self, events: int) -> Any:
        """Where ZeroMQ says these from now on, and no others any more."""
        address = f"inproc://monitor-{next(_monitors)}"
        self._socket.monitor(address, events)
        monitor = self._socket.context.socket(zmq.PAIR)
        monitor.connect(address)
        return monitor

    def _take_events(self) -> list[int]:
        """What happened, in turn; where ZeroMQ stood still it goes on."""
        seen, self._left = self._left + _taken(self._events), []
        return seen

    def _must_connect_anew(self, event: int) -> bool:
        """Take in what happened; whether it is connected anew at once, as it now knocks otherwise."""
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            locked_out.let_in(self._endpoint)
            self._broken_off = 0
            self.problem = ""
        elif event == zmq.EVENT_DISCONNECTED:
            # It knocks seldom while it is let in, too: only now nothing can be lost by connecting anew.
            if self._is_seldom and not self._broken_off:
                self._is_seldom = False
                return True
        elif (how := _HOW.get(event)) is not None:
            self._refused(how)
            self._broken_off += 1
            if how is not Refused.BROKEN_OFF:
                self._is_given_up = True
            elif self._broken_off >= _BROKEN_OFF_IN_A_ROW and not self._is_seldom:
                self._is_seldom = True
                return True
        return False

    def _refused(self, how: Refused) -> None:
        locked_out.refused(self._endpoint, how, self._server_key, self._clock())
        self.problem = ": ".join(words(how, self._server_key))

    def _knock_again(self) -> None:
        """Set how often, for the connection that is made next."""
        self._socket.setsockopt(zmq.RECONNECT_IVL, _SELDOM_MS if self._is_seldom else _RECONNECT_MS)


class Asker:
    """Asks one line. Belongs to the thread that made it.

        with Asker(endpoint, "sync", keys) as asker:
            asker.send(request, timeout_seconds=5.0)
            answer = asker.receive(decode)

    Args:
        endpoint: where.
        socket: which of the line's sockets that is, `sync` or `control`.
        keys: for TCP with keys.
        clock: seconds on a clock that never goes back.

    Raises:
        InputError: the endpoint or a key file cannot be used.
    """

    def __init__(
        self,
        endpoint: str,
        socket: str,
        keys: ClientKeys | None = None,
        *,
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        self._endpoint, self._hint = endpoint, f"is this the {socket} socket of a running line?"
        self._once_sent, self._clock = "", clock
        self._seconds = self._until = 0.0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = requester(self._context)
        # A request is not kept for a line that is away: it would go where the connection is made anew, and
        # another part may be there when the line is back.
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._connection = LastingConnection(self._socket)
        try:
            self._connection.connect(endpoint, keys)
        except InputError:
            self.close()
            raise

    def send(self, request: bytes, timeout_seconds: float, *, once_sent: str = "") -> None:
        """Ask; each answer may take so long.

        Args:
            request: what is sent.
            timeout_seconds: longest wait for each answer.
            once_sent: what more to know where it was sent, and no answer came.

        Raises:
            UnavailableError: nothing takes it in time.
        """
        self._once_sent = once_sent
        self._seconds, self._until = timeout_seconds, self._clock() + timeout_seconds
        is_there = self._connection.poll(self._left_ms(), zmq.POLLOUT, _ASKED_LOOK_MS)
        if not is_there or self._clock() > self._until:
            raise self._no_answer(self._connection.problem or self._hint)
        try:
            self._socket.send(request, zmq.NOBLOCK)
        except zmq.Again:  # the connection went away in between
            raise self._no_answer(self._hint) from None

    def receive(
        self, decode: Callable[[list[bytes]], _Answer], is_meant: Callable[[_Answer], bool] = lambda _: True
    ) -> _Answer:
        """The next answer.

        Args:
            decode: reads the parts of an answer.
            is_meant: false: it answers a request that timed out, and is dropped.

        Raises:
            UnavailableError: none comes in time, or not in this format.
        """
        # Without connecting anew: an answer would not find its way.
        while self._socket.poll(self._left_ms()):
            locked_out.let_in(self._endpoint)
            try:
                answer = decode(self._socket.recv_multipart())
            except (ValueError, RecursionError) as error:
                raise UnavailableError(
                    f"{self._endpoint}: answered with something else: {error}; is this line's inspectd older?"
                ) from error
            if is_meant(answer):
                self._until = self._clock() + self._seconds
                return answer
        raise self._no_answer(self._hint + self._once_sent)

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)

    def _left_ms(self) -> int:
        return max(0, round((self._until - self._clock()) * 1000))

    def _no_answer(self, why: str) -> UnavailableError:
        return UnavailableError(f"{self._endpoint}: no answer within {self._seconds:g} s; {why}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sync_endpoint(verdicts: str, sync: str | None) -> str:
    """Where replays are asked for: as given, or beside a local `verdicts.sock`.

    Raises:
        InputError: it is not given and cannot be derived from the other.
    """
    if sync is not None:
        return sync
    if verdicts.startswith("ipc://") and verdicts.endswith("/verdicts.sock"):
        return verdicts.removesuffix("verdicts.sock") + "sync.sock"
    raise InputError(f"endpoint {verdicts!r}: the sync endpoint must be given with it")


def _has_name(endpoint: str) -> bool:
    """Whether a name server, or what stands for one, is asked where that is."""
    scheme, _, address = endpoint.partition("://")
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return scheme == "tcp"
    return False


def _taken(monitor: Any) -> list[int]:
    events: list[int] = []
    while monitor.poll(0):
        events.append(parse_monitor_message(monitor.recv_multipart())["event"])
    return events


def _lasting(socket: Any) -> Any:
    """A cut link gives no sign: pings notice it, and short time-outs find it again."""
    for option, value in (
        (zmq.IPV6, 1),  # for IPv4 too; without it an IPv6 address is silently never reached
        (zmq.LINGER, 0),
        (zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES),
        (zmq.HEARTBEAT_IVL, _PING_MS),
        (zmq.HEARTBEAT_TIMEOUT, _DEAD_AFTER_MS),
        (zmq.HEARTBEAT_TTL, _FORGOTTEN_AFTER_MS),
        (zmq.HANDSHAKE_IVL, _DEAD_AFTER_MS),
        (zmq.CONNECT_TIMEOUT, _DEAD_AFTER_MS),
        (zmq.RECONNECT_IVL, _RECONNECT_MS),
        (zmq.RECONNECT_IVL_MAX, 0),
    ):
        socket.setsockopt(option, value)
    return socket


def _connect(socket: Any, endpoint: str, keys: ClientKeys | None) -> None:
    scheme, _, address = endpoint.partition("://")
    if scheme not in {"ipc", "tcp"} or not address:
        raise InputError(f"endpoint {endpoint!r}: {_EXPECTED}")
    try:
        # ZeroMQ would wait for ever at a path that can never be one; a socket still to come is fine.
        if scheme == "ipc" and Path(address).exists() and not Path(address).is_socket():
            raise InputError(f"endpoint {endpoint!r}: {address} is not a socket, {_EXPECTED}")
        if scheme == "tcp" and keys is not None:
            _use_keys(socket, keys)
        socket.connect(endpoint)
    except (zmq.ZMQError, OSError) as error:
        raise InputError(f"endpoint {endpoint!r}: {error.strerror}, {_EXPECTED}") from error


def _use_keys(socket: Any, keys: ClientKeys) -> None:
    pair = read_pair(keys.client_key)
    socket.curve_serverkey = read_public(keys.server_key)
    socket.curve_publickey, socket.curve_secretkey = pair.public, pair.secret
