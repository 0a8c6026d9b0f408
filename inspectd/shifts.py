"""When shifts start, by the clock on the wall, which is put forward and back twice a year. Pure.

Every start comes once a day: one that the clock leaps over comes an hour later by it, of one that it shows
twice the first counts. Starts are local times of day, such as `06:00`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from datetime import time as day_time

_SECOND_NS = 1_000_000_000


def next_shift_utc_ns(utc_ns: int, starts: Sequence[str], zone: tzinfo | None = None) -> int | None:
    """The first start of a shift after a moment, both in ns since 1970-01-01 UTC; None without starts.

    Args:
        utc_ns: the moment.
        starts: of shifts.
        zone: where they are meant; None: where this host is.
    """
    near = (at * _SECOND_NS for at in _near(utc_ns // _SECOND_NS, starts, zone))
    return min((at for at in near if at > utc_ns), default=None)


def shift_began_ms(now_ms: int, starts: Sequence[str], zone: tzinfo) -> int:
    """The last start of a shift that is not after a moment, both in ms since 1970-01-01 UTC.

    Args:
        now_ms: the moment.
        starts: of shifts, at least one.
        zone: the plant's.
    """
    return max(at for at in _near_ms(now_ms, starts, zone) if at <= now_ms)


def shifts_around_ms(now_ms: int, starts: Sequence[str], zone: tzinfo) -> list[int]:
    """Starts of the next shift, of the present one and of the one before.

    Nobody else has to find out when shifts start: who is told this now knows it too when the next begins.
    """
    near = _near_ms(now_ms, starts, zone)
    coming = min(at for at in near if at > now_ms)
    return [coming, *sorted((at for at in near if at <= now_ms), reverse=True)[:2]]


def _near_ms(now_ms: int, starts: Sequence[str], zone: tzinfo) -> set[int]:
    return {at * 1000 for at in _near(now_ms / 1000, starts, zone)}


def _near(seconds: float, starts: Sequence[str], zone: tzinfo | None) -> set[int]:
    """Every start of two days before a moment and of two days after, in seconds since 1970-01-01 UTC."""
    today = datetime.fromtimestamp(seconds, zone).date()
    return {
        int(datetime.combine(today + timedelta(days), day_time.fromisoformat(start), zone).timestamp())
        for start in starts
        for days in (-2, -1, 0, 1, 2)
    }
