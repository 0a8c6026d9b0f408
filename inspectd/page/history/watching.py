"""Whether a line rejects another share of parts than before, since something was changed."""

from __future__ import annotations

import math
import sqlite3
from typing import Any, Final, NamedTuple

from inspectd.page.history.rows import RowKind

FEWEST: Final = 100
"""Fewer parts, before or since, tell nothing."""
LONGEST_MS: Final = 7 * 86_400_000
"""Before and since, at most so long."""
_Z: Final = 1.96
"""Of the standard normal distribution: 95 % lie within."""


class WatchedPlace(NamedTuple):
    """What is watched.

    Attributes:
        recipe: its name.
        camera: name.
        region: of the camera; empty: none.
    """

    recipe: str
    camera: str
    region: str


def watch(connection: sqlite3.Connection, of: WatchedPlace, since_ms: int, now_ms: int) -> dict[str, Any]:
    """Frames of a recipe on a camera or region that were rejected since a moment, and as long before it.

    Args:
        connection: of the history.
        of: what is watched.
        since_ms: milliseconds since 1970.
        now_ms: the same.
    """
    until_ms = min(now_ms, since_ms + LONGEST_MS)
    length_ms = until_ms - since_ms
    found = [
        _counted(connection, of, *span) for span in ((since_ms - length_ms, since_ms), (since_ms, until_ms))
    ]
    return {"before": found[0], "since": found[1], "result": result_of(found[0], found[1]), "fewest": FEWEST}


def _counted(connection: sqlite3.Connection, of: WatchedPlace, from_ms: int, to_ms: int) -> dict[str, Any]:
    counts = dict(
        connection.execute(
            "SELECT grp.verdict, COUNT(*) FROM grp JOIN verdict ON group_id = grp.id WHERE kind = ? AND "
            "recipe = ? AND camera = ? AND region = ? AND grp.verdict IN ('pass', 'fail') "
            "AND decided_ms >= ? AND decided_ms < ? GROUP BY grp.verdict",
            (RowKind.FRAME, *of, from_ms, to_ms),
        )
    )
    fail = counts.get("fail", 0)
    judged = fail + counts.get("pass", 0)
    low, high = bounds(fail, judged)
    return {"judged": judged, "fail": fail, "low": low, "high": high, "from_ms": from_ms, "to_ms": to_ms}


def bounds(count: int, total: int) -> tuple[float, float]:
    """Wilson's interval (1927) of a share, 95 %; of nothing: all of it."""
    if not total:
        return 0.0, 1.0
    share, z2 = count / total, _Z * _Z
    middle = share + z2 / (2 * total)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, (middle - half) / (1 + z2 / total)), min(1.0, (middle + half) / (1 + z2 / total))


def result_of(before: dict[str, Any], since: dict[str, Any]) -> str:
    """`more` or `fewer` rejects where the intervals lie apart, else `alike`; `too_few` parts to tell."""
    if min(before["judged"], since["judged"]) < FEWEST:
        return "too_few"
    if since["low"] > before["high"]:
        return "more"
    return "fewer" if since["high"] < before["low"] else "alike"
