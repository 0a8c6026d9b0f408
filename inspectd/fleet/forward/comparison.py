"""Finds verdicts that a stream lacks in its middle, and what of them its line still has.

A stream's lost end comes back by itself, because a session begins there. What a damaged disk takes out of the
middle does not show there. But a line numbers its verdicts without a gap, so an epoch of which the stream has
fewer than its first and last number say has a hole.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
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
_MOST_GAPS: Final = 100_000
"""So many are held at once, of an epoch: some 20 MB."""

_log: Final = logging.getLogger(__name__)


class EpochSpan(msgspec.Struct, frozen=True):
    """What a stream has of an epoch: messages, and the first and last number among them."""

    epoch: int
    count: int
    first_seq: int
    """Where the stream gave up what is older, of the oldest verdict: repairs of those before may stay."""
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
    missing: int = 0
    """As of the span, which messages that are no verdicts, and repairs of what was given up, make less."""


class Gaps:
    """Which numbers between others were not read, of numbers that come in whatever order, also twice.

    Holds the gaps alone. Of more than `most` it holds the first ones, and looks at no number behind them.

    Args:
        first: numbers below are not looked at.
        last: likewise, above.
        most: gaps that are held.
    """

    def __init__(self, first: int, last: int, most: int) -> None:
        self.count = 0
        """Numbers that were read, of all from `first` to `last`, each as often as it came."""
        self.through = last
        """The gaps up to here are held; where it is below the last, the next one begins right behind it."""
        self._first, self._last, self._most = first, last, most
        self._lowest: int | None = None
        self._highest: int | None = None
        self._begins: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The first and last number of each, in order."""
        return zip(self._begins, self._ends, strict=True)

    @property
    def spanned(self) -> int:
        """So many numbers lie from the lowest to the highest that was read, both included."""
        if self._lowest is None or self._highest is None:
            return 0
        return self._highest - self._lowest + 1

    def read(self, number: int) -> None:
        """This number is there."""
        if not self._first <= number <= self._last:
            return
        self.count += 1
        if self._lowest is None or self._highest is None:
            self._lowest = self._highest = number
        elif number < self._lowest:
            self._open(0, number + 1, self._lowest - 1)
            self._lowest = number
        elif number > self._highest:
            self._open(len(self._begins), self._highest + 1, number - 1)
            self._highest = number
        elif (at := bisect_right(self._begins, number) - 1) >= 0 and number <= self._ends[at]:
            begin, end = self._begins.pop(at), self._ends.pop(at)
            self._open(at, number + 1, end)
            self._open(at, begin, number - 1)

    def _open(self, at: int, begin: int, end: int) -> None:
        if begin > end or begin > self.through:
            return
        self._begins.insert(at, begin)
        self._ends.insert(at, end)
        if len(self._begins) > self._most:
            self.through = self._begins.pop() - 1
            self._ends.pop()


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
        if span.missing == known.missing:
            return
        gone = lacking = 0
        gaps = whole = await self._gaps(servers, span, span.first_seq)
        while True:
            for first, last in gaps:
                found = 0
                begin, end = Position(span.epoch, first), Position(span.epoch, last)
                async for item in recorded(self._line, begin, end):
                    found += 1
                    yield item
                lacking += last - first + 1
                gone += last - first + 1 - found
            if gaps.through >= span.last_seq:
                break
            gaps = await self._gaps(servers, span, gaps.through)  # the next ones
        twice = whole.count - (whole.spanned - lacking)
        self._searched[span.epoch] = _Searched(gone, twice, span.missing - (lacking - gone))
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
            given_up_before = 0
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
                        if 1 < message.seq == info.state.first_seq:
                            given_up_before = position.seq
            if ends:
                spans.append(
                    EpochSpan(
                        epoch,
                        count,
                        given_up_before or min(seq for seq, _ in ends),
                        max(seq for seq, _ in ends),
                        min(sequence for _, sequence in ends),
                    )
                )
        return spans

    async def _gaps(self, servers: Servers, span: EpochSpan, first: int) -> Gaps:
        """Gaps in what the stream's leader has of an epoch, from one of its numbers on.

        An epoch has millions of verdicts, so none of their numbers is kept.
        """
        info = await servers.asked(servers.js.stream_info(self._names.stream))
        found = Gaps(first, span.last_seq, _MOST_GAPS)
        for begin in range(span.first_sequence, info.state.last_seq + 1, _AT_A_TIME):
            some = range(begin, min(begin + _AT_A_TIME, info.state.last_seq + 1))
            positions = await asyncio.gather(*(self._position(servers, sequence) for sequence in some))
            for position in positions:
                if position is not None and position.epoch == span.epoch:
                    found.read(position.seq)
        return found

    async def _position(self, servers: Servers, sequence: int) -> Position | None:
        try:
            message = await servers.asked(servers.js.get_msg(self._names.stream, seq=sequence))
        except NotThereError:
            return None
        return position_of((message.headers or {}).get(ID_HEADER))
