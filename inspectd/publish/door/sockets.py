"""The ZeroMQ sockets of one door. Sending never waits: a slow reader loses messages, never the line.

A socket's options count for the binds that follow. So one socket can serve local readers without keys,
through the bind made before `Authenticator.protect`, and TCP readers with keys, through the one after it.

What clients send is bounded in each piece, in their number and in a turn's work. What libzmq keeps before it
hands anything over, such as a message whose last part never comes, it does not bound: `half_sent`
finds whose it is, and the sockets live in a process of their own with a bound on its memory (`publish.door`).
"""

from __future__ import annotations

import os
import resource
import socket as kernel
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import zmq

from inspectd.config import PublishSettings
from inspectd.publish.access.auth import Authenticator, KeysChange
from inspectd.publish.door.connections import HANDSHAKE_MS, Connections, open_listener
from inspectd.publish.door.fair_waits import FairWaits
from inspectd.publish.door.half_sent import HalfSent
from inspectd.publish.door.listeners import hang_up
from inspectd.publish.door.messages import Request
from inspectd.wire.sockets import PUBLISHED, SOCKETS, AuthCause, CutCause

MAX_CONNECTIONS: Final = 512
"""At each of a door's sockets; a plant has a few dozen readers."""

_LINGER_MS: Final = 500
_DESCRIPTORS_KEPT: Final = 64  # for everything but connections

_SUBSCRIPTIONS_PER_TURN: Final = 64  # a reader that subscribes without end must not hold up the others
_MAX_INBOUND_BYTES: Final = 512  # a subscription, or a step of the hand-shake
_MAX_TOPIC_BYTES: Final = 200
_MAX_SUBSCRIPTIONS: Final = 4096
_MAX_SUBSCRIPTIONS_OF_CLIENT: Final = 256
_MAX_FOREIGN_OF_CLIENT: Final = 16
_INBOUND_QUEUE_MESSAGES: Final = 16
"""libzmq takes a client's subscriptions for as long as there are any in its queue, whoever else waits."""

_PREVIEW_QUEUE_MESSAGES: Final = 16  # per reader: several cameras at once, and nothing that is old by then
_PREVIEW_BUFFER_BYTES: Final = 1 << 18
_MAX_PREVIEW_TOPICS: Final = 64
"""A line has fewer cameras; with more, whoever asks is given all."""

_REQUESTS_PER_TURN: Final = 64
_PARTS_PER_TURN: Final = 2000
_MAX_REQUEST_BYTES: Final = 65_536
_MAX_REQUEST_PARTS: Final = 4
_MAX_WASTED_PARTS: Final = 100
_REQUEST_QUEUE_MESSAGES: Final = 16
_REPLY_QUEUE_MESSAGES: Final = 256  # per client; a client that does not read loses answers, not the line
_REPLAY_QUEUE_MESSAGES: Final = 2  # per client; each may hold a hundred verdicts, some 130 kB


class Delivery(StrEnum):
    """The fate of an answer."""

    SENT = "sent"
    FULL = "full"
    """The client has as many answers waiting as it may have."""
    GONE = "gone"


class _Bound(msgspec.Struct):
    socket: zmq.Socket[bytes]
    listener: kernel.socket
    endpoint: str


class _Message(msgspec.Struct):
    """A message that is being read, part by part."""

    kept: list[bytes]
    wasted: int = 0
    fd: int | None = None
    key: str = ""


