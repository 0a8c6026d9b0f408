"""How a line went over time: counts by reason, quantiles, drift, and what was changed."""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Literal

from inspectd.page.history.bins import LATENCY_PER_OCTAVE, SHARE_PER_OCTAVE, add_packed, quantiles
from inspectd.page.history.filters import FilterError
from inspectd.page.history.rows import RowKind
from inspectd.page.history.spans import pieces
from inspectd.page.history.tallies import STEPS_MS
from inspectd.page.told_pages import Series, ToldCurves, ToldGoldenMark, ToldMark, ToldSpan
from inspectd.wire import Evaluation, Reason

_WANTED_POINTS: Final = 800
"""A finer step is taken as long as it gives no more points."""
_MAX_POINTS: Final = 2000
_MAX_MARKS: Final = 500
_GOLDEN: Final = Reason.GOLDEN


class _Series:
    """What is counted in one step of time."""

    def __init__(self) -> None:
        self.parts = 0
        self.by_reason: dict[tuple[str, str], int] = {}
        self.late = 0
        self.shares: dict[int, int] = {}
        self.latencies: dict[int, int] = {}
        self.thresholds: list[float] = []


def step_of(from_ms: int, to_ms: int) -> int:
    """The step that a span is shown in.

    Raises:
        FilterError: the span is too long for any.
    """
    for step in STEPS_MS:
        if (to_ms - from_ms) / step <= _WANTED_POINTS:
            return step
    if (to_ms - from_ms) / STEPS_MS[-1] > _MAX_POINTS:
        raise FilterError(
            f"from_ms, to_ms: {(to_ms - from_ms) / 86_400_000:.0f} days lie between, expected at most "
            f"{_MAX_POINTS * STEPS_MS[-1] // 86_400_000}"
        )
    return STEPS_MS[-1]


def trends(
    connection: sqlite3.Connection,
    from_ms: int,
    to_ms: int,
    camera: str | None = None,
    recipe: str | None = None,
) -> ToldCurves:
    """How the line went from one time to another.

    Parts are counted where the line has triggers and no camera is asked for, else frames. Golden parts count
    nowhere. Scores are shares of their threshold, so that 1 is the threshold whatever bank and camera.

    Raises:
        FilterError: the span is too long.
        sqlite3.Error: the file cannot be read, or time was up.
    """
    step = step_of(from_ms, to_ms)
    counted = pieces(from_ms, to_ms, [each for each in STEPS_MS if each <= step])
    times = list(range(from_ms - from_ms % step, to_ms, step))
    groups = {
        row[0]: row[1:]
        for row in connection.execute("SELECT id, kind, camera, recipe, verdict, reason FROM grp")
    }
    wanted = {
        key: group
        for key, group in groups.items()
        if group[4] != _GOLDEN
        and (camera is None or group[1] == camera)
        and (recipe is None or group[2] == recipe)
    }
    rows = [
        row
        for piece in counted
        for row in connection.execute(
            "SELECT start_ms, group_id, n, late, threshold_min, threshold_max, share, latency FROM agg "
            "WHERE step_ms = ? AND start_ms >= ? AND start_ms < ?",
            piece,
        )
        if row[1] in wanted
    ]
    has_parts = any(wanted[row[1]][0] == RowKind.PART for row in rows)
    kind: Literal["frame", "part"] = "part" if has_parts else "frame"
    series = {at: _Series() for at in times}
    for row in rows:
        _add(series[row[0] - row[0] % step], wanted[row[1]], row, kind)
    every = [series[at] for at in times]
    scores = [quantiles(each.shares, (0.5, 0.9, 0.99), SHARE_PER_OCTAVE) for each in every]
    latencies = [quantiles(each.latencies, (0.5, 0.99), LATENCY_PER_OCTAVE) for each in every]
    marks, left_out = _marks(connection, from_ms, to_ms, camera)
    return {
        "step_ms": step,
        "from_ms": counted[0].from_ms,
        "to_ms": counted[-1].to_ms,
        "kind": kind,
        "t": times,
        "parts": [each.parts for each in every],
        "late": [each.late for each in every],
        "reject": _by_reason(every, Evaluation.FAIL),
        "undecidable": _by_reason(every, Evaluation.UNDECIDABLE),
        "score_unit": "share_of_threshold",
        "score_p50": [each[0] for each in scores],
        "score_p90": [each[1] for each in scores],
        "score_p99": [each[2] for each in scores],
        "threshold": [1.0 if each.thresholds else None for each in every],
        "threshold_low": [min(each.thresholds, default=None) for each in every],
        "threshold_high": [max(each.thresholds, default=None) for each in every],
        "latency_p50": [each[0] for each in latencies],
        "latency_p99": [each[1] for each in latencies],
        "drift": _drift(connection, times, step, camera),
        "golden": _golden(connection, from_ms, to_ms, recipe),
        "marks": marks,
        "marks_left_out": left_out,
        "heard": _heard(connection, from_ms, to_ms),
    }


