"""The list of lines: what is known of each, and since when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

import sqlalchemy as sa

from inspectd.fleet.names import LineNames
from inspectd.hub import schema
from inspectd.hub.messages import report_of
from inspectd.hub.reading_state import ReadingState
from inspectd.hub.schema import DAY_MS, HOUR_MS, STEPS_MS
from inspectd.hub.told import (
    LineWord,
    ToldFleet,
    ToldFleetLine,
    ToldHubNames,
    ToldReport,
    ToldShare,
)
from inspectd.page.history.rows import RowKind
from inspectd.page.history.spans import Piece, pieces
from inspectd.text import printable
from inspectd.wire import Evaluation, Reason

_BEHIND_MESSAGES: Final = 1000
"""So far behind its stream a line is not shown as it is now; less is what comes in a moment."""
_LATE_MS: Final = 300_000
"""A verdict that was decided so long before it came, and longer before than a line may be silent, does not
show that the line runs now."""
_MOST_NAMES: Final = 500
_BANKS_SHOWN: Final = 4
_REPORT_SECONDS: Final = 300.0
"""An agent reports every minute (`fleet.report_seconds`): what it said longer ago may no longer be so."""

Counted = Counter[tuple[int, str, str]]


class Lack(TypedDict):
    """What an export lacks of a line, as a gap in it: verdicts not read yet since `from_ms`, or lost."""

    line: str
    verdict: Literal["not_read", "lost"]
    why: str
    from_ms: int | None
    to_ms: int | None


class FleetList:
    """Tells what is known of every line.

    Args:
        state: of the reading.
        silent_seconds: a line without a new verdict for so long stands still.
        clock: seconds on a clock that never goes back.
        clock_ms: milliseconds since 1970, UTC.
    """

    def __init__(
        self,
        state: ReadingState,
        silent_seconds: float,
        clock: Callable[[], float],
        clock_ms: Callable[[], int],
    ) -> None:
        self._state, self._silent_seconds = state, silent_seconds
        self._clock, self._clock_ms = clock, clock_ms

    def fleet(self, connection: sa.Connection) -> ToldFleet:
        """All lines, by name."""
        now_ms = self._clock_ms()
        of_hour, of_day = (pieces(now_ms - span_ms, now_ms + 1, STEPS_MS) for span_ms in (HOUR_MS, DAY_MS))
        hour, day = _counted(connection, of_hour), _counted(connection, of_day)
        rows = connection.execute(sa.select(schema.line).order_by(schema.line.c.name)).all()
        trouble = self._state.trouble
        return {
            "now_ms": now_ms,
            "trouble": None if trouble is None else trouble.value,
            "trouble_since_ms": None if trouble is None else self._state.since_ms,
            "hour_from_ms": of_hour[0].from_ms,
            "day_from_ms": of_day[0].from_ms,
            "lines": [self._line(row, hour, day, now_ms) for row in rows],
        }

    def lacking(
        self, connection: sa.Connection, lines: Sequence[str], from_ms: int, to_ms: int
    ) -> list[Lack]:
        """What is certainly not in the database of what lines sent of a time, by line.

        Args:
            connection: to the database.
            lines: their names; empty: all.
            from_ms: the first millisecond.
            to_ms: the first millisecond after the last.
        """
        wanted = sa.select(schema.line).order_by(schema.line.c.name)
        if lines:
            wanted = wanted.where(schema.line.c.name.in_(lines))
        rows = connection.execute(wanted).all()
        gone, of_lines = schema.gone.c, schema.gone.c.line_id.in_([line.id for line in rows])
        of_then = sa.select(schema.gone).where(of_lines, gone.from_ms < to_ms, gone.to_ms >= from_ms)
        lost: dict[int, list[Any]] = {}
        for row in connection.execute(of_then.order_by(gone.hour_ms)):
            lost.setdefault(row.line_id, []).append(row)
        noted = sa.select(gone.line_id, sa.func.sum(gone.n)).where(of_lines).group_by(gone.line_id)
        numbers = {line_id: int(n) for line_id, n in connection.execute(noted)}
        found: list[Lack] = []
        for line in rows:
            # Of what was lost before its time was noted only the number is known.
            ever = line.passed_over - numbers.get(line.id, 0)
            lacks = [
                *self._not_read(line),
                *(_lost(line.name, row.n, row.from_ms or None, row.to_ms) for row in lost.get(line.id, [])),
                *([_lost(line.name, ever, None, None)] if ever > 0 else []),
            ]
            found += [
                lack
                for lack in lacks
                if (lack["from_ms"] or 0) < to_ms and (lack["to_ms"] is None or lack["to_ms"] >= from_ms)
            ]
        return found

    def _not_read(self, line: Any) -> list[Lack]:
        """What waits in a line's stream, or may: by its own time, which rows are asked for by."""
        now_ms, names = self._clock_ms(), LineNames(line.plant, line.name)
        word, _ = self._word(names, line.received_ms, now_ms)
        reading = self._state.lines.get(names)
        if word != "not_read":
            if reading is None or not reading.behind:
                return []
            word = "catching_up"  # a file lacks what waits, however little it is
        since_ms = line.received_ms if line.newest_ms is None else _newest_ms(line, now_ms)
        # A stream that was taken away, as of a line that is scrapped, gets no more. Whether all that it had
        # was read, nobody knows: that concerns its last moment, and no time after that.
        is_gone = reading is None and self._state.trouble is None
        until_ms = since_ms if is_gone else now_ms
        if until_ms is None:
            return []
        return [
            {
                "line": line.name, "verdict": "not_read", "why": word,
                "from_ms": since_ms, "to_ms": until_ms,
            }
        ]  # fmt: skip

    def _line(self, row: Any, hour: Counted, day: Counted, now_ms: int) -> ToldFleetLine:
        names = LineNames(row.plant, row.name)
        word, since_ms = self._word(names, row.received_ms, now_ms)
        reading = self._state.lines.get(names)
        return {
            "line": row.name,
            "state": word,
            "since_ms": since_ms,
            "newest_ms": None if row.newest_ms is None else _newest_ms(row, now_ms),
            "behind": None if reading is None else reading.behind,
            "hour": _share(row.id, hour, day),
            "day": _share(row.id, day, day),
            "recipe": row.recipe,
            "version": None if row.recipe_version is None else str(row.recipe_version),
            "bank": row.bank_sha256 and row.bank_sha256[:16],
            "report": self._report(names, row, now_ms),
            "foreign": row.foreign_messages,
            "passed_over": row.passed_over,
        }

    def _report(self, names: LineNames, row: Any, now_ms: int) -> ToldReport | None:
        report = None if row.report is None else report_of(names, row.report.encode())
        if report is None:
            return None
        # One that comes later than now, by a server's clock that is ahead, may be of any time before.
        is_young = abs(now_ms - row.report_ms) <= 1000 * _REPORT_SECONDS
        return {
            "recipe": report.recipe and printable(report.recipe),
            "version": None if report.version is None else str(report.version),
            "bank": _banks(report.bank_sha256),
            "wanted": report.wanted_recipe and printable(report.wanted_recipe),
            "wanted_serial": None if report.wanted_serial is None else str(report.wanted_serial),
            "state": report.state,
            "why": printable(report.refusal or report.why),
            "progress": report.progress,
            "at_ms": report.at_utc_ns // 1_000_000,
            "received_ms": row.report_ms,
            "is_now": is_young and self._state.trouble is None,
        }

    def _word(self, names: LineNames, received_ms: int | None, now_ms: int) -> tuple[LineWord, int | None]:
        """The state of a line, and since when; one that is not certainly running is not called so.

        A verdict counts as of now if it was read a short time ago by the hub's own clock that is never set,
        and reached the servers a short time ago by theirs: what waited there for the hub is
        old when it is read. It had to be new then, too: a forwarder goes on sending what a line that was
        switched off has left. Nobody can tell that from a clock that is as far behind.
        """
        reading = self._state.lines.get(names)
        if self._state.trouble is not None:
            return "not_read", self._state.since_ms
        if reading is None or reading.behind is None or reading.trouble:
            return "not_read", received_ms  # its stream is gone or gives nothing, or nobody has looked yet
        if reading.behind > _BEHIND_MESSAGES:
            return "catching_up", received_ms
        if received_ms is None:
            return "nothing", None
        is_read_now = reading.arrived is not None and self._clock() - reading.arrived <= self._silent_seconds
        is_of_now = now_ms - received_ms <= 1000 * self._silent_seconds
        if not (is_read_now and is_of_now):
            return "silent", received_ms
        is_late = reading.late_ms > max(_LATE_MS, 1000 * self._silent_seconds)
        return ("catching_up" if is_late else "running"), received_ms


