"""The ZeroMQ sockets of the bus. Sending never waits: a slow reader loses messages, never the line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import zmq

from inspectd.config import Publish
from inspectd.errors import InputError, UnavailableError
from inspectd.publish import wire
from inspectd.publish.auth import Authenticator, Cause, Change
from inspectd.publish.tcp import TcpEndpoints

_LINGER_MS: Final = 500
_SUBSCRIPTIONS_PER_TURN: Final = 64  # a reader that subscribes without end must not hold up the line
_MAX_INBOUND_BYTES: Final = 1024  # readers only ever send subscriptions
_REQUESTS_PER_TURN: Final = 64
_MAX_REQUEST_BYTES: Final = 65_536
_MAX_REQUEST_PARTS: Final = 4
_REPLY_QUEUE_MESSAGES: Final = 4096  # per client; a client that does not read loses answers, not the line
_REPLAY_QUEUE_MESSAGES: Final = 64  # per client; each may hold a hundred verdicts, some 100 kB


class Bus:
    """XPUB `verdicts` (verdicts, heartbeats, events) and `heatmaps`; ROUTER `sync` and `control`."""

    def __init__(
        self,
        settings: Publish,
        runtime_dir: Path,
        plant: str,
        line: str,
        on_published: Callable[[str], None],
        *,
        keys_dir: Path | None = None,
        on_refused: Callable[[str, Cause], None] = lambda _name, _cause: None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Bind all sockets in `runtime_dir`, and over TCP where the settings say so.

        Args:
            settings: endpoints and queue sizes.
            runtime_dir: an existing directory for the local sockets.
            plant: first name in every topic.
            line: second name in every topic.
            on_published: hears the kind of each message that was sent.
            keys_dir: keys of the TCP endpoints; None: plain TCP.
            on_refused: hears the socket and the cause of each client that was refused.
            clock: nanoseconds, of any beginning.

        Raises:
            InputError: a key file is missing, wrong, or open to others.
            UnavailableError: an endpoint cannot be bound.
        """
        self._plant = plant
        self._line = line
        self._on_published = on_published
        self._paths: list[Path] = []
        self._runtime_dir = runtime_dir
        self._context = zmq.Context()
        self.subscriptions = {"verdicts": 0, "heatmaps": 0}
        self.foreign = {"verdicts": 0, "heatmaps": 0}
        """What came on a socket that takes subscriptions and was none."""
        self._auth: Authenticator | None = None
        self._tcp = TcpEndpoints(None, on_refused)
        try:
            if keys_dir is not None:
                self._auth = Authenticator(self._context, keys_dir, on_refused, clock)
                self._tcp = TcpEndpoints(self._auth, on_refused)
            self.verdicts = self._publisher("verdicts", settings.verdicts_tcp, settings.queue_messages)
            self.heatmaps = self._publisher(
                "heatmaps", settings.heatmaps_tcp, settings.heatmap_queue_messages
            )
            self.sync = self._router("sync", settings.sync_tcp, _REPLAY_QUEUE_MESSAGES)
            self.control = self._router("control", settings.control_tcp, _REPLY_QUEUE_MESSAGES)
        except (InputError, UnavailableError):
            self.close()
            raise

    def _publisher(self, name: str, tcp: str | None, queue_messages: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.XPUB)
        socket.setsockopt(zmq.SNDHWM, queue_messages)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_INBOUND_BYTES)
        # Every reader's coming and going, so that they can be counted.
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        return self._bind(socket, name, tcp)

    def _router(self, name: str, tcp: str | None, queue_messages: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.SNDHWM, queue_messages)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_REQUEST_BYTES)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # an answer that cannot be queued is told, not lost
        return self._bind(socket, name, tcp)

    def _bind(self, socket: zmq.Socket[bytes], name: str, tcp: str | None) -> zmq.Socket[bytes]:
        socket.setsockopt(zmq.LINGER, _LINGER_MS)
        path = self._runtime_dir / f"{name}.sock"
        self._paths.append(path)
        try:
            socket.bind(f"ipc://{path}")
        except zmq.ZMQError as error:
            raise UnavailableError(
                f"line.runtime_dir: cannot bind ipc://{path}: {error.strerror}; "
                "choose another one or stop what uses it"
            ) from error
        path.chmod(0o660)
        if tcp:
            self._tcp.bind(socket, name, tcp)
        return socket

    def send(
        self, camera: str, kind: wire.Kind, header: msgspec.Struct, payload: bytes | None = None
    ) -> None:
        """Publish one message.

        Args:
            camera: third name in the topic; `-` for the whole line.
            kind: what it is; heatmaps go out on their own socket.
            header: the message's JSON part.
            payload: what follows the header, if anything does.
        """
        parts = [wire.topic(self._plant, self._line, camera, kind), wire.encode(header)]
        if payload is not None:
            parts.append(payload)
        socket = self.heatmaps if kind is wire.Kind.HEATMAP else self.verdicts
        socket.send_multipart(parts, flags=zmq.NOBLOCK)
        self._on_published(kind)

    def send_encoded(self, kind: wire.Kind, topic: bytes, header: bytes) -> None:
        """Publish a verdict whose bytes are made already."""
        self.verdicts.send_multipart([topic, header], flags=zmq.NOBLOCK)
        self._on_published(kind)

    def read_subscriptions(self) -> None:
        """Take what readers sent. Subscriptions are counted; anything else is counted as foreign."""
        for name, socket in (("verdicts", self.verdicts), ("heatmaps", self.heatmaps)):
            for _ in range(_SUBSCRIPTIONS_PER_TURN):
                if not socket.poll(0):
                    break
                message = socket.recv(flags=zmq.NOBLOCK)
                if message[:1] in {b"\x00", b"\x01"}:
                    self.subscriptions[name] += 1 if message[0] else -1
                else:
                    self.foreign[name] += 1

    def requests(self, socket: zmq.Socket[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
        """Take what clients of `sync` or `control` sent, so many a turn: who asked, and the parts of what."""
        for _ in range(_REQUESTS_PER_TURN):
            if not socket.poll(0):
                return
            client, *parts = socket.recv_multipart(flags=zmq.NOBLOCK)
            yield client, parts[: _MAX_REQUEST_PARTS + 1]

    def reply(self, socket: zmq.Socket[bytes], client: bytes, parts: list[bytes]) -> bool:
        """Answer a client; False when it is gone, or has more answers waiting than it may have."""
        try:
            socket.send_multipart([client, *parts], flags=zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in {zmq.EAGAIN, zmq.EHOSTUNREACH}:
                raise
            return False
        return True

    def sources(self) -> list[tuple[zmq.Socket[bytes], Callable[[], None]]]:
        """What the loop polls beside the four sockets, and what it calls when there is something to read."""
        return self._tcp.sources()

    def maintain(self) -> Change | None:
        """Take up a changed list of allowed keys, and end the connections of keys that were revoked.

        Never waits for the disk that the list lies on.
        """
        self._tcp.bind_again()
        change = self._auth.reread() if self._auth is not None else None
        if change is not None and change.revoked:
            self._tcp.cut(change.revoked)
        return change

    @property
    def keys_unread(self) -> bool:
        """The disk of the list of allowed keys does not answer; no key can be revoked meanwhile."""
        return self._auth is not None and self._auth.is_unread

    def close(self) -> None:
        """Send what is queued, for half a second at most, and take the socket files away."""
        self._tcp.close()
        if self._auth is not None:
            self._auth.close()
        self._context.destroy(linger=_LINGER_MS)
        for path in self._paths:
            path.unlink(missing_ok=True)
