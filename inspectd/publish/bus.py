"""The ZeroMQ sockets of the bus. Sending never waits: a slow reader loses messages, never the line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import zmq

from inspectd.config import Publish
from inspectd.errors import UnavailableError
from inspectd.publish import wire

_LINGER_MS: Final = 500
_SUBSCRIPTIONS_PER_TURN: Final = 64  # a reader that subscribes without end must not hold up the line
_MAX_INBOUND_BYTES: Final = 1024  # readers only ever send subscriptions


class Bus:
    """Two XPUB sockets: `verdicts` (verdicts, heartbeats, events) and `heatmaps`."""

    def __init__(
        self, settings: Publish, runtime_dir: Path, plant: str, line: str, on_published: Callable[[str], None]
    ) -> None:
        """Bind both sockets in `runtime_dir`, and over TCP where the settings say so.

        Args:
            settings: endpoints and queue sizes.
            runtime_dir: an existing directory for the local sockets.
            plant: first name in every topic.
            line: second name in every topic.
            on_published: hears the kind of each message that was sent.

        Raises:
            UnavailableError: an endpoint cannot be bound.
        """
        self._plant = plant
        self._line = line
        self._on_published = on_published
        self._paths = [runtime_dir / "verdicts.sock", runtime_dir / "heatmaps.sock"]
        self._context = zmq.Context()
        self.subscriptions = {"verdicts": 0, "heatmaps": 0}
        try:
            self.verdicts = self._bind(
                self._paths[0], settings.verdicts_tcp, "publish.verdicts_tcp", settings.queue_messages
            )
            self.heatmaps = self._bind(
                self._paths[1], settings.heatmaps_tcp, "publish.heatmaps_tcp", settings.heatmap_queue_messages
            )
        except UnavailableError:
            self.close()
            raise

    def _bind(self, path: Path, tcp: str | None, setting: str, queue_messages: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.XPUB)
        socket.setsockopt(zmq.SNDHWM, queue_messages)
        socket.setsockopt(zmq.LINGER, _LINGER_MS)
        socket.setsockopt(zmq.MAXMSGSIZE, _MAX_INBOUND_BYTES)
        socket.setsockopt(
            zmq.XPUB_VERBOSER, 1
        )  # every reader's coming and going, so that they can be counted
        for endpoint in [f"ipc://{path}", *([f"tcp://{tcp}"] if tcp else [])]:
            try:
                socket.bind(endpoint)
            except zmq.ZMQError as error:
                where = setting if endpoint.startswith("tcp") else "line.runtime_dir"
                raise UnavailableError(
                    f"{where}: cannot bind {endpoint}: {error.strerror}; "
                    "choose another one or stop what uses it"
                ) from error
        path.chmod(0o660)
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

    def read_subscriptions(self) -> None:
        """Take what readers sent. Subscriptions are counted; anything else is none of the bus and ignored."""
        for name, socket in (("verdicts", self.verdicts), ("heatmaps", self.heatmaps)):
            for _ in range(_SUBSCRIPTIONS_PER_TURN):
                if not socket.poll(0):
                    break
                message = socket.recv(flags=zmq.NOBLOCK)
                if message[:1] in {b"\x00", b"\x01"}:
                    self.subscriptions[name] += 1 if message[0] else -1

    def close(self) -> None:
        """Send what is queued, for half a second at most, and take the socket files away."""
        self._context.destroy(linger=_LINGER_MS)
        for path in self._paths:
            path.unlink(missing_ok=True)
