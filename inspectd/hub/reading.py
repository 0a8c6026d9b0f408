"""Reads the streams of all lines into the database: one session with the plant's servers."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec.structs import replace
from nats.aio.msg import Msg
from nats.js import api

from inspectd import log
from inspectd.fleet.names import LineNames
from inspectd.fleet.servers import DeniedError, NotThereError, Servers, ServersError, StreamPull
from inspectd.fleet.together import together
from inspectd.hub.batch import LineBatch, StoredLine, StreamPlace
from inspectd.hub.engine import DatabaseAwayError, DatabaseRefusesError
from inspectd.hub.messages import is_of_repairs, report_of, verdict_of
from inspectd.hub.reading_state import ReadingState, utc_ms
from inspectd.hub.schema import DAY_MS
from inspectd.hub.store import HubStore
from inspectd.hub.stream_progress import StreamProgress, given_up_to
from inspectd.page.history.rows import Numbered, decided_ms
from inspectd.page.history.time_order import TimeOrder

_FETCHED: Final = 25
"""At a time: the client library keeps 128 MB, and a message of anybody's has up to 4 MB."""
_FETCH_SECONDS: Final = 1.0
_MOST_MESSAGES: Final = 2000
_MOST_BYTES: Final = 4_000_000
_PAUSE_SECONDS: Final = 0.2
"""After less than a whole batch: a transaction takes as long for one verdict as for a hundred."""
_LISTED_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 5.0
"""After which a stream that gives nothing is asked anew."""
_INACTIVE_SECONDS: Final = 600.0
"""Of a consumer nobody asks: a line asks none while it waits for its turn to write, behind all the others."""
_MOST_STREAMS: Final = 5000
_AHEAD_MS: Final = 300_000
"""So far a line's clock may be ahead of the servers' before it is called wrong."""

_log: Final = logging.getLogger(__name__)


class PlantStreams(NamedTuple):
    """Streams of a plant's lines: of verdicts, and of what each reports that it runs."""

    verdicts: dict[LineNames, api.StreamInfo]
    reports: dict[LineNames, api.StreamInfo]


@dataclass
class _Read:
    """How far a line's stream was read.

    Attributes:
        place: in the database.
        start: number of the last message before what comes next; 0: from the stream's first one.
        order: of the line's times.
    """

    place: StreamPlace
    start: int
    order: TimeOrder


