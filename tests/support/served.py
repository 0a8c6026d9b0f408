"""The sockets of a line in the test's own process: what a door serves, without the door."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from inspectd import wire
from inspectd.config import PublishSettings
from inspectd.publish.bus import Asker
from inspectd.publish.door.answers import Answers
from inspectd.publish.door.half_sent import HalfSent
from inspectd.publish.door.listeners import Listeners
from inspectd.publish.door.messages import Delivered, Reply, Request
from inspectd.publish.door.sockets import Sockets
from inspectd.wire.sockets import AuthCause


class ServedSockets(Sockets):
    """Local and TCP sockets of plant `p`, line `l`."""

    def __init__(
        self,
        folder: Path,
        settings: PublishSettings | None = None,
        *,
        keys_dir: Path | None = None,
        on_refused: Callable[[str, AuthCause], None] = lambda _name, _cause: None,
        memory_bytes: Callable[[], int] = lambda: 0,  # this process is the clients' too
        **more: Any,
    ) -> None:
        self.listeners = Listeners(settings or PublishSettings(), folder)
        try:
            super().__init__(
                settings or PublishSettings(),
                b"i1/p/l/",
                self.listeners.local,
                self.listeners.tcp,
                keys_dir=keys_dir,
                on_refused=on_refused,
                half_sent=HalfSent(memory_bytes),
                **more,
            )
        except BaseException:  # whatever it was, the ports are free for the next test
            self.listeners.close()
            raise

    def send(
        self, camera: str, kind: wire.Kind, header: msgspec.Struct, payload: bytes | None = None
    ) -> None:
        """Publish a message as the line does."""
        parts = [wire.topic("p", "l", camera, kind), wire.encode(header)]
        name = "heatmaps" if kind is wire.Kind.HEATMAP else "verdicts"
        self.publish(name, [*parts, *([payload] if payload is not None else [])])

    def turn(self) -> None:
        """Read what the monitors say, and what a loop looks after."""
        for connections in self.connections.values():
            connections.read()
        self.maintain()

    def close(self) -> None:
        super().close()
        self.listeners.close()


class Doorway:
    """Stands for the line's bus where one stage is tested: carries what `ServedSockets` take and answer."""

    def __init__(self, sockets: ServedSockets) -> None:
        self.sockets = sockets
        self.delivered: Callable[[Delivered], None] = lambda _delivered: None
        self._held: list[Delivered] = []
        self._answers = Answers(
            lambda reply: sockets.reply(reply.socket, reply.client, reply.parts),
            self._held.append,
            time.monotonic_ns,
        )

    def requests(self, name: str) -> Iterator[tuple[Asker, Request]]:
        """What has come, after what became of answers; those that found no room are tried again."""
        self._answers.give_again()
        held = self._held[:]
        self._held.clear()
        for each in held:
            self.delivered(each)
        for incoming in self.sockets.requests(name):
            yield Asker("local", incoming.client), Request(name, incoming.client, incoming.parts, 0)

    def reply(self, socket: str, asker: Asker, parts: list[bytes], ticket: int | None = None) -> bool:
        """As `Bus.reply`."""
        self._answers.give(Reply(socket, asker.client, parts, ticket))
        return True