def _add(series: _Series, group: tuple[str, ...], row: tuple[Any, ...], kind: str) -> None:
    _, _, n, late, low, high, share, latency = row
    if group[0] == RowKind.FRAME:
        add_packed(series.shares, share)
        series.thresholds += [value for value in (low, high) if value is not None]
    if group[0] != kind:
        return
    series.parts += n
    series.late += late
    key = group[3], group[4]
    series.by_reason[key] = series.by_reason.get(key, 0) + n
    add_packed(series.latencies, latency)


def _by_reason(every: list[_Series], verdict: Evaluation) -> dict[str, Series]:
    reasons = sorted({reason for each in every for what, reason in each.by_reason if what == verdict})
    return {reason: [each.by_reason.get((verdict, reason), 0) for each in every] for reason in reasons}


def _drift(
    connection: sqlite3.Connection, times: list[int], step: int, camera: str | None
) -> dict[str, Series]:
    """The largest share of the way to a limit, by cause; None where nobody listened."""
    found = connection.execute(
        "SELECT start_ms - start_ms % ?, cause, max(share) FROM drift "
        "WHERE start_ms >= ? AND start_ms < ? AND (? IS NULL OR camera = ?) GROUP BY 1, 2",
        (step, times[0], times[-1] + step, camera, camera),
    ).fetchall()
    shares = {(at, cause): share for at, cause, share in found}
    return {
        cause: [shares.get((at, cause)) for at in times] for cause in sorted({cause for _, cause in shares})
    }


def _golden(
    connection: sqlite3.Connection, from_ms: int, to_ms: int, recipe: str | None
) -> list[ToldGoldenMark]:
    found = connection.execute(
        "SELECT ms, recipe, outcome, name, who FROM golden WHERE ms >= ? AND ms < ? AND outcome IS NOT NULL "
        "AND (? IS NULL OR recipe = ?) ORDER BY ms DESC LIMIT ?",
        (from_ms, to_ms, recipe, recipe, _MAX_MARKS),
    ).fetchall()
    return [
        {"ms": ms, "recipe": of, "result": outcome, "check": name, "who": who}
        for ms, of, outcome, name, who in reversed(found)
    ]


def _marks(
    connection: sqlite3.Connection, from_ms: int, to_ms: int, camera: str | None
) -> tuple[list[ToldMark], int]:
    """What was changed, in order of time: the newest few hundred; and how many more there are."""
    where = "FROM mark WHERE ms >= ? AND ms < ? AND (? IS NULL OR camera IS NULL OR camera = ?)"
    values = from_ms, to_ms, camera, camera
    found = connection.execute(
        f"SELECT ms, kind, camera, region, text {where} ORDER BY ms DESC, id DESC LIMIT ?",
        (*values, _MAX_MARKS),
    ).fetchall()
    count = connection.execute(f"SELECT count(*) {where}", values).fetchone()[0]
    marks: list[ToldMark] = [
        {"ms": ms, "kind": kind, "camera": of, "region": region, "text": text}
        for ms, kind, of, region, text in reversed(found)
    ]
    return marks, count - len(found)


def _heard(connection: sqlite3.Connection, from_ms: int, to_ms: int) -> list[ToldSpan]:
    """Spans in which drift, golden checks and events were listened to: they cannot be read again."""
    found = connection.execute(
        "SELECT from_ms, to_ms FROM heard WHERE to_ms >= ? AND from_ms < ? ORDER BY id DESC LIMIT ?",
        (from_ms, to_ms, _MAX_MARKS),
    ).fetchall()
    return [{"from_ms": start, "to_ms": end} for start, end in reversed(found)]


def events(
    connection: sqlite3.Connection, from_ms: int, to_ms: int, camera: str | None, limit: int
) -> list[dict[str, Any]]:
    """What the line said of itself, newest first."""
    found = connection.execute(
        "SELECT ms, severity, name, camera, process, detail FROM event WHERE ms >= ? AND ms < ? "
        "AND (? IS NULL OR camera = ?) ORDER BY ms DESC, id DESC LIMIT ?",
        (from_ms, to_ms, camera, camera, limit),
    )
    names = "ms", "severity", "kind", "camera", "process", "detail"
    return [dict(zip(names, row, strict=True)) for row in found]