class HubSession:
    """One connection, from the list of streams to its end.

    Args:
        plant: the plant whose lines are read.
        servers: the connection.
        store: where verdicts go.
        state: of the reading.
        days: so long verdicts are kept.
    """

    def __init__(
        self, plant: str, servers: Servers, store: HubStore, state: ReadingState, days: float
    ) -> None:
        self._plant, self._servers, self._store, self._state = plant, servers, store, state
        self._kept_ms = round(days * DAY_MS)
        self._said: dict[LineNames, int] = {}
        """Of each line: how many misdated verdicts had come when that was said last."""
        self._progress: dict[LineNames, StreamProgress] = {}

    async def run(self) -> None:
        """Read until the connection ends, or there are other streams.

        Raises:
            ServersError: the connection is gone, or the servers refuse this user.
            DatabaseAwayError: the database does not take what was read.
        """
        streams = (await streams_of(self._servers, self._plant)).verdicts
        lines = {}
        for names in streams:
            lines[names] = await asyncio.to_thread(self._store.line, names)
            self._progress[names] = StreamProgress(lines[names].place.sequence, time.monotonic)
        self._state.lines = {names: self._state.of(names) for names in lines}
        for names, line in lines.items():
            self._state.of(names).received_ms = line.received_ms
        log.event(_log, logging.INFO, "reading", server=self._servers.where, lines=len(lines))
        self._state.reads(utc_ms())
        await together(
            self._watch(streams, lines),
            self._servers.until_lost(),
            *(self._read(lines[names], info) for names, info in streams.items()),
        )

    async def _watch(
        self, streams: dict[LineNames, api.StreamInfo], lines: dict[LineNames, StoredLine]
    ) -> None:
        """Look how far behind the reading is, and whether there are other streams or reports."""
        reported = {names: line.report_sequence for names, line in lines.items()}
        while True:
            now = await streams_of(self._servers, self._plant)
            if _made(now.verdicts) != _made(streams):
                return
            self._store.refuse_silent()
            for names, info in now.verdicts.items():
                self._progress[names].look_at(info)
                self._count_behind(names)
            for names, info in now.reports.items():
                if names in lines and info.state.last_seq != reported[names]:
                    reported[names] = info.state.last_seq
                    await self._take_report(lines[names], info)
            await asyncio.sleep(_LISTED_SECONDS)

    def _count_behind(self, names: LineNames) -> None:
        """After a line's stream was looked at, or read on."""
        if (behind := self._progress[names].behind) is not None:
            self._state.of(names).behind = behind

    async def _take_report(self, line: StoredLine, info: api.StreamInfo) -> None:
        names, stream = line.names, info.config.name or ""
        try:
            message = await self._servers.asked(self._servers.js.get_last_msg(stream, f"{names.base}.run"))
        except NotThereError:
            return
        body = message.data or b""
        if report_of(names, body) is None:
            self._state.of(names).foreign += 1
            log.event(_log, logging.WARNING, "foreign_report", stream=stream, sequence=message.seq)
            return
        # By the servers' clock: one that is read for the first time may have waited there for weeks.
        ms = utc_ms() if message.time is None else round(message.time.timestamp() * 1000)
        await asyncio.to_thread(self._store.write_report, line, info.state.last_seq, ms, body)

    async def _read(self, line: StoredLine, info: api.StreamInfo) -> None:
        """Read one line's stream without end; one that fails is asked anew, while the others go on."""
        reading, read = self._state.of(line.names), None
        while True:
            try:
                read = read or await self._begun(line, info)
                config = api.ConsumerConfig(
                    deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=read.start + 1,
                    ack_policy=api.AckPolicy.NONE,
                    inactive_threshold=_INACTIVE_SECONDS,
                )
                async with self._servers.pull(line.names.stream, config) as pull:
                    await self._read_on(line, created(info), pull, read)
            except DeniedError:
                raise
            except ServersError as error:
                if not reading.trouble:
                    log.event(
                        _log, logging.ERROR, "stream_not_read", stream=line.names.stream, detail=str(error)
                    )
                reading.trouble = str(error)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _begun(self, line: StoredLine, info: api.StreamInfo) -> _Read:
        """From where a line's stream is read: from its place, or all of it where it is another one."""
        place = line.place
        is_same = await self._is_same(line, info)
        if place.created and not is_same:
            log.event(_log, logging.WARNING, "stream_anew", stream=line.names.stream, was=place.sequence)
        start = place.sequence if is_same else 0
        self._progress[line.names].read_up_to(start)
        return _Read(place, start, TimeOrder(self._kept_ms, line.newest_ms if is_same else None))

    async def _is_same(self, line: StoredLine, info: api.StreamInfo) -> bool:
        """Whether a stream is the one that was read up to the line's place.

        One that was put back from a backup says that it was made when the other was, and where the line's
        journal had lost what came next, it has other verdicts up to that place: the last one is then none of
        those that are kept. One that the stream gave up, or that is about too old to be kept, says nothing.
        """
        place, names = line.place, line.names
        if place.created != created(info) or place.sequence > info.state.last_seq:
            return False
        if not place.sequence:
            return True
        try:
            last = await self._servers.asked(self._servers.js.get_msg(names.stream, seq=place.sequence))
        except NotThereError:
            return True
        item = verdict_of(names, last.subject or "", last.headers, last.data or b"")
        if item is None or last.time is None or utc_ms() - last.time.timestamp() * 1000 > self._kept_ms / 2:
            return True
        return await asyncio.to_thread(self._store.has, line, item)

    async def _read_on(self, line: StoredLine, made: str, pull: StreamPull, read: _Read) -> None:
        """Read what a consumer gives.

        Raises:
            ServersError: it gives no more.
        """
        progress, reading = self._progress[line.names], self._state.of(line.names)
        progress.begins()
        given = 0
        while True:
            messages = await _fetched(pull, progress)
            numbers = [message.metadata.sequence.consumer for message in messages]
            if numbers != [*range(given + 1, given + 1 + len(messages))]:
                raise ServersError(f"{line.names.stream}: messages were lost on their way; it is asked anew")
            given += len(messages)
            if progress.is_stalled:  # such as a consumer that went with its server: nobody says so
                raise ServersError(f"{line.names.stream} goes on, and gives nothing; it is asked anew")
            if progress.has_given(len(messages)):
                reading.trouble = ""
            at = StreamPlace(made, read.start)
            batch = (
                _batch(line.names, read.place, at, messages, read.order)
                if messages
                else self._given_up(progress, read.place, at, read.order.newest_ms)
            )
            if batch is None:
                continue
            await self._write(line, batch)
            read.place, read.start = batch.after, batch.after.sequence
            progress.read_up_to(read.start)
            self._count_behind(line.names)
            if len(messages) < _MOST_MESSAGES:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _given_up(
        self, progress: StreamProgress, before: StreamPlace, start: StreamPlace, newest_ms: int | None
    ) -> LineBatch | None:
        """What a stream that gives nothing has no more of what comes after `start`; None: nothing is gone.

        No later message need ever show it: the line may have been switched off.
        """
        last = 0 if progress.info is None else given_up_to(progress.info)
        # What was gone before the hub ever read this stream is none of its losses.
        if not 0 < start.sequence < last:
            return None
        return LineBatch(
            [], before, StreamPlace(start.created, last), passed_over=last - start.sequence,
            passed_over_ms=(newest_ms or 0, utc_ms()),
        )  # fmt: skip

    async def _write(self, line: StoredLine, batch: LineBatch) -> None:
        """Write a batch; one of which the database refuses a verdict goes in halves, and without that."""
        reading = self._state.of(line.names)
        try:
            added = await asyncio.to_thread(self._store.write, line, batch)
        except DatabaseRefusesError as error:
            if not batch.items:
                raise DatabaseAwayError(str(error)) from error
            if len(batch.items) > 1:
                half = len(batch.items) // 2
                first = replace(
                    batch.part(0, half), after=batch.before, foreign=0, passed_over=0, received_ms=None,
                    misdated=0,
                )  # fmt: skip
                await self._write(line, first)
                await self._write(line, batch.part(half, len(batch.items)))
                return
            item = batch.items[0]
            log.event(
                _log, logging.ERROR, "verdict_refused", line=line.names.line, epoch=item.epoch, seq=item.seq,
                detail=str(error),
            )  # fmt: skip
            await self._write(line, replace(batch.part(0, 0), foreign=batch.foreign + 1))
            return
        reading.stored += added
        reading.foreign += batch.foreign
        reading.passed_over += batch.passed_over
        if batch.received_ms is not None:
            reading.received_ms, reading.late_ms = batch.received_ms, batch.late_ms
            reading.arrived = time.monotonic()
        if batch.misdated:
            reading.misdated += batch.misdated
            self._say_misdated(line.names, reading.misdated)
        if batch.foreign:
            log.event(_log, logging.WARNING, "foreign_messages", line=line.names.line, n=batch.foreign)
        if batch.passed_over:
            log.event(_log, logging.ERROR, "messages_gone", line=line.names.line, n=batch.passed_over)

    def _say_misdated(self, names: LineNames, count: int) -> None:
        """Tell what nobody finds who looks for the last hour, or for a time that is kept."""
        if count < 2 * self._said.get(names, 0):  # a clock that is behind is so for long
            return
        self._said[names] = count
        log.event(
            _log, logging.WARNING, "verdicts_misdated", line=names.line, n=count,
            detail="their own time is ahead of the servers' clock, or older than database.days and than what "
            "came before them, and they are shown under it, kept as long as all others: set the line's clock",
        )  # fmt: skip


