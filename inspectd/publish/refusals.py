"""Tells of refused clients without letting them flood the log: pure, time is handed in."""

from __future__ import annotations

from collections import Counter
from typing import Final

_PAUSE_NS: Final = 10_000_000_000


class Refusals:
    """Collects refusals and sums them up, at most once in ten seconds."""

    def __init__(self) -> None:
        """None yet."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._due_ns = 0

    def add(self, socket: str, cause: str, count: int = 1) -> None:
        """So many more clients of `socket` were refused."""
        if count:
            self._counts[socket, cause] += count

    def summary(self, now_ns: int) -> str | None:
        """What to tell now, in words; None when there is nothing, or it is too early."""
        if not self._counts or now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + _PAUSE_NS
        counts, self._counts = self._counts, Counter()
        return "; ".join(f"{socket}: {count} by {cause}" for (socket, cause), count in sorted(counts.items()))
