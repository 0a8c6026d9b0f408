"""Wait before a camera is opened again."""

from __future__ import annotations

import random


class Backoff:
    """Exponential back-off with jitter: each wait is drawn from the upper half of a doubling span.

    Jitter keeps the cameras of one network switch from being opened all at the same moment when it comes
    back ("equal jitter" of M. Brooker, "Exponential Backoff and Jitter", 2015).
    """

    def __init__(self, min_ms: float, max_ms: float, rng: random.Random) -> None:
        """Wait at least `min_ms` and at most `max_ms`, with jitter from `rng`."""
        self._min_ms = min_ms
        self._max_ms = max(min_ms, max_ms)
        self._rng = rng
        self._failures = 0

    def next_seconds(self) -> float:
        """Seconds to wait after one more failure."""
        self._failures += 1
        # Doubling ends long before a float overflows, however many months a camera is away.
        span_ms = min(self._min_ms * 2 ** min(self._failures, 64), self._max_ms)
        return self._rng.uniform(max(self._min_ms, span_ms / 2), span_ms) / 1000

    def reset(self) -> None:
        """The camera is back: the next failure waits the shortest time again."""
        self._failures = 0
