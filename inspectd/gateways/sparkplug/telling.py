"""What one session with a broker does: hears hosts, reads the line, tells what is new.

The cursor file is all that is remembered of parts. A session reads the line from there on, and moves it on
when everything that was sent has come back, but never past a view whose part is still to come. So whatever
ends a session, the next one tells what may not have arrived: late, marked as historical, twice at the worst.
Parts themselves are QoS 0, as the specification wants it, and nobody confirms those; but the node is
subscribed to its own parts, so each one comes back that the broker passes on. Where one does not, the session
goes back to the cursor as soon as others do; one that the broker drops time and again is given up, and said.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from inspectd import log
from inspectd.client import AsyncVerdictReader, Item, LossReason, Lost, Position
from inspectd.client import cursor as cursors
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
_AGAIN_SECONDS: Final = 1.0
"""From one attempt to make a reader to the next."""
_UNANSWERED_SECONDS: Final = 10.0
"""A line that lives and gives nothing of what it has published for so long is said."""
_CONFIRM_SECONDS: Final = 1.0
_CONFIRM_MESSAGES: Final = 100
_MAX_HELD: Final = 5000
"""With so many parts that are not told yet no more are read: a backlog comes long before a heartbeat does."""
_BACK_SECONDS: Final = 0.5
"""So long is waited for messages to come back before more are sent."""
_SILENCE_SECONDS: Final = 5.0
"""What has not come back within it was not passed on; births are sent so often to see whether they are."""
_TIMES_DROPPED: Final = 3
"""A part that was dropped so often while others were passed on is given up."""
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
        make_reader: makes a reader of the line from there on; raises `UnavailableError` where that is to be
            tried again.
        clock: seconds on a clock that never goes back.
    """

    _drops = log.Repeated(_log)

    def __init__(
        self,
        settings: SparkplugConfig,
        session: EdgeSession,
        picture: LinePicture,
        metrics: SparkplugMetrics,
        *,
        stopping: asyncio.Event,
        cursor: Path,
        make_reader: Callable[[], AsyncVerdictReader],
        clock: Callable[[], float],
    ) -> None:
        self.was_born = False
        """The births went out."""
        self._settings, self._session, self._picture, self._metrics = settings, session, picture, metrics
        self._stopping, self._cursor, self._clock = stopping, cursor, clock
        self._make_reader = make_reader
        self._line_clock = LineClock(clock)
        self._rows = PartRows()
        self._held: deque[PartRow] = deque()
        self._under_way: dict[bytes, str] = {}
        """Parts whose messages may still come back."""
        self._dropped: Counter[str] = Counter()
        """How often each part since the cursor was not passed on."""
        self._is_host_away = False
        self._was_telling = False
        self._has_warned = False
        self._is_silent = False
        """Nothing is told: the broker does not pass it on. Parts are read again when it does."""
        self._tried_at = clock()
        self._is_unanswered = False
        """The line did not answer, and its reader has passed over what it asked for."""
        self._read_at = clock()
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
        await broker.subscribe(self._session.subscriptions + self._session.own_subscriptions)
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
            if heard is not Heard.OWN_PART:
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
        while True:
            try:
                made = self._make_reader()
            except UnavailableError:  # hosts are told that the line is not known, and it is tried again
                self._picture.forget()
                await self._send(broker, self._session.tick())
                await asyncio.sleep(_AGAIN_SECONDS)
                if self._must_end or not (self.was_born or self._session.host_is_online):
                    return
                continue
            async with made as reader:
                await self._tell_from_cursor(broker, reader)
            if self._must_end or not self.was_born:
                return
            self._session.echo.give_up_parts()
            self._held.clear()
            self._under_way.clear()
            self._rows = PartRows()
            self._is_silent = self._was_telling = self._is_unanswered = False

    async def _tell_from_cursor(self, broker: Broker, reader: AsyncVerdictReader) -> None:
        """Until the session must end, or go back to the cursor."""
        until = self._clock() + _FIRST_HEARTBEAT_SECONDS
        self._picture.forget()
        while not self._picture.is_alive and self._clock() < until and self._may_be_born:
            await self._read(reader)
        if not self._session.host_is_online:
            return  # it went while the line was waited for: the next session waits for it again
        if not self.was_born:
            self.was_born = True
            await self._send(broker, self._session.births())
        while not self._must_end and not self._must_go_back:
            await self._read(reader)
            await self._send(broker, self._session.tick())
            await self._send_parts(broker)
            await self._confirm(broker, reader)
            self._see_dropped()
        if self._must_end:
            self._confirmed_at = float("-inf")
            await self._confirm(broker, reader)

    @property
    def _must_go_back(self) -> bool:
        """A part was not passed on, and what is sent now is; or the line has not given what it has."""
        is_passed_on_again = self._is_silent and self._session.births_are_back
        return self._session.echo.has_gap or is_passed_on_again or self._is_unanswered

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
        if len(self._held) >= _MAX_HELD:
            item, self._read_at = None, self._clock()
            await reader.attend(_TURN_SECONDS)
        else:
            item = await reader.receive(_TURN_SECONDS)
        self._line_clock.see(reader.heartbeat)
        self._picture.see(reader.heartbeat, reader.liveness)
        if item is not None and not self._cursor.exists():
            self._remember_beginning(reader, item)
        self._say_unanswered(reader, item)
        if self._is_silent or self._is_unanswered:
            return
        if isinstance(item, Lost) and item.reason is LossReason.UNANSWERED:
            self._is_unanswered = True
        elif isinstance(item, Lost):
            if more := self._picture.lost(item):
                self._metrics.lost(more)
                log.event(_log, logging.WARNING, "verdicts_lost", count=item.count, reason=item.reason,
                          after=str(item.after), before=str(item.before))  # fmt: skip
        elif item is not None and (row := self._rows.row(item)) is not None:
            self._held.append(row)

    def _say_unanswered(self, reader: AsyncVerdictReader, item: Item | None) -> None:
        """Say it where the line lives and has published more, but does not give it."""
        heartbeat, position = reader.heartbeat, reader.position
        is_behind = (
            self._picture.is_alive
            and heartbeat is not None
            and position is not None
            and position < Position(heartbeat.epoch, heartbeat.last_seq)
        )
        if item is not None or not is_behind:
            self._read_at = self._clock()
        elif self._clock() - self._read_at >= _UNANSWERED_SECONDS:
            self._read_at = self._clock()
            log.event(
                _log, logging.WARNING, "line_does_not_answer", after=str(position),
                detail="it has published more; what it keeps is told as soon as its sync socket answers",
            )  # fmt: skip

    def _remember_beginning(self, reader: AsyncVerdictReader, item: Item) -> None:
        """Without a cursor a reader begins with what comes: what was read and not told would be left out."""
        before = item.after if isinstance(item, Lost) else Position(item.epoch, item.seq - 1)
        if reader.cursor is not None:
            cursors.write(self._cursor, msgspec.structs.replace(reader.cursor, position=before))

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
            part = self._session.part(row, is_historical=is_historical)
            self._under_way[part.payload] = f"{row.values['Epoch']}:{row.values['Seq']}"
            await self._send(broker, [part])
            self._metrics.part(is_historical=is_historical)
            if is_historical:
                await asyncio.sleep(1 / self._settings.sparkplug.resend_per_second)

    async def _confirm(self, broker: Broker, reader: AsyncVerdictReader) -> None:
        """Once in a while: move the cursor on if all that was sent has come back, else see whether it will.

        The broker's answer to a subscription comes after what was sent before: a broker that is gone or slow
        is not one that passes nothing on.
        """
        echo = self._session.echo
        self._metrics.births(self._session.births_sent)
        self._session.births_sent = 0
        self._metrics.state(
            is_born=self._session.is_passed_on, is_alive=self._picture.is_alive, held=len(self._held)
        )
        is_due = self._clock() - self._confirmed_at >= _CONFIRM_SECONDS
        is_open = self._unconfirmed > 0 or self._is_silent or not echo.is_complete
        if not is_open or not (is_due or self._unconfirmed >= _CONFIRM_MESSAGES):
            return
        await broker.subscribe(self._session.subscriptions[1:2])  # commands may be held off
        self._unconfirmed, self._confirmed_at = 0, self._clock()
        until = self._clock() + _BACK_SECONDS
        while not (self._is_silent or echo.is_complete or echo.has_gap) and self._clock() < until:
            await asyncio.sleep(_BACK_SECONDS / 100)
        if missed := echo.misses(_SILENCE_SECONDS):
            self._begin_silence(missed)
        if self._is_silent:
            self._try_births()
        elif self._session.is_passed_on and echo.is_complete:
            self._has_warned = False
            self._under_way.clear()
            if not self._held and not self._is_unanswered:
                self._dropped.clear()
                reader.commit(self._rows.waits_from)

    def _see_dropped(self) -> None:
        """Parts did not come back and later ones did: they are told again, but none of them for ever."""
        overtaken = self._session.echo.overtaken
        if not overtaken:
            return
        dropped = [self._under_way[payload] for payload in overtaken]
        self._dropped.update(dropped)
        given_up = [part for part in dropped if self._dropped[part] >= _TIMES_DROPPED]
        if len(given_up) < len(dropped):
            self._drops.event(logging.WARNING, "parts_told_again", count=len(dropped), first=dropped[0])
            return
        self._session.echo.forget(overtaken)
        self._metrics.given_up(len(given_up))
        self._drops.event(
            logging.ERROR, "parts_given_up", count=len(given_up), first=given_up[0], last=given_up[-1],
            detail="the broker drops them again and again, and passes on what comes after them",
        )  # fmt: skip

    def _begin_silence(self, topics: list[str]) -> None:
        if not self._has_warned:
            detail = (
                f"nothing comes back on {', '.join(topics)}: the broker's access list must let this user "
                "publish and read there; parts are kept meanwhile"
            )
            log.event(_log, logging.ERROR, "broker_passes_nothing_on", detail=detail)
        self._has_warned = True
        if not self._is_silent:
            self._is_silent, self._tried_at = True, float("-inf")
            self._session.echo.give_up_parts()
            self._held.clear()

    def _try_births(self) -> None:
        """See whether the broker passes births on again: then it may pass on parts as well."""
        if self._clock() - self._tried_at >= _SILENCE_SECONDS:
            self._tried_at = self._clock()
            self._session.ask_for_births()