async def streams_of(servers: Servers, plant: str) -> PlantStreams:
    """The streams of a plant's lines.

    Raises:
        ServersError: the servers do not say.
    """
    found = PlantStreams({}, {})
    kinds = {"V": found.verdicts, "R": found.reports}
    offset = 0
    while some := await servers.asked(servers.js.streams_info(offset)):
        offset += len(some)
        for info in some:
            kind, *names = (info.config.name or "").split("+")
            if kind in kinds and len(names) == 2 and names[0] == plant:
                kinds[kind][LineNames(*names)] = info
        if offset > _MOST_STREAMS:
            raise ServersError(f"the servers list more than {_MOST_STREAMS} streams")
    return found


def created(info: api.StreamInfo) -> str:
    """When a stream was made, as the servers say it."""
    return info.created.isoformat() if info.created else "?"


def _made(streams: dict[LineNames, api.StreamInfo]) -> dict[LineNames, str]:
    return {names: created(info) for names, info in streams.items()}


async def _fetched(pull: StreamPull, progress: StreamProgress) -> list[Msg]:
    """What comes next of a stream, as much as one transaction takes; empty: nothing within a second."""
    found: list[Msg] = []
    size = 0
    while len(found) < _MOST_MESSAGES and size < _MOST_BYTES:
        progress.asks()
        some = await pull.fetch(_FETCHED, _FETCH_SECONDS)
        if some:
            progress.gave()
        found += some
        size += sum(len(message.data) for message in some)
        if len(some) < _FETCHED:
            break
    return found


