"""A client's sockets: its keys, and the options that let a connection outlive a cut link."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import zmq

from inspectd.client.decode import MAX_MESSAGE_BYTES
from inspectd.errors import InputError
from inspectd.key_files import read_pair, read_public

_EXPECTED: Final = "expected ipc:///path/to/verdicts.sock or tcp://127.0.0.1:5571"

_PING_MS: Final = 1000
_DEAD_AFTER_MS: Final = 3000
_FORGOTTEN_AFTER_MS: Final = 10_000
"""The daemon drops what it keeps for a client that was silent for so long."""


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
