"""Rows over all lines by filter, newest first, a page at a time.

The counts say in which days and hours the rows lie that fit, and in which groups. So a page looks at one
stretch of time that should have enough of them, by the index that suits: that of time where many rows of
the stretch fit, else that of groups. Neither PostgreSQL nor SQLite has to guess. Where it has fewer, since
some were on the page before or are no more kept, the page goes on with the stretch before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from msgspec.structs import replace

from inspectd.hub import schema
from inspectd.hub.filters import HubRequest
from inspectd.hub.schema import DAY_MS, HOUR_MS
from inspectd.page.history.filters import Filter, PagePlace
from inspectd.page.history.rows import Numbered, unpack_sized

_COMMON_SHARE: Final = 0.02
"""From so large a share of a stretch's rows on, the index of time is read, and the rest passed over."""
_BY_HOUR_MS: Final = 4 * DAY_MS
_MOST_BYTES: Final = 4_000_000
"""Of the verdicts of a page, unpacked: a line may send some of 256 KiB, and 2,000 are exported at once."""
_READ_AT_ONCE: Final = 100
_MOST_SORTED: Final = 20_000
"""Rows of a stretch that are sorted; of more, the newest of each group are taken for themselves."""


class HubRow(NamedTuple):
    """A row of the database, unpacked."""

    id: int
    line: str
    decided_ms: int
    recipe: str
    item: Numbered


class _Stretch(NamedTuple):
    """A time in which there are enough rows that fit, the groups that are in it, and how many."""

    from_ms: int
    to_ms: int
    groups: tuple[int, ...]
    fitting: int


def page(connection: sa.Connection, wanted: HubRequest) -> tuple[list[HubRow], PagePlace | None]:
    """At most `wanted.limit` rows, newest first, and where the next page begins; None: there is none.

    Of long verdicts a page has fewer.
    """
    names = _names(connection, wanted)
    rows, read = _rows(connection, [name.id for name in names[: wanted.limit]])
    return rows, names[read - 1] if len(names) > read else None


def row_named(connection: sa.Connection, line: str, epoch: int, seq: int) -> HubRow | None:
    """The row of one verdict; None: it is not kept."""
    return next(iter(rows_named(connection, line, epoch, [seq])[0]), None)


def rows_named(
    connection: sa.Connection, line: str, epoch: int, seqs: Sequence[int]
) -> tuple[list[HubRow], bool]:
    """Rows of some verdicts of one epoch, in order, and whether that is all: long ones are left out."""
    table = schema.verdict.c
    # By the line's number, and not its name: SQLite else reads the verdicts of all lines for it.
    line_id = connection.scalar(sa.select(schema.line.c.id).where(schema.line.c.name == line))
    wanted, rows, left = sorted({*seqs}), list[HubRow](), _MOST_BYTES
    for begin in range(0, len(wanted), _READ_AT_ONCE):
        some = wanted[begin : begin + _READ_AT_ONCE]
        for row in connection.execute(
            _select()
            .where(table.line_id == line_id, table.epoch == epoch, table.seq.in_(some))
            .order_by(table.seq)
        ):
            if left <= 0:
                return rows, False
            left -= _add_row(rows, row)
    return rows, True


def group_condition(wanted: Filter, lines: Sequence[str]) -> list[sa.ColumnElement[bool]]:
    """What groups have to be; empty: all fit."""
    found = [schema.grp.c[name] == value for name, value in wanted.of_group.items()]
    if lines:
        table = schema.line.c
        found.append(schema.grp.c.line_id.in_(sa.select(table.id).where(table.name.in_(lines))))
    return found


def _select() -> sa.Select[Any]:
    table = schema.verdict.c
    return (
        sa.select(table.id, schema.line.c.name, table.decided_ms, schema.grp.c.recipe, table.body)
        .join_from(schema.verdict, schema.grp, schema.grp.c.id == table.group_id)
        .join(schema.line, schema.line.c.id == table.line_id)
    )


def _rows(connection: sa.Connection, ids: list[int]) -> tuple[list[HubRow], int]:
    """Rows by id, as far as a page holds them, and how many ids that is."""
    rows: list[HubRow] = []
    left, read = _MOST_BYTES, 0
    while read < len(ids):
        some = ids[read : read + _READ_AT_ONCE]
        there = {row[0]: row for row in connection.execute(_select().where(schema.verdict.c.id.in_(some)))}
        for key in some:
            if left <= 0:
                return rows, read
            if key in there:
                left -= _add_row(rows, there[key])
            read += 1
    return rows, read


def _add_row(rows: list[HubRow], row: Any) -> int:
    """Unpack a row; its bytes."""
    key, line, decided_ms, recipe, body = row
    item, size = unpack_sized(body)
    rows.append(HubRow(key, line, decided_ms, recipe, item))
    return size


