"""Counts of the shift and of the order: parts by verdict and reason. One thread counts, others read."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Final

import msgspec

from inspectd.client import Evaluation, Lost, PartVerdict, Reason, Verdict
from inspectd.page.told import ToldCounts

_RECENT_PARTS: Final = 100_000
"""Parts that are remembered one by one: a span that begins a moment ago is counted of these."""
_AHEAD_MS: Final = 300_000
"""What is dated so far ahead of now has a wrong time: nobody knows in which span it is."""


class _Span(msgspec.Struct):
    """What is counted from a moment on.

    Attributes:
        from_ms: the moment, since 1970.
        parts: that were judged since.
        is_whole: parts were counted from that moment on; False: from a later one.
    """

    from_ms: int
    parts: Counter[tuple[Evaluation, Reason]]
    is_whole: bool


class PartCounts:
    """Counts parts in spans that begin at some moment and have no end.

    A part is a triggered part, or a frame (or a region of one) where nothing is triggered. Golden parts are
    no production and are not counted. Nor is what is dated ahead, as by a clock that was set wrong; the span
    in which that is noticed is not complete.

    Attributes:
        is_behind: the line has published more than was counted, as while its journal is read from the oldest
            on: no span is complete.
    """

    def __init__(self) -> None:
        self.is_behind = False
        self._lock = threading.Lock()
        self._spans: dict[str, _Span] = {}
        self._recent: deque[tuple[int, Evaluation, Reason]] = deque(maxlen=_RECENT_PARTS)
        self._ahead: deque[tuple[int, Evaluation, Reason]] = deque(maxlen=_RECENT_PARTS)
        self._now_ms: int | None = None
        self._oldest_ms: int | None = None
        self._lost_ms: int | None = None
        """When the last that could not be had, or not be dated, may have been decided."""
        self._open_lost_ms: int | None = None
        """The same of one that no verdict follows yet: it may be of any time up to now."""
        self._last_ms: int | None = None

    def begin(self, name: str, from_ms: int | None, now_ms: int) -> None:
        """Have the span of that name begin at that moment, unless it does already; None: there is none."""
        with self._lock:
            self._see_time(now_ms)
            if self._lost_ms is not None:
                self._lost_ms = min(self._lost_ms, now_ms)  # this host's clock may have been ahead too
            if self._open_lost_ms is not None:
                self._open_lost_ms = min(self._open_lost_ms, now_ms)
            span = self._spans.get(name)
            if from_ms is None:
                self._spans.pop(name, None)
            elif span is None or span.from_ms != from_ms:
                recent, end_ms = list(self._recent), now_ms + _AHEAD_MS
                is_whole = len(recent) < _RECENT_PARTS or recent[0][0] < from_ms
                parts = Counter(
                    (verdict, reason) for at, verdict, reason in recent if from_ms <= at <= end_ms
                )
                self._spans[name] = _Span(from_ms, parts, is_whole)
                if self._ahead or any(at > end_ms for at, _, _ in recent):
                    self._lost_ms = now_ms

    def take(self, item: Verdict | PartVerdict | Lost, now_ms: int) -> None:
        """Count one; `now_ms`: since 1970."""
        with self._lock:
            self._see_time(now_ms)
            if isinstance(item, Lost):
                self._open_lost_ms = now_ms
                return
            decided_ms = item.decided_utc_ns // 1_000_000
            self._oldest_ms = decided_ms if self._oldest_ms is None else min(self._oldest_ms, decided_ms)
            if decided_ms <= now_ms + _AHEAD_MS:
                self._date_lost(decided_ms, now_ms)
            if not is_part(item) or item.reason is Reason.GOLDEN:
                return
            if decided_ms > now_ms + _AHEAD_MS:
                self._lost_ms = now_ms
                self._ahead.append((decided_ms, item.evaluation, item.reason))
                return
            # The clock is right again: what it dated ahead never counts, not even once that time has come.
            self._ahead.clear()
            while self._recent and self._recent[-1][0] > now_ms + _AHEAD_MS:
                self._recent.pop()
            at_ms = min(decided_ms, now_ms)  # where the line's clock is a second ahead, no shift has it twice
            self._recent.append((at_ms, item.evaluation, item.reason))
            for span in self._spans.values():
                if at_ms >= span.from_ms:
                    span.parts[item.evaluation, item.reason] += 1

    def _date_lost(self, decided_ms: int, now_ms: int) -> None:
        """Date what was lost by the verdict that follows it, so that what is weeks ago is of no later shift.

        It is no later than it was heard of: the next verdict may come after a weekend.
        If the clock was set back in between it may be of any time up to the verdict before it.
        """
        if self._open_lost_ms is not None:
            latest_ms = max(decided_ms, self._last_ms or decided_ms, self._lost_ms or decided_ms)
            self._lost_ms, self._open_lost_ms = min(latest_ms, now_ms, self._open_lost_ms), None
        self._last_ms = decided_ms

    def _see_time(self, now_ms: int) -> None:
        """Let what was dated ahead count if this host's clock leaps to that time: it was the wrong one then.

        Time that only passes does not show that; somebody calls every few seconds.
        """
        if self._now_ms is not None and now_ms > self._now_ms + _AHEAD_MS:
            ahead, self._ahead = self._ahead, deque(maxlen=_RECENT_PARTS)
            for part in ahead:
                (self._recent if part[0] <= now_ms + _AHEAD_MS else self._ahead).append(part)
        self._now_ms = now_ms

    def sums(self, name: str) -> ToldCounts | None:
        """A span's parts by verdict and by reason; None: there is no such span.

        `counting`: more is to come. `missing`: some verdict since its beginning could not be had, or not be
        dated. `complete`: neither is so, and there are verdicts from its beginning on. `counted_from_ms`:
        since when there are any; of a line that is younger than its shift this is its first one.
        """
        with self._lock:
            span = self._spans.get(name)
            if span is None:
                return None
            total, from_ms = span.parts.copy(), span.from_ms
            oldest_ms = self._oldest_ms
            lost = [each for each in (self._lost_ms, self._open_lost_ms) if each is not None]
            is_missing = not span.is_whole or any(each >= from_ms for each in lost)
            is_counting = self.is_behind
            is_whole = not is_missing and not is_counting
            is_complete = is_whole and oldest_ms is not None and oldest_ms <= from_ms
        by_verdict: Counter[Evaluation] = Counter()
        for (evaluation, _), number in total.items():
            by_verdict[evaluation] += number
        parts = by_verdict.total()
        return {
            "from_ms": from_ms,
            "counted_from_ms": None if oldest_ms is None else max(oldest_ms, from_ms),
            "complete": is_complete,
            "counting": is_counting,
            "missing": is_missing,
            "parts": parts,
            "pass": by_verdict[Evaluation.PASS],
            "fail": by_verdict[Evaluation.FAIL],
            "undecidable": by_verdict[Evaluation.UNDECIDABLE],
            "by_reason": {
                reason.value: number
                for (evaluation, reason), number in sorted(total.items(), key=lambda each: -each[1])
                if evaluation is not Evaluation.PASS
            },
            "yield": by_verdict[Evaluation.PASS] / parts if parts else None,
        }


def is_part(item: Verdict | PartVerdict) -> bool:
    """Whether it is the judgement of a part by itself, and not of a view of one."""
    return isinstance(item, PartVerdict) or item.trigger_id is None
