"""What one transaction of the hub adds, and the counts of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from inspectd.fleet.names import LineNames
from inspectd.hub.messages import stored_text
from inspectd.hub.schema import STEPS_MS
from inspectd.page.history.bins import LATENCY_PER_OCTAVE, bin_of
from inspectd.page.history.rows import Group, Numbered, RowKind, decided_ms, group_of
from inspectd.wire import PartVerdict, Reason, Verdict

_REASONS: Final = frozenset(reason.value for reason in Reason)


class StreamPlace(msgspec.Struct, frozen=True):
    """Up to where a stream was read.

    Attributes:
        created: when the stream was made, as the servers say it; empty: nothing was read yet.
        sequence: of the last message that was read; 0: none.
    """

    created: str = ""
    sequence: int = 0


class StoredLine(msgspec.Struct, frozen=True):
    """A line as the database has it.

    Attributes:
        place: up to where its stream was read.
        report_sequence: of the last report that was kept; None: there is none.
        received_ms: when the servers got its newest verdict; None: there is none.
        newest_ms: when, by its own clock, the newest was decided, but not later than that.
    """

    id: int
    names: LineNames
    place: StreamPlace
    report_sequence: int | None = None
    received_ms: int | None = None
    newest_ms: int | None = None


class LineBatch(msgspec.Struct, frozen=True):
    """What was read of a line's stream.

    Attributes:
        items: verdicts, in the stream's order.
        before: the place that they were read from.
        after: the place after them.
        foreign: messages between them that are no verdicts.
        passed_over: messages that the stream had no more when they were to be read.
        passed_over_ms: the time that they are of: from the last verdict before to the next one after them, or
            to when they were found gone. (0, 0): nobody knows.
        received_ms: when the servers got the newest that is no repair of them, by their clock; None: there is
            none.
        late_ms: so long before that it had been decided, by the line's clock.
        arrived_ms: the same of each of the items; empty: each at its own time.
        repaired: of each of the items, whether the forwarder added it later; empty: none.
        misdated: verdicts whose own time cannot be right, by when the servers got them and what came before.
    """

    items: Sequence[Numbered]
    before: StreamPlace
    after: StreamPlace
    foreign: int = 0
    passed_over: int = 0
    passed_over_ms: tuple[int, int] = (0, 0)
    received_ms: int | None = None
    late_ms: int = 0
    arrived_ms: Sequence[int] = ()
    repaired: Sequence[bool] = ()
    misdated: int = 0

    def part(self, first: int, end: int) -> LineBatch:
        """The same with some of the items alone."""
        return replace(
            self,
            items=self.items[first:end],
            arrived_ms=self.arrived_ms[first:end],
            repaired=self.repaired[first:end],
        )


class RowName(NamedTuple):
    """What identifies a verdict of a line for ever."""

    epoch: int
    seq: int


class BatchCounts:
    """Counts of what a transaction adds, by step of time.

    Attributes:
        rows: verdicts and late ones among them, by step, its start and group.
        latencies: counts by bin, by step, its start and kind.
    """

    def __init__(self, added: Iterable[tuple[Numbered, int]]) -> None:
        """Of verdicts that were not there before, each with its group."""
        self.rows: dict[tuple[int, int, int], tuple[int, int]] = {}
        self.latencies: dict[tuple[int, int, str], dict[int, int]] = {}
        finest, *coarser = STEPS_MS
        rows, late, bins = (
            Counter[tuple[int, int]](),
            Counter[tuple[int, int]](),
            Counter[tuple[int, str, int]](),
        )
        for item, group_id in added:
            at = decided_ms(item)
            start = at - at % finest
            kind = RowKind.PART if isinstance(item, PartVerdict) else RowKind.FRAME
            rows[start, group_id] += 1
            if item.late:
                late[start, group_id] += 1
            if item.reason is not Reason.GOLDEN:  # no production; of the rows its group keeps them apart
                bins[start, kind.value, bin_of(item.latency_ms, LATENCY_PER_OCTAVE)] += 1
        for step in (finest, *coarser):  # each is a whole number of the finest
            for (start, group_id), n in rows.items():
                key = step, start - start % step, group_id
                before, before_late = self.rows.get(key, (0, 0))
                self.rows[key] = before + n, before_late + late[start, group_id]
            for (start, kind_value, place), n in bins.items():
                counts = self.latencies.setdefault((step, start - start % step, kind_value), {})
                counts[place] = counts.get(place, 0) + n


def stretches(numbers: Iterable[int], gap: int) -> list[tuple[int, int]]:
    """First and last of stretches that have all the numbers, in order; between two lies more than `gap`."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number - found[-1][1] <= gap:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def distinct(items: Iterable[Numbered]) -> dict[RowName, Numbered]:
    """Verdicts by name; of one that comes twice the first."""
    found: dict[RowName, Numbered] = {}
    for item in items:
        found.setdefault(RowName(item.epoch, item.seq), item)
    return found