def _names(connection: sa.Connection, wanted: HubRequest) -> list[PagePlace]:
    """Time and id of the newest rows that fit, one more than the page has."""
    table, condition = schema.verdict.c, group_condition(wanted.filter, wanted.lines)
    if wanted.filter.part_id is not None:
        where = [table.part_id == wanted.filter.part_id]
        if condition:
            where.append(table.group_id.in_(sa.select(schema.grp.c.id).where(*condition)))
        return _newest(connection, wanted, where)
    if not condition:
        return _newest(connection, wanted, [])
    groups = tuple(connection.scalars(sa.select(schema.grp.c.id).where(*condition)))
    found: list[PagePlace] = []
    while groups and len(found) <= wanted.limit and wanted.filter.from_ms < wanted.filter.to_ms:
        stretch = _stretch(connection, wanted, groups)
        if stretch is None:
            break
        found += _in_stretch(connection, wanted, stretch)
        wanted = replace(wanted, filter=replace(wanted.filter, to_ms=stretch.from_ms))
    return found[: wanted.limit + 1]


def _in_stretch(connection: sa.Connection, wanted: HubRequest, stretch: _Stretch) -> list[PagePlace]:
    table = schema.verdict.c
    later = HubRequest(Filter(from_ms=stretch.from_ms, to_ms=stretch.to_ms), (), wanted.limit, wanted.before)
    if stretch.fitting >= _COMMON_SHARE * _rows_between(connection, later):
        return _newest(connection, later, [(table.group_id + 0).in_(stretch.groups)])
    if stretch.fitting <= _MOST_SORTED:
        return _newest(connection, later, [table.group_id.in_(stretch.groups)], by_group=True)
    found = [
        name for group in stretch.groups for name in _newest(connection, later, [table.group_id == group])
    ]
    return sorted(found, reverse=True)[: wanted.limit + 1]


def _newest(
    connection: sa.Connection,
    wanted: HubRequest,
    where: list[sa.ColumnElement[bool]],
    *,
    by_group: bool = False,
) -> list[PagePlace]:
    """The newest rows; `by_group`: not read in order of time, however much that may look like less work."""
    table, before = schema.verdict.c, wanted.before
    order = (table.decided_ms + 0, table.id + 0) if by_group else (table.decided_ms, table.id)
    conditions = [*where, table.decided_ms >= wanted.filter.from_ms, table.decided_ms < wanted.filter.to_ms]
    if before is not None:
        conditions += [
            table.decided_ms <= before.decided_ms,
            sa.or_(table.decided_ms < before.decided_ms, table.id < before.id),
        ]
    found = connection.execute(
        sa.select(table.decided_ms, table.id)
        .where(*conditions)
        .order_by(*(column.desc() for column in order))
        .limit(wanted.limit + 1)
    )
    return [PagePlace(*row) for row in found]


def _stretch(connection: sa.Connection, wanted: HubRequest, groups: tuple[int, ...]) -> _Stretch | None:
    """The newest stretch of hours that by the counts has a page of rows and one more; None: none fits."""
    start, end = wanted.filter.from_ms, _end(wanted)
    for step in (DAY_MS, HOUR_MS):
        counted = _steps(connection, step, groups, start, end)
        if counted:  # by the index of time, rows of a recipe that is no more in use were reached last
            end = min(end, counted[0][0] + step)
        enough = 0
        for begins, n in counted:
            # Of the step in which the stretch ends, no more is known than that there may be some.
            enough += n if begins + step <= end else 0
            if enough > wanted.limit:
                start = max(start, begins)
                break
    table, step = schema.tally.c, _coarse(start, end)
    there = connection.execute(
        sa.select(table.group_id, sa.func.sum(table.n))
        .where(
            table.step_ms == step, table.group_id.in_(groups),
            table.start_ms > start - step, table.start_ms < end,
        ).group_by(table.group_id)
    ).all()  # fmt: skip
    if not there:
        return None
    return _Stretch(start, end, tuple(row[0] for row in there), int(sum(row[1] for row in there)))


def _steps(
    connection: sa.Connection, step: int, groups: tuple[int, ...], from_ms: int, to_ms: int
) -> list[tuple[int, int]]:
    table = schema.tally.c
    found = connection.execute(
        sa.select(table.start_ms, sa.func.sum(table.n))
        .where(
            table.step_ms == step, table.group_id.in_(groups),
            table.start_ms > from_ms - step, table.start_ms < to_ms,
        )
        .group_by(table.start_ms).order_by(table.start_ms.desc())
    )  # fmt: skip
    return [(int(row[0]), int(row[1])) for row in found]


def _rows_between(connection: sa.Connection, wanted: HubRequest) -> int:
    start, end = wanted.filter.from_ms, _end(wanted)
    table, step = schema.tally.c, _coarse(start, end)
    among = [table.step_ms == step, table.start_ms > start - step, table.start_ms < end]
    return int(connection.scalar(sa.select(sa.func.sum(table.n)).where(*among)) or 0)


def _end(wanted: HubRequest) -> int:
    """The first millisecond after what may be on the page."""
    before = wanted.before
    return wanted.filter.to_ms if before is None else min(wanted.filter.to_ms, before.decided_ms + 1)


def _coarse(start: int, end: int) -> int:
    """The step by which a stretch is counted: more than a few days by day."""
    return DAY_MS if end - start > _BY_HOUR_MS else HOUR_MS
