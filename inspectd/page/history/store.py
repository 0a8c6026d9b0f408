"""The history's file, as its one writer has it: a batch and the cursor after it are one transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from inspectd.client import (
    Cursor,
    Event,
    GoldenRecord,
    Item,
    LossReason,
    Lost,
    PartVerdict,
    Position,
    Verdict,
)
from inspectd.client.session import position_of
from inspectd.page.history import schema
from inspectd.page.history.bins import SCORE_PER_OCTAVE, bin_of
from inspectd.page.history.live_notes import DriftSample, LiveNotes
from inspectd.page.history.rows import Group, Numbered, decided_ms, group_of, pack
from inspectd.page.history.tallies import STEPS_MS, Tallies

_MAX_VIEWS: Final = 20_000
"""Views whose recipe is remembered until their part comes."""
_HEARD: Final = (("event", "ms"), ("golden", "ms"), ("mark", "ms"), ("heard", "to_ms"))
"""Tables of changes and of what was heard live, and where the time of a row stands."""
_MARK_PAUSE_MS: Final = 60_000
"""A line that changes recipes from part to part gets one mark a minute, not one a part."""
_COUNTS_SHARE: Final = 0.5
"""Of the room: counts, and what was heard live, that take more go before verdicts do."""
_ROW_BYTES: Final = 130
"""What a verdict takes beside its body: the row itself, and its places in the indexes."""
_SAMPLED: Final = 100
"""Verdicts whose bodies tell how long they are."""


class Batch(msgspec.Struct):
    """What one transaction writes.

    Attributes:
        items: verdicts and losses, in order.
        cursor: where a reader goes on after them; None: it has none yet.
        events: of the line, heard live.
        golden: records of checks with golden parts, heard live.
        drift: samples.
        heard_ms: until when what is only heard live was listened to; None: nothing is heard now.
    """

    items: Sequence[Item]
    cursor: Cursor | None
    events: Sequence[Event] = ()
    golden: Sequence[GoldenRecord] = ()
    drift: Sequence[DriftSample] = ()
    heard_ms: int | None = None


class Gap(msgspec.Struct, frozen=True):
    """A gap that the line may fill yet: everything strictly between two positions."""

    id: int
    after: Position
    before: Position
    from_ms: int | None
    to_ms: int | None


class HistoryStore:
    """Writes one line's history. Belongs to the thread that made it.

    Every method raises `schema.HistoryDamagedError` where the file is damaged, and `sqlite3.Error` where the
    disk does not take it; after either this object is of no more use: close it and make another one.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            HistoryDamagedError: it is damaged, or of another version.
            sqlite3.Error: it cannot be opened.
            OSError: it cannot be made.
        """
        if not os.path.lexists(path):
            schema.create(path)
        self._path = path
        self._connection = schema.connect(path)
        state = path.stat()
        self._identity = state.st_dev, state.st_ino
        self._notes = LiveNotes(self._connection)
        self._views: dict[tuple[int, int], str] = {}
        self._marked_ms: dict[tuple[str, str], int] = {}
        self.counts_removed = 0
        """Rows of counts, and of what was heard live, that had to go for room since it was opened."""
        with _naming():
            meta = dict(self._connection.execute("SELECT key, value FROM meta"))
            rows = self._connection.execute(
                "SELECT id, kind, camera, region, recipe, verdict, reason FROM grp"
            )
            self._groups = {Group(*row[1:]): int(row[0]) for row in rows}
            self._bins = set(self._connection.execute("SELECT group_id, score_bin FROM grp_bin"))
            self._in_force: dict[tuple[str, str, str], str] = {
                (row[0], row[1], row[2]): row[3]
                for row in self._connection.execute("SELECT camera, region, recipe, bank FROM in_force")
            }
            # Kept beside the rows: to count millions of them takes seconds.
            self._verdicts: int = (
                meta.get("verdicts") or self._connection.execute("SELECT count(*) FROM verdict").fetchone()[0]
            )
            self._open_gaps = bool(
                self._connection.execute("SELECT count(*) FROM gap WHERE to_ms IS NULL").fetchone()[0]
            )
        self.cursor = _cursor(meta)
        """Where a reader goes on; None: the file holds nothing yet."""
        self.last_ms: int | None = meta.get("last_ms")
        """When the last verdict in it was decided; None: there is none."""
        self._epoch: int | None = meta.get("last_epoch")
        self._recipes: dict[tuple[str, str], str] = {
            (camera, region): recipe
            for camera, region, recipe in msgspec.json.decode(meta.get("recipes", "[]"))
        }
        self._complete_from_ms: int | None = meta.get("complete_from_ms")
        believed_ns, held_ns = meta.get("believed_ns"), meta.get("held_ns", 0)
        self.believed: tuple[int, int] | None = None if believed_ns is None else (believed_ns, held_ns)
        """The time that is believed instead of the wall clock's, and for how long it has been, in ns."""

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def is_there(self) -> bool:
        """Whether the file still has its name: somebody who deletes it wants it filled anew."""
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return False
        return (state.st_dev, state.st_ino) == self._identity

    @property
    def used_bytes(self) -> int:
        """What the rows take, without room that was given back."""
        with _naming():
            pages, free, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    def newest_ms(self, until_ms: int) -> int | None:
        """When the newest verdict in it up to that time was decided; None: there is none."""
        with _naming():
            newest: int | None = self._connection.execute(
                "SELECT max(decided_ms) FROM verdict WHERE decided_ms <= ?", (until_ms,)
            ).fetchone()[0]
        return newest

    def write(self, batch: Batch) -> int:
        """Write a batch and the cursor after it, or nothing of either; how many verdicts were new."""
        added = 0
        with self._transaction():
            tallies = Tallies()
            for item in batch.items:
                if isinstance(item, Lost):
                    self._add_gap(item)
                else:
                    added += self._add(item, tallies)
            tallies.write(self._connection)
            for event in batch.events:
                self._notes.add_event(event)
            for record in batch.golden:
                self._notes.add_golden(record)
            for sample in batch.drift:
                self._notes.add_drift(sample)
            self._notes.hear(batch.heard_ms)
            if batch.cursor is not None:
                self._set_meta(
                    plant=batch.cursor.plant, line=batch.cursor.line,
                    epoch=batch.cursor.position.epoch, seq=batch.cursor.position.seq,
                    last_ms=self.last_ms, last_epoch=self._epoch, complete_from_ms=self._complete_from_ms,
                    recipes=_as_json(self._recipes),
                )  # fmt: skip
        self.cursor = batch.cursor or self.cursor
        return added

    def unanswered(self) -> Gap | None:
        """The oldest gap that is there only because the line did not answer; None: there is none."""
        with _naming():
            row = self._connection.execute(
                "SELECT id, after_epoch, after_seq, before_epoch, before_seq, from_ms, to_ms FROM gap "
                "WHERE why = ? AND to_ms IS NOT NULL ORDER BY id LIMIT 1",
                (LossReason.UNANSWERED,),
            ).fetchone()
        return None if row is None else Gap(row[0], Position(*row[1:3]), Position(*row[3:5]), *row[5:])

    def fill(self, gap: Gap, items: Sequence[Item], *, is_done: bool) -> int:
        """Write what the line gave later of a gap, and what is left of that, or nothing of either.

        How many verdicts were new. Where the reader goes on, what is in force and the marks of changes are
        those of what came live: none of them is moved.

        Args:
            gap: it.
            items: verdicts and losses within it, in order.
            is_done: nothing more is to come of it.
        """
        added = 0
        with self._transaction():
            tallies = Tallies()
            for item in items:
                if isinstance(item, Lost):
                    self._insert_gap(item, gap.from_ms, gap.to_ms)
                else:
                    added += self._insert(item, tallies)
            tallies.write(self._connection)
            if is_done:
                self._connection.execute("DELETE FROM gap WHERE id = ?", (gap.id,))
            elif items:
                last = position_of(items[-1])
                is_same = last.epoch == gap.before.epoch
                self._connection.execute(
                    "UPDATE gap SET after_epoch = ?, after_seq = ?, count = ? WHERE id = ?",
                    (last.epoch, last.seq, gap.before.seq - last.seq - 1 if is_same else None, gap.id),
                )
        return added

    def believe(self, believed: tuple[int, int] | None) -> None:
        """Keep what `believed` says for the next start; None: the wall clock is believed."""
        if believed != self.believed:
            with self._transaction():
                self._set_meta(**dict(zip(("believed_ns", "held_ns"), believed or (None, None), strict=True)))
            self.believed = believed

    def prune(self, before_ms: int, max_bytes: int, most: int) -> int:
        """Remove at most so many of the oldest rows that are too old or too much; how many it were.

        Counts by time are kept until `before_ms` even where their rows had to go for room. But where they,
        with what was heard live, take more than half of it, a few hours of them go in this step, and no
        verdicts.

        Args:
            before_ms: older rows are too old.
            max_bytes: what the rows may take.
            most: rows to remove in this step.
        """
        used = self.used_bytes
        over = used > max_bytes
        removed = 0
        with self._transaction():
            if over and used - self._verdict_bytes() > _COUNTS_SHARE * max_bytes:
                removed = self._remove_oldest_counts(most)
                self.counts_removed += removed
                over = removed == 0
            oldest = self._connection.execute(
                "SELECT id, decided_ms FROM verdict ORDER BY decided_ms, id LIMIT ?", (most,)
            ).fetchall()
            going = [row for row in oldest if over or row[1] < before_ms]
            if going:
                self._connection.executemany("DELETE FROM verdict WHERE id = ?", [row[:1] for row in going])
                removed += len(going)
                self._verdicts -= len(going)
                # The oldest row that is left may be of the same millisecond: it is not complete.
                self._complete_from_ms = max(self._complete_from_ms or 0, going[-1][1] + 1)
                self._set_meta(complete_from_ms=self._complete_from_ms)
            self._remove("gap", "to_ms", before_ms, most)
            self._remove_counts(before_ms, most)
        return removed

    def give_back(self, pages: int) -> None:
        """Give room that removed rows left back to the disk, a few pages at a time."""
        with _naming():
            self._connection.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()

    # --- within a transaction -----------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _naming():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                before = self._verdicts
                yield
                if self._verdicts != before:
                    self._set_meta(verdicts=self._verdicts)
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def _verdict_bytes(self) -> int:
        """About what the verdicts take."""
        (length,) = self._connection.execute(
            "SELECT avg(length(body) + 2 * coalesce(length(part_id), 0)) "
            "FROM (SELECT body, part_id FROM verdict ORDER BY id LIMIT ?)",
            (_SAMPLED,),
        ).fetchone()
        return int(self._verdicts * ((length or 0) + _ROW_BYTES))

    def _remove_oldest_counts(self, most: int) -> int:
        """Remove the oldest few hours of counts and of what was heard live; how many rows it were."""
        ends = [
            self._connection.execute(
                "SELECT min(start_ms) + ?1 FROM agg WHERE step_ms = ?1", (step,)
            ).fetchone()[0]
            for step in STEPS_MS
        ] + [
            self._connection.execute(f"SELECT min({column}) FROM {table}").fetchone()[0]  # noqa: S608 - this file's
            for table, column in (("drift", "start_ms"), *_HEARD)
        ]
        known = [end for end in ends if end is not None]
        return self._remove_counts(min(known) + STEPS_MS[-1], most) if known else 0

    def _remove_counts(self, before_ms: int, most: int) -> int:
        """Remove counts of older times, and what was heard live before; how many rows it were."""
        removed = sum(self._remove(*each, before_ms, most) for each in _HEARD)
        removed += self._connection.execute("DELETE FROM drift WHERE start_ms < ?", (before_ms,)).rowcount
        for step in STEPS_MS:
            removed += self._connection.execute(
                "DELETE FROM agg WHERE step_ms = ? AND start_ms < ?", (step, before_ms - step)
            ).rowcount
        return removed

    def _remove(self, table: str, column: str, before_ms: int, most: int) -> int:
        return self._connection.execute(
            f"DELETE FROM {table} WHERE id IN "  # noqa: S608 - the names are this file's
            f"(SELECT id FROM {table} WHERE {column} < ? LIMIT ?)",
            (before_ms, most),
        ).rowcount

    def _insert(self, item: Numbered, tallies: Tallies) -> bool:
        """Add a verdict's row and count it; False if it was there already."""
        at = decided_ms(item)
        view = item if isinstance(item, Verdict) else None
        recipe = "" if isinstance(item, Verdict) else self._recipe_of(item)
        group_id = self._group_id(group_of(item, recipe))
        score_bin = None if view is None or view.score is None else bin_of(view.score, SCORE_PER_OCTAVE)
        done = self._connection.execute(
            "INSERT OR IGNORE INTO verdict "
            "(epoch, seq, group_id, decided_ms, score, score_bin, part_id, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                item.epoch, item.seq, group_id, at,
                view.score if view else None, score_bin, item.part_id, pack(item),
            ),
        )  # fmt: skip
        if done.rowcount == 0:
            return False
        self._verdicts += 1
        if score_bin is not None and (group_id, score_bin) not in self._bins:
            self._connection.execute("INSERT OR IGNORE INTO grp_bin VALUES (?, ?)", (group_id, score_bin))
            self._bins.add((group_id, score_bin))
        tallies.add(item, group_id)
        return True

    def _add(self, item: Numbered, tallies: Tallies) -> bool:
        """Add the verdict that comes next; False if it was there already."""
        if not self._insert(item, tallies):
            return False
        at = decided_ms(item)
        if self._open_gaps:
            # A clock that was set back meanwhile: then it may be any of the time between.
            self._connection.execute(
                "UPDATE gap SET from_ms = min(from_ms, ?1), to_ms = max(coalesce(from_ms, ?1), ?1) "
                "WHERE to_ms IS NULL",
                (at,),
            )
            self._open_gaps = False
        if self._epoch is not None and item.epoch != self._epoch:
            self._mark(at, "restart", None, None, str(item.epoch))
        self._epoch, self.last_ms = item.epoch, at
        self._complete_from_ms = at if self._complete_from_ms is None else self._complete_from_ms
        if isinstance(item, Verdict):
            self._see_view(item, at)
        return True

    def _see_view(self, view: Verdict, at: int) -> None:
        """Remember its recipe for its part, and mark what now judges its place."""
        if view.trigger_id is not None:
            self._views[view.epoch, view.seq] = view.recipe
            if len(self._views) > _MAX_VIEWS:
                del self._views[next(iter(self._views))]
        place = view.camera, view.region or ""
        before = self._recipes.get(place)
        title = view.recipe if view.recipe_version is None else f"{view.recipe}@{view.recipe_version}"
        self._recipes[place] = title
        # A file of an earlier version has the name alone: then the version may be the one of before.
        if (
            before not in {None, title, view.recipe}
            and abs(at - self._marked_ms.get(place, 0)) >= _MARK_PAUSE_MS
        ):
            self._marked_ms[place] = at
            self._mark(at, "recipe", *place, f"{before} -> {title}")
        bank = view.bank_sha256
        if bank is None or self._in_force.get((*place, view.recipe)) == bank:
            return
        old = self._in_force.get((*place, view.recipe))
        self._in_force[*place, view.recipe] = bank
        self._connection.execute(
            "INSERT OR REPLACE INTO in_force VALUES (?, ?, ?, ?)", (*place, view.recipe, bank)
        )
        if old is not None:
            self._mark(at, "bank", *place, f"{title}: {old[:16]} -> {bank[:16]}")

    def _recipe_of(self, part: PartVerdict) -> str:
        """The recipe of a part's views, where one of them is known."""
        known = [self._views.pop((part.epoch, view.seq), None) for view in part.views]
        recipe = next((each for each in known if each is not None), "")
        for view in part.views:
            if recipe:
                break
            row = self._connection.execute(  # its views came before this process began
                "SELECT recipe FROM verdict JOIN grp ON grp.id = group_id WHERE epoch = ? AND seq = ?",
                (part.epoch, view.seq),
            ).fetchone()
            recipe = row[0] if row else ""
        return recipe

    def _group_id(self, group: Group) -> int:
        known = self._groups.get(group)
        if known is None:
            done = self._connection.execute(
                "INSERT INTO grp (kind, camera, region, recipe, verdict, reason) VALUES (?, ?, ?, ?, ?, ?)",
                tuple(str(value) for value in group),
            )
            known = self._groups[group] = int(done.lastrowid or 0)
        return known

    def _add_gap(self, lost: Lost) -> None:
        self._insert_gap(lost, self.last_ms, None)
        self._open_gaps = True

    def _insert_gap(self, lost: Lost, from_ms: int | None, to_ms: int | None) -> None:
        self._connection.execute(
            "INSERT INTO gap (after_epoch, after_seq, before_epoch, before_seq, count, why, from_ms, to_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                lost.after.epoch, lost.after.seq, lost.before.epoch, lost.before.seq,
                lost.count, lost.reason, from_ms, to_ms,
            ),
        )  # fmt: skip

    def _mark(self, ms: int, kind: str, camera: str | None, region: str | None, text: str) -> None:
        self._connection.execute(
            "INSERT INTO mark (ms, kind, camera, region, text) VALUES (?, ?, ?, ?, ?)",
            (ms, kind, camera, region or None, text),
        )

    def _set_meta(self, **values: Any) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())


def _as_json(recipes: dict[tuple[str, str], str]) -> str:
    return msgspec.json.encode([(*place, recipe) for place, recipe in recipes.items()]).decode()


def _cursor(meta: dict[str, Any]) -> Cursor | None:
    if "seq" not in meta:
        return None
    return Cursor(meta["plant"], meta["line"], Position(meta["epoch"], meta["seq"]))


@contextmanager
def _naming() -> Iterator[None]:
    """Tell a damaged file from a disk that does not take it."""
    try:
        yield
    except sqlite3.Error as error:
        raise schema.named(error) from error
