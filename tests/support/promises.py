"""Times that the documentation promises, as bounds of a test."""

from __future__ import annotations

import os

_ALONE = os.environ.get("ALONE") == "1"
_SHARED = 3.0


def within(seconds: float) -> float:
    """How long something may take that is promised within so many seconds.

    The suite shares its processors among several tests: there a promise holds if it is kept within three
    times as long. `ALONE=1`, on a machine that has nothing else to do, takes it at its word.
    """
    return seconds if _ALONE else _SHARED * seconds
