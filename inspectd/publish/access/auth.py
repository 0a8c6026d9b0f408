"""Lets clients in over TCP, or refuses them: answers ZeroMQ (ZAP, RFC 27) for every CURVE handshake.

The answer comes from the list of allowed keys, which a thread reads again whenever its file changes. Without
an answer nobody gets in: each socket enforces its domain, so that a handler that is gone refuses everybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import zmq
from zmq.utils import z85

from inspectd.key_files import KeyPair
from inspectd.publish.access.key_watch import STUCK_SECONDS, KeyList, KeyWatch
from inspectd.publish.access.keys import Client, read_server_pair
from inspectd.wire.sockets import SOCKETS, AuthCause

_ENDPOINT: Final = "inproc://zeromq.zap.01"
_VERSION: Final = b"1.0"
_ANSWERS_PER_TURN: Final = 64
_UNREAD_AGAIN_NS: Final = 60_000_000_000
_LINES_NAMED: Final = 3


class KeysChange(msgspec.Struct, frozen=True):
    """A change of the list of allowed keys, as an event.

    Attributes:
        severity: `info` or `alarm`.
        event: `keys_changed`; `keys_line_unusable`: the key of that line is not allowed; `keys_unusable`:
            nobody is allowed; `keys_unread`.
        detail: what changed or what is wrong, in words.
        revoked: sockets that a key was admitted to which may no longer use them.
    """

    severity: str
    event: str
    detail: str
    revoked: frozenset[str] = frozenset()


class Authenticator:
    """The ZAP handler of one context, driven by the loop that polls `socket`."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys_dir: Path,
        on_refused: Callable[[str, AuthCause], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Read the keys of `keys_dir` and answer from now on.

        Args:
            context: the context whose sockets ask.
            keys_dir: the directory of the keys.
            on_refused: takes the socket's name and the cause of every refusal.
            clock: nanoseconds, of any beginning.

        Raises:
            InputError: a key file is missing, wrong, or open to others.
        """
        self.pair: KeyPair = read_server_pair(keys_dir)
        self._keys_dir = keys_dir
        self._on_refused = on_refused
        self._watch = KeyWatch(keys_dir, clock)
        self._clients, self._is_blank = self._watch.first.clients, self._watch.first.is_blank
        self._usable = True
        self._clock = clock
        self._unread_alarm_ns: int | None = None
        self._admitted: set[tuple[str, bytes]] = set()
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)

    @property
    def allowed(self) -> int:
        """Number of keys that are allowed now."""
        return len(self._clients)

    def protect(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Let what `socket` binds from now on take clients with an allowed key only; earlier binds stay."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.pair.secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, name.encode())
        # Without this, libzmq lets every key in while no handler answers.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def answer(self) -> None:
        """Answer the hand-shakes that wait, a bounded number in a turn."""
        for _ in range(_ANSWERS_PER_TURN):
            if not self.socket.poll(0):
                return
            request = self.socket.recv_multipart(flags=zmq.NOBLOCK)
            request_id = request[1] if len(request) > 1 else b""
            status = self._status(request)
            self.socket.send_multipart([_VERSION, request_id, *status, b""], flags=zmq.NOBLOCK)

    def reread(self) -> KeysChange | None:
        """Take up the list if it changed; one that cannot be used allows nobody.

        A list that cannot be read to its end, as on a mount that hangs, changes nothing: that would cut off
        every client of a line that works. It is a repeated alarm, as no key can be revoked meanwhile.
        """
        found = self._watch.take()
        if found is not None:
            if not self.is_unread:
                self._unread_alarm_ns = None  # what was read is an event of its own
            return self._take_up(found)
        if self.is_unread:
            return self._unread()
        if self._unread_alarm_ns is not None:
            self._unread_alarm_ns = None
            return KeysChange("info", "keys_changed", "the list can be read again; nothing changed")
        return None

    @property
    def is_unread(self) -> bool:
        """The disk of the list does not answer; the keys allowed before stay allowed."""
        return self._watch.is_stuck

    def close(self) -> None:
        """Stop watching the list; the socket is closed with its context."""
        self._watch.close()

    def _unread(self) -> KeysChange | None:
        """The alarm, when it begins and every `_UNREAD_AGAIN_NS` while it holds."""
        now_ns = self._clock()
        if self._unread_alarm_ns is not None and now_ns - self._unread_alarm_ns < _UNREAD_AGAIN_NS:
            return None
        self._unread_alarm_ns = now_ns
        detail = f"{self._keys_dir}: not read within {STUCK_SECONDS} s; the keys allowed before stay allowed"
        return KeysChange("alarm", "keys_unread", detail)

    def _take_up(self, found: KeyList) -> KeysChange:
        before, self._clients, self._is_blank = self._clients, found.clients, found.is_blank
        self._usable = found.problem is None
        gone = {(name, key) for name, key in self._admitted if not self._may(name, key)}
        self._admitted -= gone
        revoked = frozenset(name for name, _ in gone)
        if found.problem is not None:
            detail = f"nobody may connect over TCP: {found.problem}"
            return KeysChange("alarm", "keys_unusable", detail, revoked)
        difference = _difference(before, self._clients)
        if found.bad_lines:
            more = len(found.bad_lines) - _LINES_NAMED
            named = [*found.bad_lines[:_LINES_NAMED], *([f"and {more} more lines"] if more > 0 else [])]
            return KeysChange("alarm", "keys_line_unusable", "; ".join([*named, difference]), revoked)
        return KeysChange("info", "keys_changed", difference, revoked)

    def _status(self, request: list[bytes]) -> tuple[bytes, bytes, bytes]:
        """Status code, text and user id for a request of RFC 27.

        After 400 a client of libzmq does not try again by itself; after 300 it does. So 300 is for what is
        soon over: a list that cannot be used, or in which nothing stands.
        """
        if len(request) != 7 or request[0] != _VERSION or request[5] != b"CURVE" or len(request[6]) != 32:
            return self._refuse("unknown", AuthCause.HANDSHAKE)
        name, key = request[2].decode(errors="replace"), z85.encode(request[6])
        if name not in SOCKETS:
            return self._refuse("unknown", AuthCause.HANDSHAKE)
        if not self._usable:
            return self._refuse(name, AuthCause.NO_LIST)
        if not self._may(name, key):
            return self._refuse(name, AuthCause.ROLE if key in self._clients else AuthCause.UNKNOWN_KEY)
        self._admitted.add((name, key))
        return b"200", b"OK", self._clients[key].name.encode()

    def _refuse(self, name: str, cause: AuthCause) -> tuple[bytes, bytes, bytes]:
        self._on_refused(name, cause)
        is_passing = cause is AuthCause.NO_LIST or (cause is AuthCause.UNKNOWN_KEY and self._is_blank)
        return b"300" if is_passing else b"400", cause.encode(), b""

    def _may(self, socket: str, key: bytes) -> bool:
        client = self._clients.get(key)
        return client is not None and SOCKETS[socket].role in client.roles


def _difference(before: dict[bytes, Client], after: dict[bytes, Client]) -> str:
    revoked = sorted(client.name for key, client in before.items() if key not in after)
    allowed = sorted(client.name for key, client in after.items() if key not in before)
    changed = sorted(client.name for key, client in after.items() if before.get(key, client) != client)
    named = (("allowed", allowed), ("revoked", revoked), ("changed", changed))
    return "; ".join(f"{what} {', '.join(names)}" for what, names in named if names) or "nothing changed"
