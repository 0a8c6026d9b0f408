"""When shifts begin, by the clock on the plant's wall. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from datetime import time as day_time


def shift_began_ms(now_ms: int, starts: Sequence[str], zone: tzinfo) -> int:
    """The last start of a shift that is not after a moment, both in ms since 1970-01-01 UTC.

    Of a time that the clock shows twice the first counts; one that it leaps over comes an hour later by it.

    Args:
        now_ms: the moment.
        starts: local times of day, such as `06:00`; at least one.
        zone: the plant's.
    """
    return max(at for at in _near(now_ms, starts, zone) if at <= now_ms)


def shifts_around_ms(now_ms: int, starts: Sequence[str], zone: tzinfo) -> list[int]:
    """Starts of the next shift, of the present one and of the one before, by the same rule.

    Nobody else has to find out when shifts start: who is told this now knows it too when the next begins.
    """
    near = _near(now_ms, starts, zone)
    coming = min(at for at in near if at > now_ms)
    return [coming, *sorted((at for at in near if at <= now_ms), reverse=True)[:2]]


def _near(now_ms: int, starts: Sequence[str], zone: tzinfo) -> set[int]:
    """Every start of two days before a moment and of the day after."""
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    return {
        int(datetime.combine(today + timedelta(days), day_time.fromisoformat(start), zone).timestamp()) * 1000
        for start in starts
        for days in (-2, -1, 0, 1)
    }