def _banks(by_recipe: Mapping[str, str]) -> str | None:
    """The banks in force: one of each camera or region as a rule, each once; of many the first ones."""
    banks = [*dict.fromkeys(by_recipe[recipe] for recipe in sorted(by_recipe))]
    shown = ", ".join(printable(bank[:16]) for bank in banks[:_BANKS_SHOWN])
    more = f" +{len(banks) - _BANKS_SHOWN}" if len(banks) > _BANKS_SHOWN else ""
    return f"{shown}{more}" if banks else None


def _newest_ms(row: Any, now_ms: int) -> int:
    """By its own time, but never later than the servers got it: the line's clock may be ahead."""
    newest: int = min(row.newest_ms, row.received_ms or now_ms)
    return newest


def _lost(line: str, n: int, from_ms: int | None, to_ms: int | None) -> Lack:
    return {"line": line, "verdict": "lost", "why": f"passed_over: {n}", "from_ms": from_ms, "to_ms": to_ms}


def names_known(connection: sa.Connection, kept_days: float) -> ToldHubNames:
    """What rows can be asked for by; of more names than anybody chooses from, each line's newest."""
    table = schema.grp.c
    is_cut = False

    def few(column: sa.Column[str]) -> list[str]:
        nonlocal is_cut
        of_line = (
            sa.select(table.line_id, column.label("name"), sa.func.max(table.id).label("newest"))
            .where(column != "")
            .group_by(table.line_id, column)
            .subquery()
        )
        turn = sa.func.row_number().over(partition_by=of_line.c.line_id, order_by=of_line.c.newest.desc())
        in_turn = sa.select(of_line.c.name, turn.label("turn")).subquery()
        first = sa.func.min(in_turn.c.turn)  # line by line: one that has many leaves the others theirs
        found = connection.scalars(
            sa.select(in_turn.c.name)
            .group_by(in_turn.c.name).order_by(first, in_turn.c.name).limit(_MOST_NAMES + 1)
        ).all()  # fmt: skip
        is_cut |= len(found) > _MOST_NAMES
        return sorted(found[:_MOST_NAMES])

    full = sa.select(table.line_id).group_by(table.line_id).having(sa.func.count() >= schema.MOST_GROUPS)
    is_cut |= connection.scalar(full.limit(1)) is not None
    lines = connection.scalars(sa.select(schema.line.c.name).order_by(schema.line.c.name))
    cameras, recipes, reasons = (few(column) for column in (table.camera, table.recipe, table.reason))
    return {
        "lines": [*lines], "cameras": cameras, "recipes": recipes, "reasons": reasons, "is_all": not is_cut,
        "kept_days": kept_days,
    }  # fmt: skip


