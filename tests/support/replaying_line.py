"""A line for tests that publishes, replays and keeps silent as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq
from support.messages import EPOCH, heartbeat, verdict

from inspectd import wire
from inspectd.wire import Verdict
from inspectd.wire.sync import End, Position, ReplayRequest, Truncated, Verdicts, decode_request


class Line:
    """A line in a thread: publishes what it is told, and replays what it has published and not forgotten."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"ipc://{folder}/verdicts.sock"
        self._folder = folder
        self.kept: list[Verdict] = []
        self.epoch, self.seq = EPOCH, 0
        self.answers = self.beats = True
        self.more = b""
        """What a newer version says in each header beyond this one, as `,"NAME":VALUE`."""
        self.requests: list[ReplayRequest] = []
        self._commands: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(5)

    def publish(self, count: int = 1, *, live: bool = True, record: bool = True, **changes: Any) -> None:
        with self._lock:
            for _ in range(count):
                self.seq += 1
                made = msgspec.structs.replace(verdict(self.seq, self.epoch), **changes)
                if record:
                    self.kept.append(made)
                if live:
                    self._commands.append(lambda made=made: self._send(made, wire.Kind.VERDICT, self.more))

    def restart(self) -> None:
        with self._lock:
            self.epoch, self.seq = self.epoch + 1, 0

    def forget(self, epoch: int) -> None:
        """Lose all that was recorded, and begin anew."""
        with self._lock:
            self.kept.clear()
            self.epoch, self.seq = epoch, 0

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.XPUB) as live, context.socket(zmq.ROUTER) as sync:
            self._live, self._sync = live, sync
            for socket, name in ((live, "verdicts"), (sync, "sync")):
                socket.linger = 0
                socket.bind(f"ipc://{self._folder}/{name}.sock")
            self._ready.set()
            beat_at = 0.0
            while not self._stop.is_set():
                with self._lock:
                    commands, self._commands = self._commands, []
                    now = time.monotonic()
                    for command in commands:
                        command()
                    if self.beats and now >= beat_at:
                        beat_at = now + 0.05
                        self._send(heartbeat(self.seq, self.epoch, 50.0), wire.Kind.HEARTBEAT)
                    while sync.poll(0):
                        client, request = sync.recv_multipart()
                        self._answer(client, decode_request([request]))
                sync.poll(2)

    def _send(self, header: Any, kind: wire.Kind, more: bytes = b"") -> None:
        self._live.send_multipart([wire.topic("demo", "line1", "camera1", kind), _said(header, more)])

    def _answer(self, client: bytes, request: Any) -> None:
        if not isinstance(request, ReplayRequest):
            return
        self.requests.append(request)
        if not self.answers:
            return
        last = Position(self.epoch, self.seq)
        is_unknown = request.first is not None and request.first.epoch > self.epoch
        begin = None if is_unknown else request.first
        found = [v for v in self.kept if begin is None or Position(v.epoch, v.seq) >= begin]
        found = [v for v in found if Position(v.epoch, v.seq) <= last]
        chunk = found[:3]  # small, so that a reader has to ask on
        oldest = self.kept[0] if self.kept else None
        sent = 1
        if oldest and request.first and (is_unknown or request.first < Position(oldest.epoch, oldest.seq)):
            truncated = Truncated(request.request, Position(oldest.epoch, oldest.seq))
            self._sync.send_multipart([client, wire.encode(truncated)])
            sent = 2
        parts = [p for v in chunk for p in (b"i1/demo/line1/camera1/v/", _said(v, self.more))]
        envelope = wire.encode(Verdicts(request.request, len(chunk)))
        self._sync.send_multipart([client, envelope, *parts])
        complete = len(found) <= 3
        through = last if complete else Position(chunk[-1].epoch, chunk[-1].seq)
        self._sync.send_multipart([client, wire.encode(End(request.request, through, complete, sent))])


def _said(header: Any, more: bytes) -> bytes:
    return wire.encode(header)[:-1] + more + b"}"
