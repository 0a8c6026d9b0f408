"""Finds verdicts that a stream lacks in its middle, and what of them its line still has.

A stream's lost end comes back by itself, because a session begins there. What a damaged disk takes out of the
middle does not show there. But a line numbers its verdicts without a gap, so an epoch of which the stream has
fewer than its first and last number say has a hole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from inspectd import log
from inspectd.client import Replayed
from inspectd.fleet.forward.line_side import recorded
from inspectd.fleet.names import ID_HEADER, LineNames, position_of
from inspectd.fleet.servers import NotThereError, Servers
from inspectd.fleet.settings import ForwardedLine
from inspectd.wire.sync import Position

_AT_A_TIME: Final = 64

_log: Final = logging.getLogger(__name__)


class EpochSpan(msgspec.Struct, frozen=True):
    """What a stream has of an epoch: messages, and the first and last number among them."""

    epoch: int
    count: int
    first_seq: int
    last_seq: int
    first_sequence: int
    """Of the stream, of its first message."""

    @property
    def missing(self) -> int:
        """So many verdicts must be missing between first and last; below 0: some are there twice."""
        return self.last_seq - self.first_seq + 1 - self.count


class _Searched(msgspec.Struct, frozen=True):
    """What the last search of an epoch left: a double fills no hole, so they are counted apart."""

    gone: int = 0
    doubles: int = 0


def gaps(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and last of each run of numbers that lies between numbers and is not among them."""
    for before, after in pairwise(sorted(numbers)):
        if after - before > 1:
            yield before + 1, after - 1


class Comparison:
    """Compares one line's stream with what that line keeps.

    Args:
        line: the line.
        names: its names on the servers.
    """

    def __init__(self, line: ForwardedLine, names: LineNames) -> None:
        self.gone = 0
        """Verdicts that the stream lacks and the line does not keep any more, by the last search."""
        self.doubles = 0
        """Verdicts that it has more than once, by the last search."""
        self._line, self._names = line, names
        self._searched: dict[int, _Searched] = {}
        """By epoch."""

    async def missing(self, servers: Servers, spans: Sequence[EpochSpan]) -> AsyncIterator[Replayed]:
        """Each verdict that the stream lacks and the line still has, in order.

        What was cut off before the oldest that the stream has is not missed: streams forget what is old.

        Args:
            servers: the connection.
            spans: what the stream has, of every epoch.

        Raises:
            ServersError: the servers do not answer.
            InputError, UnavailableError: the line does not.
        """
        for span in spans:
            async for item in self._within(servers, span):
                yield item
        for before, after in pairwise(
            spans
        ):  # the end of an epoch, whole epochs, and the beginning of the next
            begin = Position(before.epoch, before.last_seq + 1)
            async for item in recorded(self._line, begin, Position(after.epoch, after.first_seq - 1)):
                yield item
        known = [self._searched.get(span.epoch, _Searched()) for span in spans]
        self.gone, self.doubles = sum(each.gone for each in known), sum(each.doubles for each in known)

    async def _within(self, servers: Servers, span: EpochSpan) -> AsyncIterator[Replayed]:
        known = self._searched.get(span.epoch, _Searched())
        if span.missing == known.gone - known.doubles:
            return
        seen = await self._numbers(servers, span)
        twice = len(seen) - len(set(seen))
        gone = 0
        for first, last in gaps(seen):
            found = 0
            async for item in recorded(self._line, Position(span.epoch, first), Position(span.epoch, last)):
                found += 1
                yield item
            gone += last - first + 1 - found
        self._searched[span.epoch] = _Searched(gone, twice)
        log.event(
            _log, logging.WARNING, "epoch_searched", epoch=span.epoch, count=span.count,
            missing=span.missing, gone=gone, doubles=twice,
        )  # fmt: skip

    async def spans(self, servers: Servers) -> list[EpochSpan]:
        """What the stream has of each epoch, in order; nothing may be sent to it meanwhile.

        Raises:
            ServersError: the servers do not answer.
        """
        names, js = self._names, servers.js
        info = await servers.asked(js.stream_info(names.stream, subjects_filter=f"{names.base}.>"))
        counts: dict[int, int] = {}
        for subject, count in (info.state.subjects or {}).items():
            if (epoch := names.epoch_of(subject)) is not None:
                counts[epoch] = counts.get(epoch, 0) + count
        spans = []
        for epoch, count in sorted(counts.items()):
            ends: list[tuple[int, int]] = []
            for subject in (names.verdicts(epoch), names.repairs(epoch)):
                try:
                    messages = [
                        await servers.asked(js.get_msg(names.stream, seq=1, subject=subject, next=True)),
                        await servers.asked(js.get_last_msg(names.stream, subject)),
                    ]
                except NotThereError:
                    continue
                for message in messages:
                    position = position_of((message.headers or {}).get(ID_HEADER))
                    if position is not None and message.seq is not None:
                        ends.append((position.seq, message.seq))
            if ends:
                spans.append(
                    EpochSpan(
                        epoch,
                        count,
                        min(seq for seq, _ in ends),
                        max(seq for seq, _ in ends),
                        min(sequence for _, sequence in ends),
                    )
                )
        return spans

    async def _numbers(self, servers: Servers, span: EpochSpan) -> list[int]:
        """The numbers of an epoch's verdicts that the stream's leader has, in the stream's order."""
        info = await servers.asked(servers.js.stream_info(self._names.stream))
        found: list[int] = []
        for begin in range(span.first_sequence, info.state.last_seq + 1, _AT_A_TIME):
            some = range(begin, min(begin + _AT_A_TIME, info.state.last_seq + 1))
            positions = await asyncio.gather(*(self._position(servers, sequence) for sequence in some))
            found += [
                position.seq
                for position in positions
                if position is not None and position.epoch == span.epoch and position.seq <= span.last_seq
            ]
        return found

    async def _position(self, servers: Servers, sequence: int) -> Position | None:
        try:
            message = await servers.asked(servers.js.get_msg(self._names.stream, seq=sequence))
        except NotThereError:
            return None
        return position_of((message.headers or {}).get(ID_HEADER))
