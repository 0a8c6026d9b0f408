"""What the forwarder asks of its line: what it keeps, and verdicts of before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import islice
from typing import Final

import msgspec

from inspectd.client import Replayed, ask_status, replay
from inspectd.client.status import ask_snapshot
from inspectd.fleet.settings import ForwardedLine
from inspectd.wire.sync import Position

_AT_A_TIME: Final = 1000


class Distance(msgspec.Struct, frozen=True):
    """How far a stream's end is from what its line keeps.

    Attributes:
        backlog_seconds: age of the oldest verdict that comes after it; 0: none does.
        kept_seconds: age of the oldest verdict that the line keeps; 0: it keeps none.
        oldest: that verdict.
        newest: the last one published.
    """

    backlog_seconds: float
    kept_seconds: float
    oldest: Position | None
    newest: Position


async def distance(line: ForwardedLine, end: Position | None) -> Distance:
    """Ask the line.

    Args:
        line: whose.
        end: the last verdict that the stream has; None: it has none.

    Raises:
        InputError: an endpoint or a key cannot be used.
        UnavailableError: the line does not answer.
    """
    status = await asyncio.to_thread(ask_status, line.sync_socket, line.keys)
    kept = await asyncio.to_thread(ask_snapshot, line.sync_socket, line.keys)
    newest = Position(kept.epoch, kept.last_seq)
    oldest = await _first(line, kept.oldest, kept.oldest) if kept.oldest is not None else None
    waiting = None
    if end is not None and end.epoch > newest.epoch:
        end = Position(newest.epoch, 0)  # the line went back before it: of its epoch nothing was forwarded
    if end is None or end < newest:
        after = Position(end.epoch, end.seq + 1) if end is not None else kept.oldest
        # The very next, by a small answer; it may not exist, where an epoch ended.
        waiting = await _first(line, after, after) or await _first(line, after, None)

    def age_seconds(found: Replayed | None) -> float:
        return max(0.0, (status.utc_ns - found.verdict.decided_utc_ns) / 1e9) if found is not None else 0.0

    return Distance(age_seconds(waiting), age_seconds(oldest), kept.oldest, newest)


async def recorded(line: ForwardedLine, first: Position, last: Position) -> AsyncIterator[Replayed]:
    """What the line has between two positions, both included, in order; less where it keeps less.

    Raises:
        InputError: an endpoint or a key cannot be used.
        UnavailableError: the line does not answer.
    """
    while first <= last:
        found = await asyncio.to_thread(_some, line, first, last, _AT_A_TIME)
        for item in found:
            yield item
        if len(found) < _AT_A_TIME:
            return
        end = found[-1].verdict
        first = Position(end.epoch, end.seq + 1)


async def _first(line: ForwardedLine, first: Position | None, last: Position | None) -> Replayed | None:
    found = await asyncio.to_thread(_some, line, first, last, 1)
    return found[0] if found else None


def _some(line: ForwardedLine, first: Position | None, last: Position | None, number: int) -> list[Replayed]:
    answers = replay(line.sync_socket, first, last, line.keys)
    try:
        return [*islice((item for item in answers if isinstance(item, Replayed)), number)]
    finally:
        answers.close()  # type: ignore[attr-defined]
