"""Rows by filter, newest or oldest first, a page at a time.

Whatever camera, region, recipe, verdict, reason and kind are asked for, the groups that fit are few; each is
read from an index that has its rows in order of time, and the rows are merged as they are needed. So a page
costs as many rows as it has, and not as many as lie between them.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from inspectd.page.history.bins import SCORE_PER_OCTAVE, bin_of
from inspectd.page.history.filters import Filter, FilterError, PagePlace
from inspectd.page.history.rows import StoredRow
from inspectd.page.told_pages import ToldGap, ToldNames

_MAX_STREAMS: Final = 4000
MAX_GAPS: Final = 200
NEWEST: Final = 2**63 - 1
"""Before it lies every gap."""

_ROWS: Final = "SELECT verdict.id, decided_ms, recipe, body FROM verdict JOIN grp ON grp.id = group_id"
_GROUPS: Final = "SELECT id FROM grp"
_BINS: Final = "SELECT group_id, score_bin FROM grp_bin JOIN grp ON grp.id = group_id"
_IN_TIME: Final = "decided_ms >= :from_ms AND decided_ms < :to_ms"
_SCORES: Final = "score >= coalesce(:score_min, -9e999) AND score <= coalesce(:score_max, 9e999)"


class _Order(NamedTuple):
    """How rows are sorted, which come beyond one that was given, and how streams of them are merged."""

    text: str
    next: str
    is_reverse: bool


_NEWEST_FIRST: Final = _Order(
    "ORDER BY decided_ms DESC, id DESC",
    "decided_ms <= :before_ms AND (decided_ms < :before_ms OR id < :before_id)",
    is_reverse=True,
)
_OLDEST_FIRST: Final = _Order(
    "ORDER BY decided_ms, id",
    "decided_ms >= :before_ms AND (decided_ms > :before_ms OR id > :before_id)",
    is_reverse=False,
)


def page(
    connection: sqlite3.Connection,
    wanted: Filter,
    before: PagePlace | None,
    limit: int,
    *,
    is_oldest_first: bool = False,
) -> tuple[list[StoredRow], PagePlace | None]:
    """At most `limit` rows, newest or oldest first, and where the next page begins; None: there is none.

    Raises:
        FilterError: far too many kinds of rows fit.
        sqlite3.Error: the file cannot be read, or time was up.
    """
    order = _OLDEST_FIRST if is_oldest_first else _NEWEST_FIRST
    names = list(islice(_names(connection, wanted, before, order), limit + 1))
    rows = [
        StoredRow(*connection.execute(f"{_ROWS} WHERE verdict.id = ?", (key,)).fetchone())
        for _, key in names[:limit]
    ]
    return rows, PagePlace(*names[limit - 1]) if len(names) > limit else None


def row_named(connection: sqlite3.Connection, epoch: int, seq: int) -> StoredRow | None:
    """The row of one verdict; None: it is not kept."""
    found = connection.execute(f"{_ROWS} WHERE epoch = ? AND seq = ?", (epoch, seq)).fetchone()
    return StoredRow(*found) if found else None


def gaps(
    connection: sqlite3.Connection, from_ms: int, to_ms: int, now_ms: int, before: int = NEWEST
) -> tuple[list[ToldGap], int | None]:
    """Times between which verdicts are lost to the history, and why, the newest few hundred first.

    Args:
        connection: to the file.
        from_ms: the first millisecond that is asked about.
        to_ms: the first one after the last.
        now_ms: the end of a gap that is still open.
        before: where the call before said that older ones go on.

    Returns:
        The gaps, and where older ones go on; None: there are none.
    """
    found = connection.execute(
        "SELECT id, coalesce(from_ms, 0), coalesce(to_ms, ?), why, count FROM gap WHERE id < ? "
        "AND coalesce(from_ms, 0) < ? AND coalesce(to_ms, ?) >= ? ORDER BY id DESC LIMIT ?",
        (now_ms, before, to_ms, now_ms, from_ms, MAX_GAPS + 1),
    ).fetchall()
    given: list[ToldGap] = [
        {"from_ms": start, "to_ms": max(start, end), "why": why, "count": count}
        for _, start, end, why, count in found[:MAX_GAPS]
    ]
    return given, found[MAX_GAPS - 1][0] if len(found) > MAX_GAPS else None


def names(connection: sqlite3.Connection) -> ToldNames:
    """What rows can be asked for by: what they have, and not what the line has loaded now."""

    def of(column: str) -> list[str]:
        text = f"SELECT DISTINCT {column} FROM grp WHERE {column} != '' ORDER BY {column}"  # noqa: S608 - own text
        return [name for (name,) in connection.execute(text)]

    return {"cameras": of("camera"), "recipes": of("recipe")}


def complete_from_ms(connection: sqlite3.Connection) -> int | None:
    """From when on the history has everything but its gaps; None: it has nothing yet."""
    found = connection.execute("SELECT value FROM meta WHERE key = 'complete_from_ms'").fetchone()
    return found[0] if found else None


def _names(
    connection: sqlite3.Connection, wanted: Filter, before: PagePlace | None, order: _Order
) -> Iterator[tuple[int, int]]:
    """Time and id of every row that fits, in that order; read from the file as they are taken."""
    values: dict[str, Any] = {
        "from_ms": wanted.from_ms, "to_ms": wanted.to_ms, "part_id": wanted.part_id,
        "score_min": wanted.score_min, "score_max": wanted.score_max,
    }  # fmt: skip
    where = _IN_TIME
    if before is not None:
        where += f" AND {order.next}"
        values |= {"before_ms": before.decided_ms, "before_id": before.id}
    condition, of_group = _group_condition(wanted)
    if wanted.part_id is not None:
        where += " AND part_id = :part_id" + (f" AND {_SCORES}" if wanted.has_score else "")
        where += f" AND group_id IN ({_GROUPS} WHERE {condition})" if of_group else ""
        return _stream(connection, "verdict_part", where, values | of_group, order)
    if wanted.has_score:
        return _merged(
            connection,
            "verdict_score",
            f"{where} AND {_SCORES}",
            values,
            _bins(connection, wanted),
            order=order,
        )
    if of_group:
        found = connection.execute(f"{_GROUPS} WHERE {condition}", of_group)
        groups: list[tuple[int, int | None]] = [(key, None) for (key,) in found]
        return _merged(connection, "verdict_group", where, values, groups, order=order)
    return _stream(connection, "verdict_time", where, values, order)


def _group_condition(wanted: Filter) -> tuple[str, dict[str, str]]:
    of_group = wanted.of_group
    return " AND ".join(f"{name} = :{name}" for name in of_group) or "1", of_group


def _bins(connection: sqlite3.Connection, wanted: Filter) -> list[tuple[int, int | None]]:
    """Groups that fit, each with each bin of scores that may."""
    condition, of_group = _group_condition(wanted)
    low = -(2**31) if wanted.score_min is None else bin_of(wanted.score_min, SCORE_PER_OCTAVE)
    high = 2**31 if wanted.score_max is None else bin_of(wanted.score_max, SCORE_PER_OCTAVE)
    found = connection.execute(
        f"{_BINS} WHERE {condition} AND score_bin BETWEEN :low AND :high",
        {**of_group, "low": low, "high": high},
    )
    return list(found)


def _merged(
    connection: sqlite3.Connection,
    index: str,
    where: str,
    values: dict[str, Any],
    keys: list[tuple[int, int | None]],
    *,
    order: _Order,
) -> Iterator[tuple[int, int]]:
    if len(keys) > _MAX_STREAMS:
        raise FilterError(
            f"this fits {len(keys)} kinds of rows, expected at most {_MAX_STREAMS}: "
            "ask for one camera, recipe or reason"
        )
    streams = [
        _stream(
            connection,
            index,
            "group_id = :group_id"
            + ("" if score_bin is None else " AND score_bin = :score_bin")
            + f" AND {where}",
            values | {"group_id": group_id, "score_bin": score_bin},
            order,
        )
        for group_id, score_bin in keys
    ]
    return heapq.merge(*streams, reverse=order.is_reverse)


def _stream(
    connection: sqlite3.Connection, index: str, where: str, values: dict[str, Any], order: _Order
) -> Iterator[tuple[int, int]]:
    text = f"SELECT decided_ms, id FROM verdict INDEXED BY {index} WHERE {where} {order.text}"  # noqa: S608 - own text
    return connection.execute(text, values)
