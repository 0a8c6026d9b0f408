"""The reader of verdicts for asyncio programs; the same promises as `VerdictReader`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import zmq
import zmq.asyncio

from inspectd.client.base import MESSAGES_PER_TURN, Reader
from inspectd.client.joiner import Item
from inspectd.client.sockets import ClientKeys


class AsyncVerdictReader(Reader):
    """Reads the verdicts of one line inside an event loop; make it and use it in one loop.

    Arguments, promises and errors are those of `VerdictReader`. `commit` writes and flushes a small file, so
    it holds up the loop for as long as the disk takes.
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
            zmq.asyncio.Context,
            verdicts,
            sync,
            cursor=cursor,
            start=start,
            keys=keys,
            patience_seconds=patience_seconds,
        )
        self._poller = zmq.asyncio.Poller()
        self._poller.register(self._live, zmq.POLLIN)
        self._poller.register(self._sync, zmq.POLLIN)

    async def receive(self, timeout_seconds: float) -> Item | None:
        """The next verdict, or what was lost in its place; None when nothing came in time.

        Raises:
            InputError: the endpoint publishes another line than the cursor file is of, or several.
        """
        deadline = time.monotonic() + timeout_seconds
        if not self._session.is_full:
            await self._take_in(0)
        while (item := self._session.next()) is None:
            request = self._session.outgoing()
            if request is not None:
                # A queue full of requests nobody took holds nothing up: it is asked again later.
                with contextlib.suppress(zmq.Again):
                    await self._sync.send(request, flags=zmq.NOBLOCK)
            now = time.monotonic()
            if now >= deadline:
                return None
            await self._take_in(min(deadline, self._session.wake_at or deadline) - now)
        return item

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Every verdict and loss from now on, without end."""
        while True:
            item = await self.receive(timeout_seconds=1.0)
            if item is not None:
                yield item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _take_in(self, timeout_seconds: float) -> None:
        ready = dict(await self._poller.poll(max(0, round(timeout_seconds * 1000))))
        for socket, take in ((self._sync, self._session.answered), (self._live, self._session.published)):
            for _ in range(MESSAGES_PER_TURN if socket in ready else 0):
                if not await socket.poll(0):
                    break
                take(await socket.recv_multipart())