def _batch(
    names: LineNames, before: StreamPlace, start: StreamPlace, messages: list[Msg], order: TimeOrder
) -> LineBatch:
    """What a stretch of the stream is, from after `start`; `before` is what the database has.

    `order`: of the line's times, which goes on with these.
    """
    found = [verdict_of(names, message.subject, message.headers, message.data) for message in messages]
    last = messages[-1].metadata.sequence.stream
    own = [(item, _received_ms(m)) for m, item in zip(messages, found, strict=True) if item is not None]
    subjects = [m.subject for m, item in zip(messages, found, strict=True) if item is not None]
    repaired = [is_of_repairs(names, subject) for subject in subjects]
    times = [(decided_ms(item), ms) for item, ms in own]
    # What the forwarder added later stands at the stream's end, out of its order.
    in_order = [each for each, is_repair in zip(times, repaired, strict=True) if not is_repair]
    # Of these alone: neither a repair, nor what others wrote into its stream, shows that a line runs.
    newest_ms, received_ms = in_order[-1] if in_order else (0, None)
    before_ms = order.newest_ms
    ahead = sum(decided > ms + _AHEAD_MS for decided, ms in times)
    return LineBatch(
        items=[item for item, _ in own],
        before=before,
        after=StreamPlace(start.created, last),
        foreign=sum(item is None for item in found),
        # What was gone before the hub ever read this stream is none of its losses.
        passed_over=last - start.sequence - len(messages) if start.sequence else 0,
        passed_over_ms=_gone_ms(start.sequence, before_ms, messages, found),
        received_ms=received_ms,
        late_ms=0 if received_ms is None else received_ms - newest_ms,
        arrived_ms=[ms for _, ms in own],
        repaired=repaired,
        misdated=ahead + order.dated_back(in_order),
    )


def _gone_ms(
    sequence: int, before_ms: int | None, messages: list[Msg], found: list[Numbered | None]
) -> tuple[int, int]:
    """From when to when messages are gone of a stretch after `sequence`, before which it was `before_ms`."""
    holes: list[int] = []
    at_ms = before_ms or 0
    is_in_hole = False
    for message, item in zip(messages, found, strict=True):
        if message.metadata.sequence.stream != sequence + 1:
            holes.append(at_ms)
            is_in_hole = True
        sequence = message.metadata.sequence.stream
        ms = _received_ms(message)
        at_ms = ms if item is None else min(ms, decided_ms(item))
        if is_in_hole:
            holes.append(at_ms)
            is_in_hole = item is None
    return (min(holes), max(holes)) if holes else (0, 0)


def _received_ms(message: Msg) -> int:
    """When the servers got it, by their clock."""
    return round(message.metadata.timestamp.timestamp() * 1000)
