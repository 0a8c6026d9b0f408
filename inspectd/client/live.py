"""The plain reader of everything that is published, live: for views and logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

import zmq

from inspectd.client.clock import clock_seconds
from inspectd.client.decode import Message, decode
from inspectd.client.sockets import LOOK_MS, ClientKeys, LastingConnection, subscriber
from inspectd.client.tracker import LineTracker
from inspectd.errors import InputError
from inspectd.wire import Event, Heartbeat, PartVerdict, Verdict

_MOST_SKIPPED: Final = 1000


class LiveReader:
    """Reads every message of one or more lines as it is published. Belongs to the thread that made it.

        with LiveReader("ipc:///run/inspectd/line1/verdicts.sock") as reader:
            while True:
                message = reader.receive(timeout_seconds=0.2)  # a `Message`, or None

    What it does not receive it counts as missed; `VerdictReader` is the one that gets it again.

    Args:
        endpoints: such as `ipc:///run/inspectd/line1/verdicts.sock` or `tcp://127.0.0.1:5571`. A line's
            heatmaps have an endpoint of their own. A publisher that is not there yet is waited for.
        topics: prefixes to subscribe to; all by default. A reader that takes only some of a line's
            verdicts must not trust `LineTracker.missed`, because `seq` counts the whole line.
        clock: seconds on a clock that never goes back.
        queue_messages: messages kept per endpoint while this program is busy; more are lost, and counted
            as missed.
        keys: for TCP endpoints of a line that requires keys.

    Raises:
        InputError: an endpoint cannot be one, or a key file cannot be used.
    """

    def __init__(
        self,
        *endpoints: str,
        topics: Sequence[bytes] = (b"",),
        clock: Callable[[], float] = clock_seconds,
        queue_messages: int = 10_000,
        keys: ClientKeys | None = None,
    ) -> None:
        self.lines: dict[tuple[str, str], LineTracker] = {}
        """By plant and line."""
        self.unreadable = 0
        """Messages that are not in this format; `last_problem` is what was wrong with the last."""
        self.last_problem = ""
        self._clock = clock
        self._ready: deque[Message] = deque()
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._connections: list[LastingConnection] = []
        try:
            for endpoint in endpoints:
                socket = subscriber(self._context, queue_messages)
                for topic in topics:
                    socket.setsockopt(zmq.SUBSCRIBE, topic)
                self._poller.register(socket, zmq.POLLIN)
                self._connections.append(LastingConnection(socket, clock))
                self._connections[-1].connect(endpoint, keys)
        except InputError:
            self.close()
            raise

    def receive(self, timeout_seconds: float) -> Message | None:
        """The next message, or None when none came in time; duplicates and foreign messages are skipped.

        What waits already is read also after that time, but of what is skipped no more than a thousand.
        """
        deadline = self._clock() + timeout_seconds
        skipped = 0
        while not self._ready:
            for connection in self._connections:
                connection.keep()
            left_ms = max(0, round((deadline - self._clock()) * 1000))
            found = self._poller.poll(min(left_ms, LOOK_MS))
            if (not found and left_ms <= LOOK_MS) or (not left_ms and skipped > _MOST_SKIPPED):
                return None
            skipped += len(found)
            for socket, _ in found:  # one of each in turn: none keeps another one waiting
                message = self._read(socket.recv_multipart())
                self._ready += [message] if message is not None else []
        return self._ready.popleft()

    def line(self, plant: str, line: str) -> LineTracker:
        """Record of what was received of that line."""
        return self.lines.setdefault((plant, line), LineTracker(self._clock))

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, parts: list[bytes]) -> Message | None:
        try:
            message = decode(parts)
        except ValueError as error:
            self.unreadable += 1
            self.last_problem = str(error)
            return None
        tracker = self.line(message.plant, message.line)
        match message:
            case Verdict() | PartVerdict() if not tracker.see_verdict(message):
                return None
            case Heartbeat():
                tracker.see_heartbeat(message)
            case Event():
                tracker.see_event(message)
        return message
