"""Chooses the parts to keep as evidence. Pure: time and chance are handed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from inspectd.config import EvidenceSettings
from inspectd.wire import Evaluation

_BURST_SECONDS: Final = 5.0
"""A quiet line may keep so many seconds' worth at once."""

_UNDECIDABLE_SHARE: Final = 0.1
"""Undecidable parts often come in long rows that look alike: a dark camera must not push out the rejects."""


class TokenBucket:
    """Lets `rate` things through a second, and `most` at once after a pause."""

    def __init__(self, rate: float, most: float) -> None:
        """Start full."""
        self._rate = rate
        self._most = most
        self._tokens = most
        self._last_ns: int | None = None

    def take(self, now_ns: int) -> bool:
        """True if one more may go through now, which is then counted."""
        if self._last_ns is not None:
            earned = (now_ns - self._last_ns) / 1e9 * self._rate
            self._tokens = min(self._most, self._tokens + earned)
        self._last_ns = now_ns
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class EvidencePolicy:
    """Chooses by evaluation, and bounds how many a second, of each evaluation by itself.

    A pass that is marked for a second look is kept as a fail is, and counts as one.
    """

    def __init__(self, settings: EvidenceSettings, chance: Callable[[], float]) -> None:
        """Choose by `settings`; `chance` gives numbers in [0, 1)."""
        self._settings = settings
        self._chance = chance
        rates = dict.fromkeys(Evaluation, settings.max_per_second)
        rates[Evaluation.UNDECIDABLE] *= _UNDECIDABLE_SHARE
        self._buckets = {
            evaluation: TokenBucket(rate, max(1.0, rate * _BURST_SECONDS))
            for evaluation, rate in rates.items()
        }

    def wants(self, evaluation: Evaluation, *, second_look: bool = False) -> bool:
        """True if a part of this evaluation is to be kept; a pass that is marked is, where fails are."""
        match evaluation:
            case Evaluation.FAIL:
                return self._settings.fails
            case Evaluation.UNDECIDABLE:
                return self._settings.undecidables
            case Evaluation.PASS:
                marked = second_look and self._settings.fails
                return marked or self._chance() < self._settings.pass_share

    def take(self, evaluation: Evaluation, now_ns: int, *, second_look: bool = False) -> bool:
        """True if one more of this evaluation may be kept now, which is then counted."""
        return self._buckets[Evaluation.FAIL if second_look else evaluation].take(now_ns)
