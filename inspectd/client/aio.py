"""`VerdictReader` and `TriggerSender` for asyncio programs, with the same promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import zmq.asyncio

from inspectd.client.base import BaseVerdictReader
from inspectd.client.control import BaseTriggerSender, PollFor, TriggerAnswer
from inspectd.client.joiner import Item
from inspectd.client.session import Wait
from inspectd.wire import TriggerRequest


class AsyncVerdictReader(BaseVerdictReader):
    """Reads the verdicts of one line inside an event loop; one task at a time may wait for it.

        async with AsyncVerdictReader("ipc:///run/inspectd/line1/verdicts.sock") as reader:
            async for item in reader:  # Verdict, PartVerdict or Lost
                await forward(item)

    Arguments, promises and errors are those of `VerdictReader`. `commit` writes and flushes a small file, so
    it holds up the loop for as long as the disk takes.
    """

    _make_poller = zmq.asyncio.Poller

    async def receive(self, timeout_seconds: float) -> Item | None:
        """The next verdict, or what was lost in its place; None when nothing came in time.

        Raises:
            InputError: the endpoint publishes another line than `line` or the cursor file is of, or several.
        """
        for step in self._session.steps(timeout_seconds):
            if not isinstance(step, Wait):
                return step
            if await self._poller.poll(self._begin(step)):
                self._take_in()
        return None

    async def attend(self, timeout_seconds: float) -> None:
        """Take in what the line says, and give none of it: for who cannot take more verdicts now.

        Liveness and heartbeats go on; the line is asked for no verdicts. Waits until something comes.

        Raises:
            InputError: as `receive`.
        """
        if await self._poller.poll(self._begin(Wait(seconds=timeout_seconds))):
            self._take_in()

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


class AsyncTriggerSender(BaseTriggerSender):
    """Sends triggers to one line inside an event loop, one at a time.

        async with AsyncTriggerSender("ipc:///run/inspectd/line1/control.sock") as sender:
            answer = await sender.send(TriggerRequest("4711"), timeout_seconds=0.1)

    Arguments and errors are those of `TriggerSender`.
    """

    _is_sending = False

    async def send(self, trigger: TriggerRequest, timeout_seconds: float) -> TriggerAnswer | None:
        """Send a trigger and wait for its answer, as `TriggerSender.send` does.

        Raises:
            RuntimeError: another task's trigger still waits for its answer. A trigger that waited for its
                turn would be dated too late; give each task a sender of its own.
        """
        if self._is_sending:
            raise RuntimeError("this sender waits for the answer to another trigger; use one for each task")
        self._is_sending = True
        try:
            for step in self._steps(trigger, timeout_seconds):
                if not isinstance(step, PollFor):
                    return step
                poller = zmq.asyncio.Poller()
                poller.register(self._socket, step.events)
                await poller.poll(step.milliseconds)
        finally:
            self._is_sending = False
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
