"""Times on the command line."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, time, timedelta


def utc_ns(text: str, *, also: str = "") -> int:
    """Nanoseconds since 1970 of an ISO 8601 time; without a zone it is this host's.

    Args:
        text: what was given.
        also: what it could be besides, in words.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e9)
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected a time such as 2026-11-26T06:00{also}"
        ) from error


def last_utc_ns(text: str) -> int:
    """As `utc_ns`; a time of day alone, such as `06:00`, is when this host's clock last showed it.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        of_day = time.fromisoformat(text if ":" in text else "")  # it takes 2026 for 20:26
    except ValueError:
        return utc_ns(text, also=", or a time of day such as 06:00")
    now = datetime.now(of_day.tzinfo).astimezone()
    at = datetime.combine(now.date(), of_day).astimezone()
    if at > now:
        at = datetime.combine(now.date() - timedelta(days=1), of_day).astimezone()
    return int(at.timestamp() * 1e9)


def shown_time(utc_ns: int) -> str:
    """Nanoseconds since 1970 as `2026-11-26T06:00:00Z`."""
    return datetime.fromtimestamp(utc_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
