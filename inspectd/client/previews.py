"""The reader of previews: of every camera the newest picture there is, and never an older one after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

import zmq

from inspectd import wire
from inspectd.client.clock import clock_seconds
from inspectd.client.decode import Preview, decode
from inspectd.client.sockets import ClientKeys, LastingConnection, subscriber
from inspectd.errors import InputError

_QUEUE_MESSAGES: Final = 16
_MESSAGES_PER_TURN: Final = 256


class PreviewReader:
    """Reads previews of one line, the newest of each camera and region. Belongs to the thread that made it.

        with PreviewReader("ipc:///run/inspectd/line1/previews.sock", "plant", "line1") as reader:
            reader.show(["camera1"])
            while True:
                preview = reader.receive(timeout_seconds=0.2)  # a `Preview`, or None

    The line makes previews only of cameras that some reader shows. One that is stopped for a while is given
    the newest picture when it goes on; what it missed is counted in `skipped`, as far as it came here. A
    picture tells nothing of the line's state: heartbeats do (`LiveReader`, `VerdictReader`).

    Args:
        endpoint: such as `ipc:///run/inspectd/line1/previews.sock` or `tcp://127.0.0.1:5575`. A line that is
            not there yet is waited for.
        plant: plant name of the line.
        line: its name.
        keys: for a TCP endpoint of a line that requires keys.
        clock: seconds on a clock that never goes back.

    Raises:
        InputError: the endpoint cannot be one, or a key file cannot be used.
    """

    def __init__(
        self,
        endpoint: str,
        plant: str,
        line: str,
        *,
        keys: ClientKeys | None = None,
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        self.unreadable = 0
        """Messages that are not in this format; each was skipped."""
        self.skipped = 0
        """Previews that were passed over, because a newer one was there."""
        self._line = plant, line
        self._clock = clock
        self._shown: set[str] = set()
        self._newest: dict[str, Preview] = {}  # by place, the one that waits longest first
        self._context = zmq.Context()
        self._socket = subscriber(self._context, _QUEUE_MESSAGES)
        self._connection = LastingConnection(self._socket)
        try:
            self._connection.connect(endpoint, keys)
        except InputError:
            self.close()
            raise

    def show(self, cameras: Iterable[str]) -> None:
        """Read the previews of these cameras from now on, and of no others; with none, the line is spared."""
        shown = set(cameras)
        for camera in shown - self._shown:
            self._socket.setsockopt(zmq.SUBSCRIBE, wire.topic(*self._line, camera, wire.Kind.PREVIEW))
        for camera in self._shown - shown:
            self._socket.setsockopt(zmq.UNSUBSCRIBE, wire.topic(*self._line, camera, wire.Kind.PREVIEW))
        self._shown = shown
        self._newest = {
            place: preview for place, preview in self._newest.items() if preview.header.camera in shown
        }

    def receive(self, timeout_seconds: float) -> Preview | None:
        """The newest preview of one camera or region, each in its turn; None when none came in time."""
        deadline = self._clock() + timeout_seconds
        while True:
            self._take_in()
            if self._newest:
                return self._newest.pop(next(iter(self._newest)))
            left_ms = max(0, round((deadline - self._clock()) * 1000))
            if not self._connection.poll(left_ms) or not left_ms:
                return None

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_in(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                parts = self._socket.recv_multipart(flags=zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                preview = decode(parts)
            except ValueError:
                self.unreadable += 1
                continue
            if not isinstance(preview, Preview):
                self.unreadable += 1
            elif preview.header.camera in self._shown:
                place = preview.header.place
                self.skipped += place in self._newest
                self._newest[place] = preview