def _counted(connection: sa.Connection, span: Sequence[Piece]) -> Counted:
    """Verdicts of a span by line, kind and verdict.

    A line whose clock is ahead has later ones, which are no part of what was.
    """
    grp, tally = schema.grp.c, schema.tally.c
    counted: Counted = Counter()
    for piece in span:
        found = connection.execute(
            sa.select(grp.line_id, grp.kind, grp.verdict, sa.func.sum(tally.n))
            .join_from(schema.tally, schema.grp, grp.id == tally.group_id)
            .where(
                tally.step_ms == piece.step_ms,
                tally.start_ms >= piece.from_ms,
                tally.start_ms < piece.to_ms,
                grp.reason != Reason.GOLDEN,
            )
            .group_by(grp.line_id, grp.kind, grp.verdict)
        )
        for line_id, kind, verdict, n in found:
            counted[line_id, kind, verdict] += int(n)
    return counted


def _share(line_id: int, counted: Counted, day: Counted) -> ToldShare:
    has_parts = any(key[0] == line_id and key[1] == RowKind.PART for key in day)
    kind = RowKind.PART if has_parts else RowKind.FRAME
    by_verdict = {each: counted.get((line_id, kind.value, each.value), 0) for each in Evaluation}
    return {
        "kind": "part" if has_parts else "frame",
        "n": sum(by_verdict.values()),
        "fail": by_verdict[Evaluation.FAIL],
        "undecidable": by_verdict[Evaluation.UNDECIDABLE],
    }
