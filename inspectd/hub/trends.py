"""How lines went over time: shares and latencies by step, a curve for each line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from inspectd.hub import schema
from inspectd.hub.schema import STEPS_MS
from inspectd.hub.told import ToldHubTrends, ToldLineCurves
from inspectd.page.history.bins import LATENCY_PER_OCTAVE, add_packed, quantiles
from inspectd.page.history.filters import FilterError
from inspectd.page.history.rows import RowKind
from inspectd.page.history.spans import Piece, pieces
from inspectd.wire import Evaluation, Reason

_WANTED_POINTS: Final = 200
"""A finer step is taken as long as it gives no more points."""
_MOST_POINTS: Final = 4000
MOST_LINES: Final = 6
"""More curves than these nobody can tell apart."""


def step_of(from_ms: int, to_ms: int) -> int:
    """The step that a span is shown in.

    Raises:
        FilterError: the span is too long for any.
    """
    for step in STEPS_MS:
        if (to_ms - from_ms) / step <= _WANTED_POINTS:
            return step
    if (to_ms - from_ms) / STEPS_MS[-1] > _MOST_POINTS:
        raise FilterError(f"from_ms, to_ms: more than {_MOST_POINTS} days lie between, expected at most that")
    return STEPS_MS[-1]


def trends(connection: sa.Connection, from_ms: int, to_ms: int, lines: Sequence[str]) -> ToldHubTrends:
    """How `lines` went from one time to another; empty: all of them. Of many, those with most verdicts.

    Parts are counted of a line that has triggers, else frames. Golden parts count nowhere.

    Raises:
        FilterError: the span is too long.
    """
    step = step_of(from_ms, to_ms)
    spans = pieces(from_ms, to_ms, [each for each in STEPS_MS if each <= step])
    times = list(range(from_ms - from_ms % step, to_ms, step))
    line = schema.line.c
    wanted = sa.select(line.id, line.name).order_by(line.name)
    if lines:
        wanted = wanted.where(line.name.in_(lines))
    names = {row.id: row.name for row in connection.execute(wanted)}
    counted = _counted(connection, step, spans, list(names))
    has_parts = {line_id for line_id, kind, _, _ in counted if kind == RowKind.PART}
    kinds = {line_id: RowKind.PART if line_id in has_parts else RowKind.FRAME for line_id in names}
    totals = Counter[int]()
    for (line_id, kind, _, _), n in counted.items():
        totals[line_id] += n if kind == kinds[line_id] else 0
    most = {line_id for line_id, _ in totals.most_common(MOST_LINES)}
    kinds = {line_id: kind for line_id, kind in kinds.items() if line_id in most}
    latencies = _latencies(connection, step, spans, kinds)
    return {
        "step_ms": step,
        "from_ms": spans[0].from_ms,
        "to_ms": spans[-1].to_ms,
        "t": times,
        "left_out": len(totals) - len(kinds),
        "lines": [
            _curves(line_id, names[line_id], kind, times=times, counted=counted, latencies=latencies)
            for line_id, kind in kinds.items()
        ],
    }


def _curves(
    line_id: int, name: str, kind: RowKind, *, times: list[int],
    counted: dict[tuple[int, str, str, int], int], latencies: dict[tuple[int, int], list[float | None]],
) -> ToldLineCurves:  # fmt: skip
    by_verdict = {
        each: [counted.get((line_id, kind.value, each.value, at), 0) for at in times] for each in Evaluation
    }
    sums = [sum(each) for each in zip(*by_verdict.values(), strict=True)]

    def share(of: Evaluation) -> list[float | None]:
        return [n / total if total else None for n, total in zip(by_verdict[of], sums, strict=True)]

    quantile = [latencies.get((line_id, at), [None, None]) for at in times]
    return {
        "line": name,
        "kind": "part" if kind is RowKind.PART else "frame",
        "n": sums,
        "reject": share(Evaluation.FAIL),
        "undecidable": share(Evaluation.UNDECIDABLE),
        "latency_p50": [each[0] for each in quantile],
        "latency_p99": [each[1] for each in quantile],
    }


def _counted(
    connection: sa.Connection, step: int, spans: Sequence[Piece], line_ids: list[int]
) -> Counter[tuple[int, str, str, int]]:
    grp, tally = schema.grp.c, schema.tally.c
    counted = Counter[tuple[int, str, str, int]]()
    for span in spans:
        found = connection.execute(
            sa.select(grp.line_id, grp.kind, grp.verdict, tally.start_ms, sa.func.sum(tally.n))
            .join_from(schema.tally, schema.grp, grp.id == tally.group_id)
            .where(
                tally.step_ms == span.step_ms, tally.start_ms >= span.from_ms, tally.start_ms < span.to_ms,
                grp.line_id.in_(line_ids), grp.reason != Reason.GOLDEN,
            ).group_by(grp.line_id, grp.kind, grp.verdict, tally.start_ms)
        )  # fmt: skip
        for line_id, kind, verdict, start, n in found:
            counted[line_id, kind, verdict, start - start % step] += int(n)
    return counted


def _latencies(
    connection: sa.Connection, step: int, spans: Sequence[Piece], kinds: dict[int, RowKind]
) -> dict[tuple[int, int], list[float | None]]:
    """The middle latency and the one that 99 of 100 do not exceed, by line and step."""
    table = schema.latency.c
    bins: dict[tuple[int, int], dict[int, int]] = {}
    for span in spans:
        rows = connection.execute(
            sa.select(table.line_id, table.start_ms, table.kind, table.counts).where(
                table.step_ms == span.step_ms,
                table.start_ms >= span.from_ms,
                table.start_ms < span.to_ms,
                table.line_id.in_([*kinds]),
            )
        )
        for row in rows:
            if row.kind == kinds[row.line_id]:
                at = row.line_id, row.start_ms - row.start_ms % step
                add_packed(bins.setdefault(at, {}), row.counts)
    return {at: quantiles(counts, (0.5, 0.99), LATENCY_PER_OCTAVE) for at, counts in bins.items()}
