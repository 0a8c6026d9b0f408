"""When the present shift began, by the clock on the plant's wall. Pure."""

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
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    found = [
        int(datetime.combine(today + timedelta(days), day_time.fromisoformat(start), zone).timestamp()) * 1000
        for start in starts
        for days in (-2, -1, 0, 1)
    ]
    return max(at for at in found if at <= now_ms)