class Sockets:
    """XPUB `verdicts` (verdicts, heartbeats, events), `heatmaps`, `previews`; ROUTER `sync`, `control`."""

    def __init__(
        self,
        settings: PublishSettings,
        prefix: bytes,
        local: Mapping[str, kernel.socket],
        tcp: Mapping[str, kernel.socket],
        *,
        keys_dir: Path | None = None,
        on_refused: Callable[[str, AuthCause], None] = lambda _name, _cause: None,
        clock: Callable[[], int] = time.monotonic_ns,
        max_connections: int = MAX_CONNECTIONS,
        half_sent: HalfSent | None = None,
    ) -> None:
        """Serve all that comes through these listeners.

        Args:
            settings: queue sizes.
            prefix: of every topic of this line.
            local: listeners of local sockets by name, and `tcp` those of TCP; they stay the caller's.
            tcp: see `local`.
            keys_dir: keys of the TCP endpoints; None: plain TCP.
            on_refused: takes the socket and the cause of each client that was refused.
            clock: monotonic, in nanoseconds.
            max_connections: at each socket; fewer where the process may not have so many descriptors.
            half_sent: finds clients whose message does not end, by the memory of this process if not given.

        Raises:
            InputError: a key file is missing, wrong, or open to others.
        """
        self._prefix = prefix
        self._on_refused = on_refused
        self._clock = clock
        self._context = zmq.Context()
        self.subscriptions = dict.fromkeys(PUBLISHED, 0)
        self.malformed = dict.fromkeys(PUBLISHED, 0)
        """Messages on a socket for subscriptions that were none, or to topics of another line."""
        self.cut_off: Counter[tuple[str, CutCause]] = Counter()
        """Connections that were ended for what they sent."""
        self._preview_topics: Counter[bytes] = Counter()
        self._held: dict[str, dict[int, set[bytes]]] = {name: {} for name in PUBLISHED}
        self._strays: dict[str, Counter[int]] = {name: Counter() for name in PUBLISHED}
        self._messages: dict[str, _Message] = {}
        self._waits: dict[str, FairWaits] = {}
        self._tcp: dict[str, _Bound] = {}
        self.connections: dict[str, Connections] = {}
        self._half_sent = half_sent or HalfSent()
        self._auth: Authenticator | None = None
        try:
            if keys_dir is not None:
                self._auth = Authenticator(self._context, keys_dir, on_refused, clock)
            descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _DESCRIPTORS_KEPT
            bound = min(max_connections, max(8, descriptors // (2 * len(SOCKETS))))
            self.verdicts = self._publisher(settings.queue_messages)
            self.heatmaps = self._publisher(settings.heatmap_queue_messages)
            self.previews = self._publisher(_PREVIEW_QUEUE_MESSAGES)
            # The kernel would keep seconds of pictures for a reader behind a slow network.
            self.previews.setsockopt(zmq.SNDBUF, _PREVIEW_BUFFER_BYTES)
            self.sync = self._router("sync", _REPLAY_QUEUE_MESSAGES)
            self.control = self._router("control", _REPLY_QUEUE_MESSAGES)
            for name in SOCKETS:
                self._open(name, bound, local.get(name), tcp.get(name))
        except BaseException:  # a context with open sockets would hold up the end of the process
            self.close()
            raise

    def _publisher(self, queue_messages: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.XPUB)
        socket.setsockopt(zmq.SNDHWM, queue_messages)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_INBOUND_BYTES)
        socket.setsockopt(zmq.RCVHWM, _INBOUND_QUEUE_MESSAGES)
        # Every reader's coming and going, so that they can be counted. XPUB_MANUAL would not help to bound
        # them: libzmq keeps a subscription in its own trie before it asks.
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        return socket

    def _router(self, name: str, queue_messages: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.SNDHWM, queue_messages)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_REQUEST_BYTES)
        socket.setsockopt(zmq.RCVHWM, _REQUEST_QUEUE_MESSAGES)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an answer that cannot be queued is an error, not lost
        self._messages[name] = _Message([])
        self._waits[name] = FairWaits(self._clock())
        return socket

    def socket(self, name: str) -> zmq.Socket[bytes]:
        """The socket of that name."""
        found: zmq.Socket[bytes] = getattr(self, name)
        return found

    def _open(self, name: str, bound: int, local: kernel.socket | None, tcp: kernel.socket | None) -> None:
        socket = self.socket(name)
        socket.setsockopt(zmq.LINGER, _LINGER_MS)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        connections = self.connections[name] = Connections(
            socket, name, bound,
            on_failed=partial(self._failed, name), on_changed=partial(self._forget, name), clock=self._clock,
        )  # fmt: skip
        if local is not None:
            _bind(socket, local)
            connections.guard(local)
        if tcp is not None:
            if self._auth is not None:
                self._auth.protect(socket, name)
            self._tcp[name] = _Bound(socket, tcp, _bind(socket, tcp))
            connections.guard(tcp)

    def _failed(self, name: str) -> None:
        """A hand-shake failed; where there are keys, that is a client that was refused."""
        if self._auth is not None:
            self._on_refused(name, AuthCause.HANDSHAKE)

    def publish(self, name: str, parts: list[bytes]) -> None:
        """Send a message to every reader that wants it."""
        self.socket(name).send_multipart(parts, flags=zmq.NOBLOCK)

    def read_subscriptions(self, name: str) -> None:
        """Take what readers sent, a bounded number in a turn. Cuts off who sends what no reader sends."""
        socket = self.socket(name)
        for _ in range(_SUBSCRIPTIONS_PER_TURN):
            try:
                frame = socket.recv(flags=zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            message = frame.bytes
            if message[:1] not in {b"\x00", b"\x01"}:
                self.malformed[name] += 1
                self._stray(name, frame)
                continue
            is_new, topic = message[0] == 1, message[1:]
            fd = _descriptor(frame)
            if fd is not None:
                self._half_sent.came_whole(fd)
                if not self._changes(name, fd, topic, is_new=is_new):
                    self._stray(name, frame)
                    continue
            self.subscriptions[name] += 1 if is_new else -1
            if name == "previews":
                self._count_topic(topic, 1 if is_new else -1)
            if is_new:
                self._admit(name, fd, frame, topic)

    def _changes(self, name: str, fd: int, topic: bytes, *, is_new: bool) -> bool:
        """Whether a reader subscribes to what it did not, or ends what it had: libzmq passes on all it sends.

        Else one that ends what others have would end it for them, and one that begins the same twice would be
        counted for ever: when it goes, libzmq reports each topic once.
        """
        self.connections[name].read()  # the descriptor may have changed hands
        held = self._held[name].setdefault(fd, set())
        if is_new == (topic in held):
            return False
        held.symmetric_difference_update({topic})
        return True

    def _count_topic(self, topic: bytes, more: int) -> None:
        if len(topic) <= _MAX_TOPIC_BYTES:
            self._preview_topics[topic] += more
            if self._preview_topics[topic] <= 0:
                del self._preview_topics[topic]

    @property
    def preview_topics(self) -> list[bytes]:
        """Beginnings of topics that readers of previews subscribe to; of many: one for all of them."""
        topics = sorted(self._preview_topics)
        return topics if len(topics) <= _MAX_PREVIEW_TOPICS else [self._prefix]

    def _admit(self, name: str, fd: int | None, frame: zmq.Frame, topic: bytes) -> None:
        """Cut off a reader with too many subscriptions; count a topic that no message of this line has."""
        held = len(self._held[name][fd]) if fd is not None else 0
        if len(topic) > _MAX_TOPIC_BYTES or held > _MAX_SUBSCRIPTIONS_OF_CLIENT:
            self._cut_off(name, _descriptor(frame), CutCause.SUBSCRIPTIONS)
        elif self.subscriptions[name] > _MAX_SUBSCRIPTIONS:  # whoever has most of them makes room
            every = self._held[name]
            greediest = max(every, key=lambda each: len(every[each]), default=None)
            self._cut_off(name, greediest, CutCause.SUBSCRIPTIONS)
        elif not (topic.startswith(self._prefix) or self._prefix.startswith(topic)):
            self.malformed[name] += 1
            self._stray(name, frame)

    def _stray(self, name: str, frame: zmq.Frame) -> None:
        fd = _descriptor(frame)
        if fd is not None:
            self._strays[name][fd] += 1
            if self._strays[name][fd] > _MAX_FOREIGN_OF_CLIENT:
                self._cut_off(name, fd, CutCause.SUBSCRIPTIONS)

    def _forget(self, name: str, fd: int) -> None:
        self._half_sent.ended(fd)
        if name in PUBLISHED:
            self._held[name].pop(fd, None)
            del self._strays[name][fd]

    def _cut_off(self, name: str, fd: int | None, cause: CutCause) -> None:
        if fd is not None:
            hang_up(fd)
        self.cut_off[name, cause] += 1

    def requests(self, name: str, known_ns: int = 0) -> Iterator[Request]:
        """Take what clients of `sync` or `control` sent, a bounded number in a turn.

        Args:
            name: of the socket.
            known_ns: all that came until then was taken before.

        A message is read part by part: one of a million parts takes many turns, and of its parts only the
        first are kept. Whoever sends such a thing is cut off.
        """
        socket, message, waits = self.socket(name), self._messages[name], self._waits[name]
        taken = 0
        for _ in range(_PARTS_PER_TURN):
            if taken == _REQUESTS_PER_TURN:
                return
            # A frame has the connection it came by, and takes several times as long to read.
            as_frame = len(message.kept) == 1 or message.wasted == _MAX_WASTED_PARTS
            try:
                part = socket.recv(flags=zmq.NOBLOCK, copy=not as_frame)
            except zmq.Again:
                return
            if isinstance(part, zmq.Frame):
                message.fd, message.key, part = _descriptor(part), _key_name(part), part.bytes
            if message.wasted == _MAX_WASTED_PARTS:
                self._cut_off(name, message.fd, CutCause.PARTS)
            if len(message.kept) < _MAX_REQUEST_PARTS + 2:  # the client's name, and one part too many
                message.kept.append(part)
            else:
                message.wasted += 1
            if not socket.getsockopt(zmq.RCVMORE):
                if message.fd is not None:
                    self._half_sent.came_whole(message.fd)
                client, *parts = message.kept
                key = message.key
                message = self._messages[name] = _Message([])
                taken += 1
                came_ns = waits.taken(client, self._clock(), self.connections[name].count, known_ns)
                yield Request(name, client, parts, came_ns, key)

    def reply(self, name: str, client: bytes, parts: list[bytes]) -> Delivery:
        """Answer a client of `sync` or `control`."""
        try:
            self.socket(name).send_multipart([client, *parts], flags=zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            return Delivery.FULL if error.errno == zmq.EAGAIN else Delivery.GONE
        return Delivery.SENT

    def sources(self) -> list[tuple[zmq.Socket[bytes], Callable[[], None]]]:
        """Sockets to poll beside the four, each with what to call when there is something to read."""
        found = [(connections.monitor, connections.read) for connections in self.connections.values()]
        return [*found, *([(self._auth.socket, self._auth.answer)] if self._auth is not None else [])]

    def maintain(self) -> KeysChange | None:
        """Take up a changed list of allowed keys, end the connections of keys that were revoked, open doors.

        Never waits for the disk that the list lies on.
        """
        names = {fd: name for name, connections in self.connections.items() for fd in connections.descriptors}
        for fd in self._half_sent.find(names):
            self._cut_off(names[fd], fd, CutCause.HALF_SENT)
        for connections in self.connections.values():
            connections.keep()
        change = self._auth.reread() if self._auth is not None else None
        if change is not None and change.revoked:
            self._cut(change.revoked)
        return change

    @property
    def keys_allowed(self) -> int | None:
        """Number of keys that are allowed now; None: clients need none."""
        return None if self._auth is None else self._auth.allowed

    @property
    def keys_unread(self) -> bool:
        """The disk of the list of allowed keys does not answer; no key can be revoked meanwhile."""
        return self._auth is not None and self._auth.is_unread

    def close(self) -> None:
        """Send what is queued, for half a second at most."""
        if self._auth is not None:
            self._auth.close()
        for name, connections in self.connections.items():
            self.socket(name).disable_monitor()
            connections.monitor.close(0)
        self._context.destroy(linger=_LINGER_MS)

    def _cut(self, names: Iterable[str]) -> None:
        """End every TCP connection of these sockets; clients whose key is still allowed connect again.

        libzmq ends all that came through an endpoint when that is unbound.
        """
        for name in names:
            bound = self._tcp[name]
            linger = bound.socket.getsockopt(zmq.LINGER)
            bound.socket.setsockopt(zmq.LINGER, 0)  # what is queued for a revoked key is not sent either
            bound.socket.unbind(bound.endpoint)
            bound.socket.setsockopt(zmq.LINGER, linger)
            self.connections[name].forget()
            bound.endpoint = _bind(bound.socket, bound.listener)


def _bind(socket: zmq.Socket[bytes], listener: kernel.socket) -> str:
    """Have `socket` accept from a copy of `listener`, which libzmq then owns; the endpoint's name."""
    open_listener(listener)
    name = listener.getsockname()
    endpoint = f"ipc://{name}" if listener.family == kernel.AF_UNIX else f"tcp://127.0.0.1:{name[1]}"
    socket.setsockopt(zmq.USE_FD, os.dup(listener.fileno()))
    socket.bind(endpoint)
    socket.setsockopt(zmq.USE_FD, -1)
    last = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(last, bytes)
    return last.rstrip(b"\0").decode()


def _key_name(frame: zmq.Frame) -> str:
    """Name of the key of the client that sent a message, as `Authenticator` gave it; empty: it has none."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""


def _descriptor(frame: zmq.Frame) -> int | None:
    """The connection a message came by; None for what libzmq itself reports when a reader is gone."""
    try:
        return int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return None
