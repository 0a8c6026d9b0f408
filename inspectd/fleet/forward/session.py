"""One session with the plant's servers: from the stream's end on, until something fails.

All that is remembered is in the stream. A session asks where it ends and goes on behind that; whatever fails,
the session ends, and the next one asks again. So nothing is lost while the line's journal has it, and nothing
comes twice.

Where the stream ends says what it has only as long as the line's epochs grow. A line that got a backup of its
state and a wrong clock is in an epoch before the stream's last, and gives again all that its journal has. So
of each epoch that a session comes to, it asks what the stream has.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from nats.js import api

from inspectd import log
from inspectd.client import AsyncVerdictReader, Cursor, LossReason, Lost
from inspectd.errors import UnavailableError
from inspectd.fleet import safety, streams
from inspectd.fleet.forward.comparison import Comparison
from inspectd.fleet.forward.line_side import distance
from inspectd.fleet.forward.metrics import ForwardMetrics
from inspectd.fleet.forward.other_writer import OtherWriter, host_of
from inspectd.fleet.forward.writer import Sent, StreamWriter
from inspectd.fleet.safety import ServerState
from inspectd.fleet.servers import Servers, ServersDoor, ServersError
from inspectd.fleet.settings import ForwardConfig
from inspectd.fleet.streams import StreamEnd
from inspectd.fleet.together import together
from inspectd.wire.sync import Position

_TURN_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 86_400.0
"""A line that does not answer is waited for: what it has must not be passed over."""
_SAFETY_SECONDS: Final = 60.0
_FIRST_COMPARISON_SECONDS: Final = 60.0

_log: Final = logging.getLogger(__name__)


class LineSilentError(Exception):
    """The line gave no answer, and its reader would pass over what it asked for."""


class Progress:
    """What is known over sessions: how far the stream is, and what was told already."""

    def __init__(self) -> None:
        self.end: Position | None = None
        """The last verdict that the stream has."""
        self.is_known = False
        """The stream was asked once."""
        self.under_way = 0
        self.compared_at: float | None = None
        """When the stream was last searched, on the forwarder's clock."""
        self.lost_before: dict[int, int] = {}
        """Losses up to here were counted: numbers by epoch, because a line may go back to an earlier one."""


