"""Base of `VerdictReader` and `AsyncVerdictReader`: their sockets, and everything that does not wait."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import zmq

from inspectd.client.cursor import Cursor
from inspectd.client.session import Session, Wait
from inspectd.client.sockets import (
    LOOK_MS,
    ClientKeys,
    LastingConnection,
    requester,
    subscriber,
    sync_endpoint,
)
from inspectd.client.tracker import Liveness
from inspectd.errors import InputError
from inspectd.wire import Event, Heartbeat
from inspectd.wire.golden import GoldenRecord
from inspectd.wire.sync import Position

_MESSAGES_PER_TURN: Final = 256
_QUEUE_MESSAGES: Final = 10_000


class BaseVerdictReader:
    """A verdict reader without the waiting; `VerdictReader` describes arguments and errors."""

    _make_poller: ClassVar[type[Any]] = zmq.Poller

    def __init__(
        self,
        verdicts: str,
        sync: str | None = None,
        *,
        line: tuple[str, str] | None = None,
        cursor: Path | Cursor | None = None,
        start: Literal["now", "oldest"] = "now",
        keys: ClientKeys | None = None,
        patience_seconds: float = 10.0,
        on_event: Callable[[Event], None] = lambda _: None,
        on_golden: Callable[[GoldenRecord], None] = lambda _: None,
    ) -> None:
        sync = sync_endpoint(verdicts, sync)
        self._session = Session(
            cursor, line=line, start=start, patience_seconds=patience_seconds,
            on_event=on_event, on_golden=on_golden,
        )  # fmt: skip
        self._context: zmq.Context[Any] = zmq.Context()
        self._live, self._sync = subscriber(self._context, _QUEUE_MESSAGES), requester(self._context)
        self._live.setsockopt(zmq.SUBSCRIBE, b"i1/")
        self._sync.setsockopt(zmq.SNDHWM, 8)
        self._connections = LastingConnection(self._live), LastingConnection(self._sync)
        try:
            for connection, endpoint in zip(self._connections, (verdicts, sync), strict=True):
                connection.connect(endpoint, keys)
        except InputError:
            self.close()
            raise
        self._poller = self._make_poller()
        for socket in (self._live, self._sync):
            self._poller.register(socket, zmq.POLLIN)

    def commit(self, up_to: Position | None = None) -> None:
        """Remember that the caller is done with everything it received, or received up to there.

        Raises:
            UnavailableError: the cursor file cannot be written.
        """
        self._session.commit(up_to)

    @property
    def liveness(self) -> Liveness:
        """The line's liveness, from what the last `receive` took in."""
        return self._session.liveness

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The last heartbeat received."""
        return self._session.heartbeat

    @property
    def is_caught_up(self) -> bool:
        """All that the line says it has published was received; False before it says anything."""
        return self._session.is_caught_up

    @property
    def position(self) -> Position | None:
        """Everything up to it was received; None before the line's first message."""
        return self._session.position

    @property
    def cursor(self) -> Cursor | None:
        """Where a reader goes on after everything received, for the caller to keep; None before the first."""
        return self._session.cursor

    @property
    def header(self) -> bytes:
        """Of the verdict received last, as the line published it, with what this version does not know of it.

        Empty before the first, and where the last was a loss.
        """
        return self._session.header

    @property
    def unreadable(self) -> int:
        """Messages that are not in this format; each was skipped."""
        return self._session.unreadable

    def close(self) -> None:
        """Disconnect; what was not committed is read again by the next reader."""
        self._context.destroy(linger=0)

    def _begin(self, step: Wait) -> int:
        """Do what comes before a wait; returns how long that may be at most, in ms."""
        for connection in self._connections:
            connection.keep()
        if step.request is not None:
            # A queue may be full of requests that nobody took: it is asked again later.
            with contextlib.suppress(zmq.Again):
                self._sync.send(step.request, flags=zmq.NOBLOCK)
        return min(step.milliseconds, LOOK_MS)

    def _take_in(self) -> None:
        for socket, take in ((self._sync, self._session.answered), (self._live, self._session.published)):
            for _ in range(_MESSAGES_PER_TURN):
                try:
                    parts = socket.recv_multipart(flags=zmq.NOBLOCK)
                except zmq.Again:
                    break
                take(parts)
