"""Results out of the line's journal, by asking the line for them. Waits; called in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from inspectd.client import ClientKeys, PartVerdict, Position, Replayed, Verdict, replay
from inspectd.gateways.opcua.results import VisionResult, result_of_verdict
from inspectd.gateways.trying_again import trying_again

MOST_LOOKED_THROUGH: Final = 20_000
"""Verdicts that one question has read."""
_AT_A_TIME: Final = 500


class RecordedResults:
    """The results that a line has recorded.

    Args:
        sync: the line's sync socket.
        keys: for TCP with keys.
        as_told: a recorded result as clients were told it; called in the thread that asks.
    """

    def __init__(
        self, sync: str, keys: ClientKeys | None, as_told: Callable[[VisionResult], VisionResult]
    ) -> None:
        """Nothing is asked yet."""
        self._sync, self._keys, self._as_told = sync, keys, as_told

    def by_id(self, result_id: str) -> VisionResult | None:
        """The result of this id; None: there is none, or it is kept no more.

        Raises:
            UnavailableError: the line does not answer, or a key file cannot be used.
        """
        at = _position(result_id)
        if at is None:
            return None
        verdict = next(self._between(at, at), None)
        if isinstance(verdict, Verdict):
            return None if verdict.trigger_id is not None else self._result(verdict)
        if verdict is None:
            return None
        first = min([view.seq for view in verdict.views], default=at.seq)
        first = max(first, at.seq - MOST_LOOKED_THROUGH)
        between = self._between(Position(at.epoch, first), at)
        return self._result(verdict, [view for view in between if isinstance(view, Verdict)])

    def newest(
        self, ends: Iterable[Position], is_wanted: Callable[[VisionResult], bool], most: int
    ) -> tuple[list[VisionResult], bool]:
        """Results from the newest backwards, and whether those are all there are.

        Args:
            ends: the last position of each start of the line to look through, the newest first.
            is_wanted: which of them.
            most: so many at most.

        Raises:
            UnavailableError: the line does not answer, or a key file cannot be used.
        """
        found: list[VisionResult] = []
        read = 0
        for end in ends:
            last = end.seq
            views: dict[int, Verdict] = {}
            later: list[PartVerdict] = []
            while last > 0:
                first = max(1, last - _AT_A_TIME + 1)
                rows = [*self._between(Position(end.epoch, first), Position(end.epoch, last))]
                read += last - first + 1
                views |= {row.seq: row for row in rows if isinstance(row, Verdict)}
                parts = [*later, *(row for row in reversed(rows) if _is_result(row))]
                later = []
                for row in parts:
                    if isinstance(row, PartVerdict) and first > 1 and _begins_before(row, first):
                        later.append(row)  # with its views, which the next rows have
                        continue
                    named = row.views if isinstance(row, PartVerdict) else []
                    result = self._result(row, [views[v.seq] for v in named if v.seq in views])
                    if is_wanted(result):
                        found.append(result)
                if len(found) > most or read >= MOST_LOOKED_THROUGH:
                    return found[:most], False
                last = first - 1
        return found, True

    def _result(self, row: PartVerdict | Verdict, views: Iterable[Verdict] = ()) -> VisionResult:
        return self._as_told(result_of_verdict(row, views))

    def _between(self, first: Position, last: Position) -> Iterator[PartVerdict | Verdict]:
        with trying_again(self._sync):
            for item in replay(self._sync, first, last, self._keys):
                if isinstance(item, Replayed):
                    yield item.verdict


def _is_result(row: PartVerdict | Verdict) -> bool:
    return isinstance(row, PartVerdict) or row.trigger_id is None


def _begins_before(part: PartVerdict, first: int) -> bool:
    return any(first - _AT_A_TIME <= view.seq < first for view in part.views)


def _position(result_id: str) -> Position | None:
    epoch, colon, seq = result_id.partition(":")
    if not (colon and epoch.isascii() and epoch.isdigit() and seq.isascii() and seq.isdigit()):
        return None
    if len(epoch) > 15 or len(seq) > 15:
        return None
    return Position(int(epoch), int(seq))