class ForwardSession:
    """From one connection to its end.

    Args:
        settings: the forwarder's.
        door: by which servers are connected to.
        metrics: where what happens is counted.
        progress: over all sessions.
        comparison: likewise.
        other: likewise; knows whether another forwarder writes to the stream.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        settings: ForwardConfig,
        *,
        door: ServersDoor,
        metrics: ForwardMetrics,
        progress: Progress,
        comparison: Comparison,
        other: OtherWriter,
        clock: Callable[[], float],
    ) -> None:
        self.acknowledged = 0
        """Verdicts of this session that a server has."""
        self._settings, self._door, self._metrics = settings, door, metrics
        self._progress, self._comparison, self._other, self._clock = progress, comparison, other, clock
        self._names = settings.line.names
        self._passed: Position | None = None
        """The last verdict of the line that was sent, or that the stream had. Where an epoch begins:
        what is before its first."""
        self._repair_to: Position | None = None
        """What the line has after it comes by itself: the comparison is not to send that too."""

    async def run(self, servers: Servers) -> None:
        """Forward until something fails.

        Raises:
            ServersError: the servers cannot be used now.
            UnsafeServersError, WrongStreamError: they are not to be used as they are.
            LineSilentError: the line gave no answer.
            OtherWriterError: another forwarder writes to the stream.
            InputError: the line's endpoint or a key cannot be used, or it is another line.
        """
        await self._check(servers)
        end = await self._end(servers)
        if end.foreign:
            self._metrics.foreign(end.foreign)
            log.event(_log, logging.ERROR, "foreign_messages", stream=self._names.stream, count=end.foreign)
        self._progress.end, self._progress.is_known = end.position, True
        self._passed = end.position
        writer = StreamWriter(
            servers,
            end.last_sequence,
            window=self._settings.forward.window,
            acknowledge_seconds=self._settings.forward.acknowledge_seconds,
            clock=self._clock,
            name=self._other.own,
        )
        log.event(
            _log, logging.INFO, "forwarding", server=servers.where, stream=self._names.stream,
            after=str(end.position) if end.position else "nothing",
        )  # fmt: skip
        self._metrics.session_began()
        try:
            await together(
                writer.acknowledge(lambda sent: self._sent(sent, writer)),
                self._forward(servers, writer, end.position),
                self._compare(servers, writer),
                self._watch_servers(servers),
                servers.until_lost(),
            )
        finally:
            writer.close()

    async def _end(self, servers: Servers) -> StreamEnd:
        """Where the stream ends, once it is certain enough that nobody else goes on there."""
        while True:
            end = await streams.end_of(servers, self._names)
            seconds = self._other.seconds_to_wait(end)
            if not seconds:
                return end
            log.event(
                _log, logging.INFO, "waiting_for_silence", stream=self._names.stream,
                seconds=round(seconds, 1), host=host_of(end.writer), last=str(end.position),
            )  # fmt: skip
            await asyncio.sleep(seconds)

    def _sent(self, sent: Sent, writer: StreamWriter) -> None:
        self.acknowledged += 1
        self._other.wrote(sent.sequence)
        self._metrics.sent(sent)
        self._progress.under_way = writer.under_way
        if not sent.is_repair:
            self._progress.end = sent.position

    async def _forward(self, servers: Servers, writer: StreamWriter, position: Position | None) -> None:
        line, names, known = self._settings.line, self._names, position
        cursor = None if position is None else Cursor(names.plant, names.line, position)
        async with AsyncVerdictReader(
            line.verdicts, line.sync_socket, line=line.own_names, cursor=cursor, start="oldest",
            keys=line.keys, patience_seconds=_PATIENCE_SECONDS,
        ) as reader:  # fmt: skip
            while True:
                item = await reader.receive(_TURN_SECONDS)
                if isinstance(item, Lost):
                    self._lost(item)
                elif item is not None:
                    here = Position(item.epoch, item.seq)
                    if known is None or known.epoch != here.epoch:
                        known = await self._enter(servers, writer, here)
                    if here <= known:
                        self._metrics.had_already()
                    else:
                        # The very bytes: a newer line says more than this version knows.
                        await writer.send(names.subject(item), reader.header, here)
                    self._passed = here

    async def _enter(self, servers: Servers, writer: StreamWriter, first: Position) -> Position:
        """The last verdict that the stream has of the epoch of the first one that the line gives of it."""
        # Before anything is waited for: a comparison may begin while this waits, or before the first is sent.
        self._passed = Position(first.epoch, first.seq - 1)
        if self._repair_to is not None:
            self._repair_to = min(self._repair_to, self._passed)
        async with writer.quiet():
            known = await streams.last_of_epoch(servers, self._names, first.epoch)
        if first <= known:
            log.event(
                _log, logging.WARNING, "given_again", first=str(first), through=str(known),
                detail="the line went back, as after a backup of its state; the stream has these verdicts",
            )  # fmt: skip
        return known

    def _lost(self, lost: Lost) -> None:
        if lost.reason is LossReason.UNANSWERED:
            raise LineSilentError(f"no answer about what comes after {lost.after}")
        known = self._progress.lost_before
        if lost.before.seq <= known.get(lost.before.epoch, 0):
            return
        known[lost.before.epoch] = lost.before.seq
        self._metrics.lost(lost.count or 1)
        log.event(
            _log, logging.ERROR, "verdicts_lost", count=lost.count, reason=lost.reason,
            after=str(lost.after), before=str(lost.before),
        )  # fmt: skip

    async def _compare(self, servers: Servers, writer: StreamWriter) -> None:
        every = self._settings.forward.compare_minutes * 60
        while True:
            since = self._progress.compared_at
            wait = min(every, _FIRST_COMPARISON_SECONDS) if since is None else since + every - self._clock()
            await asyncio.sleep(max(0.0, wait))
            async with writer.quiet():
                spans = await self._comparison.spans(servers)
                self._repair_to = self._passed
            repaired = 0
            try:
                async for item in self._comparison.missing(servers, spans):
                    verdict = item.verdict
                    here = Position(verdict.epoch, verdict.seq)
                    repaired += await writer.send(
                        self._names.subject(verdict, is_repair=True), item.header, here, is_repair=True,
                        is_due=functools.partial(self._needs_repair, here),
                    )  # fmt: skip
            except UnavailableError as error:
                raise LineSilentError(str(error)) from error
            self._progress.compared_at = self._clock()
            self._metrics.compared(time.time(), self._comparison.gone, self._comparison.doubles)
            level = logging.WARNING if repaired or self._comparison.doubles else logging.INFO
            log.event(
                _log, level, "compared", epochs=len(spans), verdicts=sum(span.count for span in spans),
                repaired=repaired, gone=self._comparison.gone, doubles=self._comparison.doubles,
            )  # fmt: skip

    def _needs_repair(self, missing: Position) -> bool:
        """It does not come by itself, as after the line went back before epochs that the stream has."""
        return self._repair_to is not None and missing <= self._repair_to

    async def _watch_servers(self, servers: Servers) -> None:
        while True:
            await asyncio.sleep(_SAFETY_SECONDS)
            await self._check(servers)

    async def _check(self, servers: Servers) -> None:
        """Refuse what may lose verdicts: each server by its own report, and the stream.

        Raises:
            ServersError: they do not answer.
            UnsafeServersError, WrongStreamError: they are not to be used as they are.
        """
        info = await servers.asked(servers.js.stream_info(self._names.stream))
        streams.refuse_wrong(info, self._names)
        refuse_unsafe(await states_of(self._settings, self._door), info)
        behind = streams.replicas_behind(info)
        self._metrics.servers(is_unsafe=False, behind=len(behind))
        if behind:
            log.event(_log, logging.WARNING, "replicas_behind", detail="; ".join(behind))


async def states_of(settings: ForwardConfig, door: ServersDoor) -> list[ServerState]:
    """What every server says of itself."""
    return await asyncio.gather(*(safety.ask(monitor, door.tls) for monitor in settings.servers.monitors))


def refuse_unsafe(states: Sequence[ServerState], info: api.StreamInfo) -> None:
    """Refuse servers that may lose what they acknowledge.

    Raises:
        ServersError: the stream has no leader now.
        UnsafeServersError: they are not to be used as they are.
    """
    replicas = streams.replicas(info)
    if not replicas:
        raise ServersError(f"the stream {info.config.name} has no leader now")
    safety.refuse_unsafe(states, replicas)


async def watch_distance(
    settings: ForwardConfig, progress: Progress, metrics: ForwardMetrics, every_seconds: float
) -> None:
    """Say again and again how far the stream is from what the line keeps, also while no server is there.

    Raises:
        InputError: an endpoint or a key cannot be used.
    """
    while True:
        is_known = progress.is_known
        try:
            found = await distance(settings.line, progress.end)
        except UnavailableError:  # the line stands still: nothing is known, and said so
            metrics.distance(math.nan, math.nan, progress.under_way)
        else:
            backlog = found.backlog_seconds if is_known else math.nan
            metrics.distance(backlog, found.kept_seconds, progress.under_way)
        await asyncio.sleep(every_seconds)
