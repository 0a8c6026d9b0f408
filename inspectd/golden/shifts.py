"""When a shift starts next, by the clock on the wall, which is put forward and back twice a year. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from datetime import time as day_time

_SECOND_NS = 1_000_000_000


def next_shift_utc_ns(utc_ns: int, starts: Sequence[str], zone: tzinfo | None = None) -> int | None:
    """The first start of a shift after a moment, both in ns since 1970-01-01 UTC; None without starts.

    Every start comes once a day: one that the clock leaps over comes an hour later by the clock on the wall,
    of one that the clock shows twice the first counts.

    Args:
        utc_ns: the moment.
        starts: local times of day, such as `06:00`.
        zone: where they are meant; None: where this host is.
    """
    today = datetime.fromtimestamp(utc_ns // _SECOND_NS, zone).date()
    found = [
        int(datetime.combine(today + timedelta(days), day_time.fromisoformat(start), zone).timestamp())
        for start in starts
        for days in (-1, 0, 1, 2)
    ]
    return min((at * _SECOND_NS for at in found if at * _SECOND_NS > utc_ns), default=None)
