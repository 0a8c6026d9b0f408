"""The hub's database, as its one writer has it: rows, counts and the stream's place are one transaction."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL

from inspectd import log
from inspectd.fleet.names import LineNames
from inspectd.hub import schema
from inspectd.hub.batch import (
    BatchCounts,
    LineBatch,
    RowName,
    StoredLine,
    StreamPlace,
    arrivals,
    distinct,
    groups_in,
    judged_by,
    stretches,
    unnamed,
    views_to_find,
)
from inspectd.hub.engine import SQLITE, DatabaseAwayError, DatabaseFile, as_database_error, engine_to_write
from inspectd.hub.many import add_many
from inspectd.hub.messages import stored_text
from inspectd.hub.turns import Turns
from inspectd.page.history.bins import add_packed, packed
from inspectd.page.history.rows import Group, Numbered, decided_ms, pack
from inspectd.wire import Reason

_PRUNED_ROWS: Final = 2000
_PRUNED_GROUPS: Final = 500
_MOST_CACHED: Final = 20_000
"""Groups of all lines; each takes 3 kB where a line's names are as long as they may be."""
_LOOKED_UP: Final = 500
_NEAR_NUMBERS: Final = 100
_NEAR_STEPS: Final = 10
"""What lies so near is looked up together."""

_unnamed: Final = log.Repeated(logging.getLogger(__name__))


class PlaceMovedError(DatabaseAwayError):
    """The line's place is not where it was left: another hub writes the same database."""


