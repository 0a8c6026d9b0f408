"""Counts of the shift and of the order: parts by verdict and reason. Pure; one thread counts, others read."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final

from inspectd.client import Evaluation, Lost, PartVerdict, Reason, Verdict

_MOST_KEPT: Final = 200_000
"""Minutes that are kept: counts of an order of four months."""

_MINUTE_MS: Final = 60_000


class PartCounts:
    """Parts by the minute they were decided in, so that any span of whole minutes can be summed.

    A part is a triggered part, or a frame (or a region of one) where nothing is triggered. Golden parts are
    no production and are not counted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[int, Counter[tuple[Evaluation, Reason]]] = {}
        self._oldest_ms: int | None = None
        self._lost_ms: int | None = None

    def take(self, item: Verdict | PartVerdict | Lost, now_ms: int) -> None:
        """Count one; `now_ms` is when a loss was noticed, since 1970."""
        with self._lock:
            if isinstance(item, Lost):
                self._lost_ms = now_ms
                return
            decided_ms = item.decided_utc_ns // 1_000_000
            self._oldest_ms = decided_ms if self._oldest_ms is None else min(self._oldest_ms, decided_ms)
            if not is_part(item) or item.reason is Reason.GOLDEN:
                return
            minute = decided_ms // _MINUTE_MS
            self._minutes.setdefault(minute, Counter())[item.evaluation, item.reason] += 1
            while len(self._minutes) > _MOST_KEPT:
                del self._minutes[min(self._minutes)]

    def since(self, from_ms: int) -> dict[str, Any]:
        """Sums from a moment on, by verdict and by reason.

        `complete` is false where the line could not give all verdicts since then any more.
        """
        total: Counter[tuple[Evaluation, Reason]] = Counter()
        with self._lock:
            # A shift has few hundred minutes; newest first, so that an old order costs no more than its own.
            for minute in reversed(self._minutes):
                if minute >= from_ms // _MINUTE_MS:
                    total.update(self._minutes[minute])
            is_complete = (
                self._oldest_ms is not None
                and self._oldest_ms <= from_ms
                and (self._lost_ms is None or self._lost_ms < from_ms)
            )
        by_verdict: Counter[Evaluation] = Counter()
        for (evaluation, _), number in total.items():
            by_verdict[evaluation] += number
        parts = by_verdict.total()
        return {
            "from_ms": from_ms,
            "complete": is_complete,
            "parts": parts,
            **{evaluation.value: by_verdict[evaluation] for evaluation in Evaluation},
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
