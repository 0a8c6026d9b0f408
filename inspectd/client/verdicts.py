"""The reader of verdicts: each one once, in order, losses named, across gaps and restarts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import zmq

from inspectd.client.base import MESSAGES_PER_TURN, Reader
from inspectd.client.joiner import Item
from inspectd.client.sockets import ClientKeys


class VerdictReader(Reader):
    """Reads the verdicts of one line. Belongs to the thread that made it.

    `receive` gives every verdict once and in order: what it does not hear live it asks for, and what cannot
    be had any more comes as a `Lost`. After `commit` a reader with the same cursor file goes on behind what
    was received by then, also when the daemon was restarted meanwhile. A caller that dies after `receive` and
    before `commit` is given the same verdicts again.

    Args:
        verdicts: such as `ipc:///run/inspectd/line1/verdicts.sock` or `tcp://127.0.0.1:5571`. A daemon that
            is not there yet is waited for.
        sync: where replays are asked for; by default `sync.sock` beside a local `verdicts.sock`.
        cursor: the file that remembers how far the caller is; None: nothing is remembered.
        start: where to begin without a cursor: with what is published from now on, or with the oldest verdict
            the line keeps.
        keys: for TCP endpoints of a line that asks for keys.
        patience_seconds: what is not replayed within this time is given up and comes as `Lost`.

    Raises:
        InputError: an endpoint, the cursor file or a key file cannot be used.
    """

    def __init__(
        self,
        verdicts: str,
        sync: str | None = None,
        *,
        cursor: Path | None = None,
        start: Literal["now", "oldest"] = "now",
        keys: ClientKeys | None = None,
        patience_seconds: float = 10.0,
    ) -> None:
        super().__init__(
            zmq.Context,
            verdicts,
            sync,
            cursor=cursor,
            start=start,
            keys=keys,
            patience_seconds=patience_seconds,
        )
        self._poller = zmq.Poller()
        self._poller.register(self._live, zmq.POLLIN)
        self._poller.register(self._sync, zmq.POLLIN)

    def receive(self, timeout_seconds: float) -> Item | None:
        """The next verdict, or what was lost in its place; None when nothing came in time.

        Raises:
            InputError: the endpoint publishes another line than the cursor file is of, or several.
        """
        deadline = time.monotonic() + timeout_seconds
        if not self._session.is_full:
            self._take_in(0)
        while (item := self._session.next()) is None:
            self._ask()
            now = time.monotonic()
            wake_at = self._session.wake_at
            if now >= deadline:
                return None
            self._take_in(min(deadline, wake_at or deadline) - now)
        return item

    def __iter__(self) -> Iterator[Item]:
        """Every verdict and loss from now on, without end."""
        while True:
            item = self.receive(timeout_seconds=1.0)
            if item is not None:
                yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_in(self, timeout_seconds: float) -> None:
        if not self._poller.poll(max(0, round(timeout_seconds * 1000))):
            return
        for socket, take in ((self._sync, self._session.answered), (self._live, self._session.published)):
            for _ in range(MESSAGES_PER_TURN):
                try:
                    take(socket.recv_multipart(flags=zmq.NOBLOCK))
                except zmq.Again:
                    break

    def _ask(self) -> None:
        request = self._session.outgoing()
        if request is not None:
            try:
                self._sync.send(request, flags=zmq.NOBLOCK)
            except zmq.Again:
                return  # its queue is full of requests nobody took: it is asked again later
