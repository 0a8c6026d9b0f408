"""What one session with a broker does: hears hosts, reads the line, tells what is new.

The cursor file is all that is remembered of parts. A session reads the line from there on, and moves it on
when the broker has confirmed to have what was sent. So whatever ends a session, the next one tells what may
not have arrived: late, marked as historical, twice at the worst. Parts themselves are QoS 0, as the
specification wants it, and nobody confirms those; but a broker takes a client's messages in turn, so its
answer to a subscription that comes after them says that it has them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from inspectd import log
from inspectd.client import AsyncVerdictReader, Lost
from inspectd.errors import UnavailableError
from inspectd.gateways.sparkplug.broker import Broker
from inspectd.gateways.sparkplug.line_clock import LineClock
from inspectd.gateways.sparkplug.metrics import SparkplugMetrics
from inspectd.gateways.sparkplug.parts import PartRow, PartRows
from inspectd.gateways.sparkplug.picture import LinePicture
from inspectd.gateways.sparkplug.session import EdgeSession, Heard, Send
from inspectd.gateways.sparkplug.settings import SparkplugConfig

_TURN_SECONDS: Final = 0.1
_FIRST_HEARTBEAT_SECONDS: Final = 1.0
"""So long births wait for the line; without it they say that it is not known."""
_CONFIRM_SECONDS: Final = 1.0
_CONFIRM_MESSAGES: Final = 100
_MAX_HELD: Final = 5000
_OWN_BIRTH_SECONDS: Final = 5.0
_SAY_SECONDS: Final = 10.0
_MAX_COMMANDS: Final = 200
"""More than so many commands within a second are a flood."""
_FLOOD_SECONDS: Final = 5.0
"""So long the broker is to send no commands after a flood."""

_log: Final = logging.getLogger(__name__)


class Telling:
    """Everything between CONNACK and DISCONNECT of one session.

    Args:
        settings: the gateway's.
        session: the edge node's side of the session.
        picture: of the line.
        metrics: where what happens is counted.
        stopping: set when the gateway is to end.
        cursor: file of the position that hosts were told up to.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        settings: SparkplugConfig,
        session: EdgeSession,
        picture: LinePicture,
        metrics: SparkplugMetrics,
        *,
        stopping: asyncio.Event,
        cursor: Path,
        clock: Callable[[], float],
    ) -> None:
        self.was_born = False
        """The births went out."""
        self._settings, self._session, self._picture, self._metrics = settings, session, picture, metrics
        self._stopping, self._cursor, self._clock = stopping, cursor, clock
        self._line_clock = LineClock(clock)
        self._rows = PartRows()
        self._held: deque[PartRow] = deque()
        self._is_host_away = False
        self._was_telling = False
        self._born_at = clock()
        self._has_warned = False
        self._said: dict[Heard, tuple[float, int]] = {}
        self._commands, self._commands_since = 0, clock()
        self._is_flooded = asyncio.Event()
        self._unconfirmed = 0
        self._confirmed_at = clock()

    async def run(self, broker: Broker) -> None:
        """Until the gateway is stopped, the host goes away, or there may be one at another broker.

        Raises:
            BrokerError: the connection is gone.
            InputError: the line's endpoint, a key or the cursor file cannot be used.
            UnavailableError: the cursor file cannot be written.
        """
        await broker.subscribe(self._session.subscriptions)
        hearing = asyncio.create_task(self._hear(broker))
        telling = asyncio.create_task(self._tell(broker))
        tasks = hearing, telling, asyncio.create_task(self._hold_floods_off(broker))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _hear(self, broker: Broker) -> None:
        async for topic, payload in broker.messages():
            heard = self._session.heard(topic, payload)
            if heard in {Heard.HOST_ONLINE, Heard.HOST_OFFLINE}:
                self._is_host_away = heard is Heard.HOST_OFFLINE
            self._metrics.heard(heard)
            self._metrics.left_out(broker.take_left_out())
            self._say_heard(heard, topic, len(payload))
            if topic == self._session.command_topic:
                self._count_command()

    def _count_command(self) -> None:
        if self._clock() - self._commands_since >= 1:
            self._commands, self._commands_since = 0, self._clock()
        self._commands += 1
        if self._commands > _MAX_COMMANDS:
            self._is_flooded.set()

    async def _hold_floods_off(self, broker: Broker) -> None:
        """Have the broker send no commands for a while when they are a flood: it leaves no time to tell.

        A host may ask for births meanwhile, so they are sent afterwards.
        """
        topic = self._session.command_topic
        while True:
            await self._is_flooded.wait()
            self._metrics.flood()
            log.event(_log, logging.WARNING, "commands_held_off", topic=topic, seconds=_FLOOD_SECONDS)
            await broker.unsubscribe(topic)
            await asyncio.sleep(_FLOOD_SECONDS)
            self._is_flooded.clear()
            await broker.subscribe([(topic, 1)])
            self._session.ask_for_births()

    def _say_heard(self, heard: Heard, topic: str, size_bytes: int) -> None:
        """Log what was heard, of each kind not more than one line in a while: anybody may send a flood."""
        said_at, unsaid = self._said.get(heard, (float("-inf"), 0))
        if self._clock() - said_at < _SAY_SECONDS:
            self._said[heard] = said_at, unsaid + 1
            return
        self._said[heard] = self._clock(), 0
        level = logging.WARNING if heard in {Heard.UNKNOWN, Heard.MALFORMED} else logging.INFO
        log.event(_log, level, "heard", what=heard, topic=topic, size_bytes=size_bytes, unsaid=unsaid or None)

    async def _tell(self, broker: Broker) -> None:
        if not await self._host_came():
            return
        line = self._settings.line
        async with AsyncVerdictReader(
            line.verdicts, line.sync or None, line=line.own_names, cursor=self._cursor, keys=line.keys
        ) as reader:
            until = self._clock() + _FIRST_HEARTBEAT_SECONDS
            self._picture.forget()
            while not self._picture.is_alive and self._clock() < until and self._may_be_born:
                await self._read(reader)
            if not self._session.host_is_online:
                return  # it went while the line was waited for: the next session waits for it again
            self.was_born = True
            self._born_at = self._clock()
            await self._send(broker, self._session.births())
            while not self._must_end:
                await self._read(reader)
                await self._send(broker, self._session.tick())
                await self._send_parts(broker)
                await self._confirm(broker, reader)
            self._confirmed_at = float("-inf")
            await self._confirm(broker, reader)

    @property
    def _must_end(self) -> bool:
        return self._stopping.is_set() or self._session.must_end

    @property
    def _may_be_born(self) -> bool:
        return self._session.host_is_online and not self._must_end

    async def _host_came(self) -> bool:
        """Wait for the primary host; False where it is to be looked for at another broker."""
        until = self._clock() + self._settings.broker.host_wait_seconds
        is_only = len(self._settings.broker.servers) == 1
        while not self._session.host_is_online:
            if self._stopping.is_set() or (not is_only and (self._is_host_away or self._clock() > until)):
                return False
            await asyncio.sleep(_TURN_SECONDS)
        return True

    async def _read(self, reader: AsyncVerdictReader) -> None:
        item = await reader.receive(_TURN_SECONDS)
        self._line_clock.see(reader.heartbeat)
        self._picture.see(reader.heartbeat, reader.liveness)
        if isinstance(item, Lost):
            self._picture.lost(item)
            self._metrics.lost(item.count or 1)
            log.event(_log, logging.WARNING, "verdicts_lost", count=item.count, reason=item.reason,
                      after=str(item.after), before=str(item.before))  # fmt: skip
        elif item is not None and (row := self._rows.row(item)) is not None:
            self._held.append(row)
        if len(self._held) > _MAX_HELD:
            # Only of a line that gives verdicts and no heartbeats; the cursor has what is forgotten here.
            raise UnavailableError(f"{self._settings.line.verdicts}: gives verdicts, but no heartbeats")

    async def _send(self, broker: Broker, sends: Sequence[Send]) -> None:
        await broker.send(*sends)
        self._unconfirmed += len(sends)
        is_telling = self._session.is_born and self._picture.is_alive
        if is_telling and not self._was_telling:
            self._line_clock.begin()
        self._was_telling = is_telling

    async def _send_parts(self, broker: Broker) -> None:
        while self._held and self._session.takes_parts and self._unconfirmed < _CONFIRM_MESSAGES:
            row = self._held.popleft()
            is_historical = self._line_clock.is_history(row.decided_utc_ns)
            await self._send(broker, [self._session.part(row, is_historical=is_historical)])
            self._metrics.part(is_historical=is_historical)
            if is_historical:
                await asyncio.sleep(1 / self._settings.sparkplug.resend_per_second)

    async def _confirm(self, broker: Broker, reader: AsyncVerdictReader) -> None:
        """Once in a while: have the broker say that it has what was sent, and move the cursor on."""
        self._metrics.births(self._session.births_sent)
        self._session.births_sent = 0
        self._metrics.state(
            is_born=self._session.is_passed_on, is_alive=self._picture.is_alive, held=len(self._held)
        )
        is_due = self._clock() - self._confirmed_at >= _CONFIRM_SECONDS
        if not self._unconfirmed or not (is_due or self._unconfirmed >= _CONFIRM_MESSAGES):
            return
        await broker.subscribe(self._session.subscriptions[1:2])  # commands may be held off
        self._unconfirmed, self._confirmed_at = 0, self._clock()
        if self._session.is_passed_on and not self._held:
            reader.commit()
        if not self._session.is_passed_on and self._clock() - self._born_at > _OWN_BIRTH_SECONDS:
            self._warn_of_silence()

    def _warn_of_silence(self) -> None:
        if not self._has_warned:
            topic = self._session.subscriptions[1][0]
            detail = f"its access list must let this user publish, and read {topic}; parts are kept meanwhile"
            log.event(_log, logging.ERROR, "broker_passes_nothing_on", detail=detail)
        self._has_warned = True
