"""Asks a line again for what it did not answer: its disk may have hung, and its journal has the verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from inspectd.client import ClientKeys, Item, Lost, Position, VerdictReader
from inspectd.page.history.store import Gap, HistoryStore
from inspectd.page.history.time_order import TimeOrder

_PATIENCE_SECONDS: Final = 86_400.0
"""What is asked for again holds up nothing: the history goes on with what comes live."""


class Filled(NamedTuple):
    """What was written of a gap.

    Attributes:
        items: verdicts and losses, in order.
        added: how many verdicts of it were new.
        order: of the times in this gap, up to them.
    """

    items: Sequence[Item]
    added: int
    order: TimeOrder


class GapReader:
    """Fills the gaps `unanswered` of a history, the oldest first. Belongs to the store's thread.

    Args:
        verdicts: the line's socket for verdicts.
        sync: its socket for replays.
        keys: for TCP with keys.
    """

    def __init__(self, verdicts: str, sync: str, keys: ClientKeys | None) -> None:
        self._verdicts, self._sync, self._keys = verdicts, sync, keys
        self._reader: VerdictReader | None = None
        self._gap: Gap | None = None
        self._order: TimeOrder | None = None

    def close(self) -> None:
        """Disconnect; a gap that was being filled is gone on with later."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._gap = self._order = None

    def fill(self, store: HistoryStore, most: int, kept_ms: float) -> Filled | None:
        """Write what has come of a gap, without waiting; None: there is none, or nothing has.

        Args:
            store: the history.
            most: verdicts and losses to take in.
            kept_ms: so long verdicts are kept.

        Raises:
            InputError: an endpoint or a key cannot be used, or it is another line.
        """
        if self._reader is None or self._gap is None or self._order is None:
            self._gap = store.unanswered()
            if self._gap is None or store.cursor is None:
                return None
            self._order = TimeOrder(kept_ms, self._gap.from_ms)
            self._reader = VerdictReader(
                self._verdicts, self._sync, cursor=replace(store.cursor, position=self._gap.after),
                keys=self._keys, patience_seconds=_PATIENCE_SECONDS,
            )  # fmt: skip
        items: list[Item] = []
        is_done = False
        while not is_done and len(items) < most and (item := self._reader.receive(0)) is not None:
            found, is_done = _within(item, self._gap)
            items += found
        if not items and not is_done:
            return None
        filled = Filled(items, store.fill(self._gap, items, is_done=is_done), self._order)
        if is_done:
            self.close()
        return filled


def _within(item: Item, gap: Gap) -> tuple[list[Item], bool]:
    """What of an item belongs into a gap, and whether the gap ends with it."""
    if not isinstance(item, Lost):
        here = Position(item.epoch, item.seq)
        return ([item], gap.before == Position(here.epoch, here.seq + 1)) if here < gap.before else ([], True)
    if gap.after < item.before < gap.before:
        return [item], False
    if item.after >= gap.before:
        return [], True
    is_known = item.after.epoch == gap.before.epoch
    count = gap.before.seq - item.after.seq - 1 if is_known else None
    return ([replace(item, before=gap.before, count=count)] if count != 0 else []), True