def arrivals(batch: LineBatch) -> dict[RowName, int]:
    """When the servers got each verdict of a batch; of one that comes twice the first."""
    times = batch.arrived_ms or [decided_ms(item) for item in batch.items]
    found: dict[RowName, int] = {}
    for item, ms in zip(batch.items, times, strict=True):
        found.setdefault(RowName(item.epoch, item.seq), ms)
    return found


def views_to_find(items: dict[RowName, Numbered]) -> set[RowName]:
    """First views of parts, whose recipe is the part's, that do not come before it among the items."""
    seen: set[RowName] = set()
    wanted: set[RowName] = set()
    for own, item in items.items():
        name = first_view(item)
        if name is not None and name not in seen:
            wanted.add(name)
        seen.add(own)
    return wanted


def groups_in(items: dict[RowName, Numbered], found: dict[RowName, str]) -> dict[RowName, Group]:
    """The group of each verdict; a part has its first view's recipe, if that comes before it in the stream.

    A view that comes after its part counts for nothing, whether one transaction has both or not: else a
    database that is filled anew, by other transactions, would have other rows.

    Args:
        items: in the stream's order.
        found: recipes of views that were stored before.
    """
    recipes = dict(found)
    groups: dict[RowName, Group] = {}
    as_stored: dict[Group, Group] = {}
    for own, item in items.items():
        name = first_view(item)
        recipe = "" if name is None else recipes.get(name, "")
        group = group_of(item, recipe)
        if group not in as_stored:  # of thousands of verdicts only a few have another one
            as_stored[group] = Group(*(stored_text(str(text)) for text in group))
        groups[own] = as_stored[group]
        if isinstance(item, Verdict):
            recipes.setdefault(own, item.recipe)
    return groups


def unnamed(group: Group) -> Group:
    """The group of a verdict for whose names the line has no more room: there are a few of them."""
    reason = group.reason if group.reason in _REASONS else ""
    return Group(group.kind, "", "", "", group.verdict, reason)


def first_view(item: Numbered) -> RowName | None:
    """The name of a part's first view; None: it is no part, or has none."""
    if isinstance(item, PartVerdict) and item.views:
        return RowName(item.epoch, item.views[0].seq)
    return None


def judged_by(batch: LineBatch) -> dict[str, str | int | None]:
    """Recipe, version and bank of the last view of a batch that was judged by one; empty: there is none.

    Which is the last the stream's order says; what the forwarder added later as a repair is older. Neither
    time nor epoch says it: the line's clock may have been ahead, and a line whose state was put back may go
    on in an epoch before the last.
    """
    repaired = batch.repaired or [False] * len(batch.items)
    judged = [
        item
        for item, is_repair in zip(batch.items, repaired, strict=True)
        if isinstance(item, Verdict) and item.bank_sha256 is not None and not is_repair
    ]
    if not judged:
        return {}
    return {
        "recipe": stored_text(judged[-1].recipe),
        "recipe_version": judged[-1].recipe_version,
        "bank_sha256": stored_text(judged[-1].bank_sha256),
    }
