"""Sends verdicts to a stream, many under way at a time, and in no other order than they were given.

Each message says which sequence it expects as the stream's last (`Nats-Expected-Last-Sequence`), so a server
takes it right after the one before it or not at all: nothing can slip past one that was refused or lost.
Whatever else happened is an error here, after which the caller asks the stream where it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
from nats.js import api

from inspectd.fleet.answers import checked
from inspectd.fleet.names import EXPECTED_HEADER, ID_HEADER, WRITER_HEADER, message_id
from inspectd.fleet.servers import Servers, ServersError, as_servers_error
from inspectd.wire.sync import Position


class Sent(msgspec.Struct, frozen=True):
    """A message that a server has acknowledged.

    Attributes:
        position: of its verdict.
        is_repair: it was missing in the stream.
        is_duplicate: the stream had it already.
        seconds: from sending to the acknowledgement.
        sequence: its place in the stream.
    """

    position: Position
    is_repair: bool
    is_duplicate: bool
    seconds: float
    sequence: int


class _UnderWay(msgspec.Struct, frozen=True):
    position: Position
    is_repair: bool
    sequence: int
    sent_at: float
    answer: asyncio.Future[api.PubAck]


class StreamWriter:
    """Writes to one stream, of which it must be the only writer.

    Args:
        servers: the connection.
        last_sequence: of the stream's last message.
        window: messages under way at a time.
        acknowledge_seconds: longest wait for an acknowledgement.
        clock: seconds on a clock that never goes back.
        name: how this forwarder names itself.
    """

    def __init__(
        self,
        servers: Servers,
        last_sequence: int,
        *,
        window: int,
        acknowledge_seconds: float,
        clock: Callable[[], float],
        name: str,
    ) -> None:
        self._servers, self._clock, self._name = servers, clock, name
        self._acknowledge_seconds = acknowledge_seconds
        self._next_expected = last_sequence
        self._window = asyncio.Semaphore(window)
        self._under_way: asyncio.Queue[_UnderWay] = asyncio.Queue()
        self._sending = asyncio.Lock()
        self.under_way = 0
        """Messages without an answer yet."""
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """While it lasts nothing is sent, and nothing is under way."""
        async with self._sending:
            await self._idle.wait()
            yield

    async def send(
        self,
        subject: str,
        body: bytes,
        position: Position,
        *,
        is_repair: bool = False,
        is_due: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Send a message once there is room for it in the window.

        Args:
            subject: of the message.
            body: of the message.
            position: of its verdict.
            is_repair: it was missing in the stream.
            is_due: whether it is still to be sent; asked at its turn, because it may have waited.

        Returns:
            Whether it was sent.

        Raises:
            ServersError: the connection is gone.
        """
        await self._window.acquire()
        async with self._sending:  # number and message are one step, whoever sends
            if not is_due():
                self._window.release()
                return False
            headers = {
                ID_HEADER: message_id(position, is_repair=is_repair),
                EXPECTED_HEADER: str(self._next_expected),
                WRITER_HEADER: self._name,
            }
            with as_servers_error():
                answer = await self._servers.js.publish_async(subject, body, headers=headers)
            self._next_expected += 1
            self.under_way += 1
            self._idle.clear()
            self._under_way.put_nowait(
                _UnderWay(position, is_repair, self._next_expected, self._clock(), answer)
            )
        return True

    def close(self) -> None:
        """Nobody waits for answers any more."""
        while not self._under_way.empty():
            answer = self._under_way.get_nowait().answer
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # looked at, or asyncio would say that nobody did

    async def acknowledge(self, on_sent: Callable[[Sent], None]) -> None:
        """Take in answers in order, without end.

        Raises:
            ServersError: one did not come in time, or is not the one that was expected.
        """
        while True:
            message = await self._under_way.get()
            left = max(0.0, message.sent_at + self._acknowledge_seconds - self._clock())
            with as_servers_error():
                if (
                    not message.answer.done()
                ):  # as a rule it is: a time-out would cost as much as all the rest
                    async with asyncio.timeout(left):
                        await message.answer
                answer = checked(message.answer.result())
            if answer.seq != message.sequence:
                raise ServersError(
                    f"{message_id(message.position)} is at {answer.seq} of the stream, expected "
                    f"{message.sequence}: somebody else writes to it"
                )
            self._window.release()
            self.under_way -= 1
            if not self.under_way:
                self._idle.set()
            on_sent(
                Sent(
                    message.position,
                    message.is_repair,
                    bool(answer.duplicate),
                    self._clock() - message.sent_at,
                    message.sequence,
                )
            )