class HubStore:
    """Writes verdicts of all lines. Any thread may call; one of them writes at a time.

    Every method raises `DatabaseAwayError` where the database does not answer or was replaced; nothing of
    what was to be written is there then, and `prepare` has to be called again.
    """

    def __init__(self, url: URL, plant: str) -> None:
        """Of the database of a plant's lines at `url`, which need not answer yet."""
        self._plant = plant
        self._engine = engine_to_write(url)
        self._is_sqlite = url.get_backend_name() == SQLITE
        self._file = DatabaseFile(url.database) if self._is_sqlite and url.database else None
        self._turns = Turns()
        sa.event.listen(self._engine, "after_cursor_execute", self._answered)
        self._groups: dict[tuple[int, Group], int] = {}
        self._new_groups: dict[tuple[int, Group], int] = {}
        """Those that are known only once the transaction under way is done."""
        self._looked_at = 0
        """The last group that was looked at for whether it has a verdict left."""

    def refuse_silent(self) -> None:
        """Go on only where the database answers what it was asked; never waits."""
        self._turns.refuse_silent()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def prepare(self) -> None:
        """Make the tables where there are none.

        Raises:
            InputError: they are of another version, or hold another plant's lines.
        """
        with self._turns.turn(), as_database_error():
            self._engine.dispose()
            self._groups.clear()
            if self._file is not None:
                self._file.forget()
            with self._engine.begin() as connection:
                schema.METADATA.create_all(connection)
                schema.refuse_other(connection, self._plant)
                if connection.scalar(sa.select(schema.meta.c.version)) is None:
                    connection.execute(schema.meta.insert().values(version=schema.VERSION))
            if self._file is not None:
                self._file.remember()

    def line(self, names: LineNames) -> StoredLine:
        """A line, which is added where it is not known yet."""
        table = schema.line
        with self._begun() as connection:
            connection.execute(
                self._insert(table)
                .values(
                    plant=names.plant, name=names.line, stream_created="", last_sequence=0,
                    foreign_messages=0, passed_over=0,
                )
                .on_conflict_do_nothing(index_elements=["plant", "name"])
            )  # fmt: skip
            row = connection.execute(
                sa.select(
                    table.c.id, table.c.stream_created, table.c.last_sequence, table.c.report_sequence,
                    table.c.received_ms, table.c.newest_ms,
                ).where(table.c.plant == names.plant, table.c.name == names.line)
            ).one()  # fmt: skip
            newest_ms = (
                None if row.newest_ms is None else min(row.newest_ms, row.received_ms or row.newest_ms)
            )
            return StoredLine(row.id, names, StreamPlace(row[1], row[2]), row[3], row[4], newest_ms)

    def write(self, line: StoredLine, batch: LineBatch) -> int:
        """Add a batch and move the line's place, or neither; how many verdicts were new.

        Args:
            line: whose it is.
            batch: what was read.

        Raises:
            PlaceMovedError: the place is not `batch.before`.
            DatabaseRefusesError: the database does not take one of the verdicts.
        """
        items = distinct(batch.items)
        with self._begun() as connection:
            self._move(connection, line, batch)  # first: it locks the line's counts too
            groups = self._groups_of(connection, line, items)
            there = self._there(connection, line.id, items)
            added = {name: item for name, item in items.items() if name not in there}
            self._add_rows(connection, line.id, added, groups, arrivals(batch))
            counts = BatchCounts((item, groups[name]) for name, item in added.items())
            self._add_counts(connection, line.id, counts)
            if batch.passed_over and batch.passed_over_ms[1]:
                self._add_gone(connection, line.id, batch)
        return len(added)

    def has(self, line: StoredLine, item: Numbered) -> bool:
        """Whether a verdict of a line is kept."""
        name = RowName(item.epoch, item.seq)
        with self._begun() as connection:
            return name in self._there(connection, line.id, [name])

    def write_report(self, line: StoredLine, sequence: int, ms: int, body: bytes) -> None:
        """Keep what a line last reported; `ms`: when the servers got it."""
        with self._begun() as connection:
            connection.execute(
                schema.line.update().where(schema.line.c.id == line.id)
                .values(report=stored_text(body.decode()), report_sequence=sequence, report_ms=ms)
            )  # fmt: skip

    def prune(self, before_ms: int, kept_ms: int) -> int:
        """Remove some of the rows that came first, and what belongs to them alone; how many rows it were.

        By when the servers got them: by its own time a verdict of a line whose clock is behind would go as
        soon as it has come, and one of a line whose clock is ahead would stay for years.

        Args:
            before_ms: rows that arrived before it are too old.
            kept_ms: so long before the newest arrival nothing is too old: a clock of this host that is
                set far ahead by mistake must not empty the database.
        """
        table = schema.verdict
        with self._begun() as connection:
            newest = connection.scalar(sa.select(sa.func.max(table.c.received_ms))) or 0
            before_ms = min(before_ms, newest - kept_ms)
            old = (
                sa.select(table.c.id)
                .where(table.c.received_ms < before_ms)
                .order_by(table.c.received_ms, table.c.id)
                .limit(_PRUNED_ROWS)
            )
            removed = connection.execute(table.delete().where(table.c.id.in_(old))).rowcount
            for counts in (schema.tally, schema.latency):
                connection.execute(_counts_without_rows(counts, before_ms, newest))
            self._remove_groups(connection)
            self._remove_gone(connection, before_ms, kept_ms)
        return int(removed)

    # --- within a transaction -----------------------------------------------------------------------------

    def _answered(self, *_: Any) -> None:
        self._turns.answered()

    @contextmanager
    def _begun(self) -> Iterator[sa.Connection]:
        """One transaction: all of it, or nothing."""
        with self._turns.turn(), as_database_error():
            if self._file is not None:
                self._file.refuse_other()
            self._new_groups = {}
            if len(self._groups) > _MOST_CACHED:
                self._groups.clear()
            with self._engine.begin() as connection:
                yield connection
            self._groups |= self._new_groups

    def _insert(self, table: sa.Table) -> Any:
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)

    def _move(self, connection: sa.Connection, line: StoredLine, batch: LineBatch) -> None:
        table = schema.line
        values: dict[str, Any] = {
            "stream_created": batch.after.created,
            "last_sequence": batch.after.sequence,
            "foreign_messages": table.c.foreign_messages + batch.foreign,
            "passed_over": table.c.passed_over + batch.passed_over,
        }
        if batch.items:
            newest = max(map(decided_ms, batch.items))
            known = sa.func.coalesce(table.c.newest_ms, newest)
            values["newest_ms"] = sa.case((known > newest, known), else_=newest)
            values |= judged_by(batch)
        if batch.received_ms is not None:
            values["received_ms"] = batch.received_ms
        moved = connection.execute(
            table.update()
            .where(
                table.c.id == line.id,
                table.c.stream_created == batch.before.created,
                table.c.last_sequence == batch.before.sequence,
            )
            .values(**values)
        )
        if moved.rowcount != 1:
            raise PlaceMovedError(
                f"{line.names.plant}/{line.names.line}: its place in the database was moved by another "
                "program; let one hub alone write a database"
            )

    def _groups_of(
        self, connection: sa.Connection, line: StoredLine, items: dict[RowName, Numbered]
    ) -> dict[RowName, int]:
        """The group of each verdict."""
        found = self._recipes(connection, line.id, views_to_find(items))
        groups: dict[RowName, int] = {}
        left_out: dict[Group, int] = {}
        room = None
        for name, group in groups_in(items, found).items():
            key = line.id, group
            known = self._groups.get(key) or self._new_groups.get(key) or left_out.get(group)
            if known is None and (known := self._group_there(connection, *key)) is not None:
                self._new_groups[key] = known
            if known is None:
                room = self._room(connection, line.id) if room is None else room
                if room > 0:
                    known = self._new_groups[key] = self._group_added(connection, *key)
                    room -= 1
                else:
                    instead = unnamed(group)
                    there = self._group_there(connection, line.id, instead)
                    known = self._group_added(connection, line.id, instead) if there is None else there
                    left_out[group] = known
            groups[name] = known
        if left_out:
            _unnamed.event(
                logging.WARNING, "names_left_out", line=line.names.line, n=len(left_out),
                detail=f"the line has {schema.MOST_GROUPS} combinations of camera, region, recipe and "
                "reason; verdicts with others are kept, and found by none of these: find out who sends them",
            )  # fmt: skip
        return groups

    def _room(self, connection: sa.Connection, line_id: int) -> int:
        """So many more groups a line may have."""
        count = sa.select(sa.func.count()).select_from(schema.grp).where(schema.grp.c.line_id == line_id)
        return schema.MOST_GROUPS - int(connection.scalar(count) or 0)

    def _group_there(self, connection: sa.Connection, line_id: int, group: Group) -> int | None:
        table = schema.grp.c
        same = [table[name] == value for name, value in group._asdict().items()]
        return connection.scalar(sa.select(table.id).where(table.line_id == line_id, *same))

    def _group_added(self, connection: sa.Connection, line_id: int, group: Group) -> int:
        added = connection.execute(schema.grp.insert().values(line_id=line_id, **group._asdict()))
        assert added.inserted_primary_key is not None
        return int(added.inserted_primary_key[0])

    def _remove_groups(self, connection: sa.Connection) -> None:
        """Remove what has no verdict left of the next few groups: a line's names change over the years."""
        grp, verdict, tally = schema.grp.c, schema.verdict.c, schema.tally.c
        next_few = sa.select(grp.id).where(grp.id > self._looked_at).order_by(grp.id).limit(_PRUNED_GROUPS)
        ids = connection.scalars(next_few).all()
        row = sa.select(verdict.id).where(verdict.group_id == grp.id)
        count = sa.select(tally.n).where(tally.step_ms.in_(schema.STEPS_MS), tally.group_id == grp.id)
        has_none = [each.limit(1).correlate(schema.grp).scalar_subquery().is_(None) for each in (row, count)]
        if (
            ids
            and connection.execute(
                schema.grp.delete().where(grp.id > self._looked_at, grp.id <= ids[-1], *has_none)
            ).rowcount
        ):
            self._groups.clear()
        self._looked_at = ids[-1] if len(ids) == _PRUNED_GROUPS else 0

    def _remove_gone(self, connection: sa.Connection, before_ms: int, kept_ms: int) -> None:
        """Forget some of what was lost before the time that is kept, and count it no more.

        Nobody can ask for that time any more. It is the line's own: of one whose clock is behind all would
        go at once, so it counts back from the line's newest verdict too.
        """
        gone, line = schema.gone.c, schema.line.c
        old = connection.execute(
            sa.select(gone.line_id, gone.hour_ms, gone.n)
            .join(schema.line, line.id == gone.line_id)
            .where(gone.to_ms < before_ms, gone.to_ms < sa.func.coalesce(line.newest_ms - kept_ms, before_ms))
            .limit(_PRUNED_GROUPS)
        ).all()
        if not old:
            return
        names = [(row.line_id, row.hour_ms) for row in old]
        connection.execute(schema.gone.delete().where(sa.tuple_(gone.line_id, gone.hour_ms).in_(names)))
        numbers = Counter[int]()
        for row in old:
            numbers[row.line_id] += row.n
        for line_id, n in numbers.items():
            connection.execute(
                schema.line.update().where(line.id == line_id).values(passed_over=line.passed_over - n)
            )

    def _recipes(
        self, connection: sa.Connection, line_id: int, names: Iterable[RowName]
    ) -> dict[RowName, str]:
        """Recipes of views that were stored before their parts came."""
        table, left, found = schema.verdict, sorted(names), dict[RowName, str]()
        while left:
            some, left = left[:_LOOKED_UP], left[_LOOKED_UP:]
            rows = connection.execute(
                sa.select(table.c.epoch, table.c.seq, schema.grp.c.recipe)
                .join(schema.grp, schema.grp.c.id == table.c.group_id)
                .where(table.c.line_id == line_id, sa.tuple_(table.c.epoch, table.c.seq).in_(some))
            )
            found |= {RowName(row.epoch, row.seq): row.recipe for row in rows}
        return found

    def _there(self, connection: sa.Connection, line_id: int, names: Iterable[RowName]) -> set[RowName]:
        """Those that are stored already; nobody adds one meanwhile, as the line's place is locked."""
        table, of_epoch = schema.verdict, defaultdict[int, list[int]](list)
        for name in names:
            of_epoch[name.epoch].append(name.seq)
        found: set[RowName] = set()
        for epoch, seqs in of_epoch.items():
            for first, last in stretches(seqs, _NEAR_NUMBERS):
                rows = connection.execute(
                    sa.select(table.c.epoch, table.c.seq).where(
                        table.c.line_id == line_id, table.c.epoch == epoch, table.c.seq.between(first, last)
                    )
                )
                found.update(RowName(*row) for row in rows)
        return found

    def _add_rows(
        self, connection: sa.Connection, line_id: int, items: dict[RowName, Numbered],
        groups: dict[RowName, int], received_ms: dict[RowName, int],
    ) -> None:  # fmt: skip
        table = schema.verdict.c
        rows = [
            (
                line_id, item.epoch, item.seq, groups[name], decided_ms(item), received_ms[name],
                stored_text(item.part_id), pack(item),
            )
            for name, item in items.items()
        ]  # fmt: skip
        columns = (
            table.line_id, table.epoch, table.seq, table.group_id, table.decided_ms, table.received_ms,
            table.part_id, table.body,
        )  # fmt: skip
        add_many(connection, columns, rows)

    def _add_counts(self, connection: sa.Connection, line_id: int, counts: BatchCounts) -> None:
        table = schema.tally.c
        add_many(
            connection,
            (table.step_ms, table.start_ms, table.group_id, table.n, table.late),
            [(*key, *n) for key, n in sorted(counts.rows.items())],
            "ON CONFLICT (step_ms, start_ms, group_id) "
            "DO UPDATE SET n = tally.n + excluded.n, late = tally.late + excluded.late",
        )
        self._add_latencies(connection, line_id, counts)

    def _add_gone(self, connection: sa.Connection, line_id: int, batch: LineBatch) -> None:
        """Note of when messages are gone; what goes batch by batch for hours is a row for each hour."""
        from_ms, to_ms = batch.passed_over_ms
        adding = self._insert(schema.gone).values(
            line_id=line_id, hour_ms=from_ms - from_ms % schema.HOUR_MS, from_ms=from_ms, to_ms=to_ms,
            n=batch.passed_over,
        )  # fmt: skip
        there, new = schema.gone.c, adding.excluded
        connection.execute(
            adding.on_conflict_do_update(
                index_elements=["line_id", "hour_ms"],
                set_={
                    "from_ms": sa.case((there.from_ms < new.from_ms, there.from_ms), else_=new.from_ms),
                    "to_ms": sa.case((there.to_ms > new.to_ms, there.to_ms), else_=new.to_ms),
                    "n": there.n + new.n,
                },
            )
        )

    def _add_latencies(self, connection: sa.Connection, line_id: int, counts: BatchCounts) -> None:
        table = schema.latency.c
        for step in schema.STEPS_MS:
            starts = {start for of, start, _ in counts.latencies if of == step}
            for first, last in stretches(starts, _NEAR_STEPS * step):
                found = connection.execute(
                    sa.select(table.start_ms, table.kind, table.counts).where(
                        table.step_ms == step, table.line_id == line_id, table.start_ms.between(first, last)
                    )
                )
                for start, kind, before in found:
                    if (step, start, kind) in counts.latencies:
                        add_packed(counts.latencies[step, start, kind], before)
        add_many(
            connection,
            (table.step_ms, table.start_ms, table.line_id, table.kind, table.counts),
            [
                (step, start, line_id, kind, packed(bins))
                for (step, start, kind), bins in sorted(counts.latencies.items())
            ],
            "ON CONFLICT (step_ms, start_ms, line_id, kind) DO UPDATE SET counts = excluded.counts",
        )


def _counts_without_rows(counts: sa.Table, before_ms: int, newest_ms: int) -> sa.Delete:
    """Remove the counts of old steps, and of those after the newest arrival, that have no verdict left.

    Only verdicts that were counted there keep a count: another line's of that time are longer there where its
    forwarder sent them later.
    """
    verdict, grp, start, step = schema.verdict.c, schema.grp.c, counts.c.start_ms, counts.c.step_ms
    left = sa.select(verdict.id).where(verdict.decided_ms >= start, verdict.decided_ms < start + step)
    if counts is schema.tally:
        left = left.where(verdict.group_id == counts.c.group_id)
    else:
        left = left.join(schema.grp, grp.id == verdict.group_id).where(
            grp.line_id == counts.c.line_id, grp.kind == counts.c.kind, grp.reason != Reason.GOLDEN
        )
    # No EXISTS: PostgreSQL would join all verdicts with all counts, and take minutes, where it has an index.
    first = left.limit(1).correlate(counts).scalar_subquery()
    return counts.delete().where(sa.or_(start + step <= before_ms, start > newest_ms), first.is_(None))
