"""A bus with keys on its TCP sockets, turned by hand."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import zmq
from support.ports import free_ports

from inspectd import key_files, wire
from inspectd.config import PublishSettings
from inspectd.key_files import KeyPair
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire.sockets import AuthCause, Role
from tests.support.served import ServedSockets

COUNTS = wire.Counts(1, 1, 0, 0)
EVENT = wire.Event("p", "l", 1, 2, "info", "started", None, "", COUNTS)


def pair(folder: Path, name: str) -> KeyPair:
    return key_files.read_pair(key_files.new_pair(folder / name)[1])


class Line:
    """A bus with keys on TCP, turned by hand, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.keys_dir = folder / "keys"
        self.server = pair(self.keys_dir, "server")
        self.reader, self.controller, self.stranger = (
            pair(folder, name) for name in ("reader", "controller", "stranger")
        )
        self.clients = [
            Client(self.reader.public, "reader", (Role.READ,)),
            Client(self.controller.public, "controller", (Role.CONTROL,)),
        ]
        keys.write_allowed(self.keys_dir, self.clients)
        self.refused: Counter[tuple[str, AuthCause]] = Counter()
        self.ports = dict(
            zip(("verdicts", "heatmaps", "previews", "sync", "control"), free_ports(5), strict=True)
        )
        settings = PublishSettings(
            **{f"{name}_tcp": f"127.0.0.1:{port}" for name, port in self.ports.items()}
        )
        self.runtime_dir = folder / "run"
        self.runtime_dir.mkdir()
        self.bus = ServedSockets(self.runtime_dir, settings, keys_dir=self.keys_dir, on_refused=self.refuse)
        self.poller = zmq.Poller()
        self.callbacks = dict(self.bus.sources())
        for source in self.callbacks:
            self.poller.register(source, zmq.POLLIN)
        self.changes: list[object] = []
        self.context = zmq.Context()
        self.sockets: list[zmq.Socket[bytes]] = []

    def refuse(self, name: str, cause: AuthCause) -> None:
        self.refused[name, cause] += 1

    def turn(self, *, answering: bool = True) -> None:
        """What the service does between two events; publishes one event a turn."""
        if answering:
            for source, _ in self.poller.poll(2):
                self.callbacks[source]()
        change = self.bus.maintain()
        if change is not None:
            self.changes.append(change)
        self.bus.read_subscriptions("verdicts")
        self.bus.send("-", wire.Kind.EVENT, EVENT)

    def client(
        self, name: str, kind: int, key: KeyPair | None, server: bytes | None = None
    ) -> zmq.Socket[bytes]:
        socket = self.socket(kind)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        if key is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, server or self.server.public)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, key.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, key.secret)
        socket.connect(f"tcp://127.0.0.1:{self.ports[name]}")
        return socket

    def local(self) -> zmq.Socket[bytes]:
        """A reader on this host, without a key."""
        socket = self.socket(zmq.SUB)
        socket.connect(f"ipc://{self.runtime_dir}/verdicts.sock")
        return socket

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        self.sockets.append(self.context.socket(kind))
        if kind == zmq.SUB:
            self.sockets[-1].subscribe(b"")
        return self.sockets[-1]

    def turn_until(self, condition, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.refused, self.changes)
            self.turn()

    def turn_for(self, seconds: float, *, answering: bool = True) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn(answering=answering)

    def close(self) -> None:
        self.context.destroy(linger=0)
        self.bus.close()


def received(socket: zmq.Socket[bytes]) -> int:
    """How many messages wait on a client's socket; takes them."""
    count = 0
    while socket.poll(0):
        socket.recv_multipart()
        count += 1
    return count
