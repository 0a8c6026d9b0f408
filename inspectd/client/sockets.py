"""A client's sockets: its keys, and what lets a connection outlive a cut link, and a key that was refused."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import zmq
from zmq.utils.monitor import parse_monitor_message

from inspectd.client.decode import MAX_MESSAGE_BYTES
from inspectd.errors import InputError
from inspectd.key_files import read_pair, read_public

_EXPECTED: Final = "expected ipc:///path/to/verdicts.sock or tcp://127.0.0.1:5571"

_PING_MS: Final = 1000
_DEAD_AFTER_MS: Final = 3000
_FORGOTTEN_AFTER_MS: Final = 10_000
"""The daemon drops what it keeps for a client that was silent for so long."""
LOOK_MS: Final = 1000
"""Whoever waits looks so often whether ZeroMQ has given a connection up."""
_ANEW_SECONDS: Final = 2.0
"""Between two connections that are made: a line counts every refusal."""
_SAID_AGAIN_SECONDS: Final = 60.0
"""After so long without a refusal the next one is said again."""

_log: Final = logging.getLogger(__name__)


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
        InputError: the endpoint cannot be one, or a key file cannot be used.
    """
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


class LastingConnection:
    """A socket's connections, made anew where ZeroMQ has given up, as it does for good and without a word.

    It does when a line refuses a key, and when a line has no keys and the client has, or the other way round.
    Both may be over a second later: the list of keys was being written, or a key is allowed again.

    Args:
        socket: the socket; one that is made here with `subscriber` or `requester`.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, socket: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._socket, self._clock = socket, clock
        # These two alone: they come once for each connection that is made here. ZeroMQ keeps what is not
        # taken, and stands still once it is too much.
        self._given_up = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        )
        self._endpoints: list[str] = []
        self._to_connect: set[str] = set()
        self._connected_at = 0.0
        self._refused_at: dict[str, float] = {}

    def connect(self, endpoint: str, keys: ClientKeys | None = None) -> None:
        """As the function of this name.

        Raises:
            InputError: the endpoint cannot be one, or a key file cannot be used.
        """
        connect(self._socket, endpoint, keys)
        self._endpoints.append(endpoint)
        self._connected_at = self._clock()

    def keep(self) -> None:
        """Connect anew where ZeroMQ gave up; never waits. To be called every `LOOK_MS`, or before a send."""
        while self._given_up.poll(0):
            told = parse_monitor_message(self._given_up.recv_multipart())
            remote = told["endpoint"].decode(errors="replace")
            may_be = [
                endpoint for endpoint in self._endpoints if _may_be(endpoint, remote)
            ] or self._endpoints
            self._to_connect.update(may_be)
            self._say(told["event"], " ".join(may_be))
        if not self._to_connect or self._clock() - self._connected_at < _ANEW_SECONDS:
            return
        # All of them first, or what was given up would still be there when the same is connected again.
        for endpoint in self._to_connect:
            self._socket.disconnect(endpoint)
        for endpoint in self._to_connect:
            self._socket.connect(endpoint)
        self._to_connect.clear()
        self._connected_at = self._clock()

    def poll(self, milliseconds: int, events: int = zmq.POLLIN) -> int:
        """As the socket's own, and connects anew meanwhile where ZeroMQ has given up."""
        self.keep()
        while not (ready := self._socket.poll(min(milliseconds, LOOK_MS), events)) and milliseconds > LOOK_MS:
            milliseconds -= LOOK_MS
            self.keep()
        return int(ready)

    def close(self) -> None:
        """Close the socket."""
        self._socket.disable_monitor()
        self._given_up.close(linger=0)
        self._socket.close(linger=0)

    def _say(self, event: int, endpoint: str) -> None:
        now, said_at = self._clock(), self._refused_at.get(endpoint)
        self._refused_at[endpoint] = now
        if said_at is not None and now - said_at < _SAID_AGAIN_SECONDS:
            return
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            name, detail = "line_refuses_key", "the line does not allow this program's key here"
            remedy = "inspectd keys list, inspectd keys allow"
        else:
            name, detail = "line_not_understood", "expected a line, with keys where this program has some"
            remedy = "the endpoint, and the settings of its keys"
        fields = {"endpoint": endpoint, "detail": f"{detail}; tried again until it is so"}
        _log.warning(name, extra={"fields": fields | {"remedy": remedy}})  # as `inspectd.log` takes them


def _may_be(endpoint: str, remote: str) -> bool:
    """Whether an endpoint as it was given can be the one that ZeroMQ names by its address.

    A host's name can be any host with that port: to look it up could take long.
    """
    if endpoint == remote:
        return True
    (host, _, port), (remote_host, _, remote_port) = endpoint.rpartition(":"), remote.rpartition(":")
    if port != remote_port:
        return False
    address = _address(host)
    return address is None or address == _address(remote_host)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """What `tcp://[2001:db8::1]` or `tcp://192.0.2.1` names; None: it is no address."""
    try:
        address = ipaddress.ip_address(host.removeprefix("tcp://").strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


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
        (zmq.RECONNECT_IVL, 50),
        (zmq.RECONNECT_IVL_MAX, 0),
    ):
        socket.setsockopt(option, value)
    return socket


def _use_keys(socket: Any, keys: ClientKeys) -> None:
    pair = read_pair(keys.client_key)
    socket.curve_serverkey = read_public(keys.server_key)
    socket.curve_publickey, socket.curve_secretkey = pair.public, pair.secret
