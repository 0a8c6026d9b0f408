"""What the journal holds in memory: groups on their way to the disk, and what the disk has not taken yet.

Knows no thread and no alarm: it hands groups over by the function it is given, and is told how it went.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from inspectd import wire
from inspectd.publish.journal.records import Group, Row
from inspectd.wire import PartVerdict, Verdict

_RETRY_NS: Final = 1_000_000_000
_SILENT_NS: Final = 2_000_000_000
"""A disk that is silent for this long has failed."""
_OPENED_WAIT_NS: Final = 25_000_000
"""So long the record of an opened inspection may wait for a verdict to be written with it: for its own, most
often, and the disk is asked once for each part and not twice. A kill in that time leaves no trace of it."""
_MAX_UNRECORDED: Final = 10_000
_ROWS_PER_GROUP: Final = 500

Numbered = Verdict | PartVerdict


class Observer(Protocol):
    """What is reported of groups for the metrics."""

    def journal_committed(self, rows: int, seconds: float) -> None:
        """A group of so many verdicts is on the disk."""

    def journal_unrecorded(self) -> None:
        """A verdict was published that was not recorded."""

    def journal_forgotten(self, rows: int) -> None:
        """So many verdicts can no longer be recorded."""


class Entry(msgspec.Struct, frozen=True):
    """A verdict on its way to the disk and then to the bus."""

    verdict: Numbered
    topic: bytes
    header: bytes
    publish: Callable[[Numbered, bytes, bytes], None]
    """Takes the verdict, the topic and the header that were recorded."""
    closes: str | None = None
    closes_earlier: str | None = None


class Groups:
    """Verdicts between the line's decision and the bus. One group is under way at a time."""

    def __init__(
        self, commit: Callable[[Group], None], max_wait_ns: int, observer: Observer, clock: Callable[[], int]
    ) -> None:
        """Nothing waits yet, and nothing is handed over before `is_settled`.

        Args:
            commit: has a group written; `committed` or `lost` is called when it is known how that went.
            max_wait_ns: how long a verdict may wait for the disk.
            observer: hears of what is recorded and what is not.
            clock: monotonic, in nanoseconds.
        """
        self.is_settled = False
        """The first open succeeded or failed: the epoch is certain, and groups may be handed over."""
        self.is_usable = True
        """False: the disk is not tried again before the next start."""
        self.unrecorded: deque[Row] = deque()
        """What was published without being recorded, and is still to be written."""
        self._commit_group = commit
        self._max_wait_ns = max_wait_ns
        self._observer = observer
        self._clock = clock
        self._waiting: list[Entry] = []
        self._under_way: list[Entry] | None = None
        self._under_way_since_ns = 0
        self._late = False
        """Verdicts are published at once and go to the unrecorded ones, until those are all written."""
        self._writing_rows = 0
        self._open: dict[str, bytes] = {}
        self._new_open: dict[str, bytes] = {}
        self._new_open_since_ns = 0
        self._rewrite_open = False
        self._recorded: list[Callable[[], None]] = []
        self._recorded_next: list[Callable[[], None]] = []
        self._retry_ns = 0

    # --- what the line does -------------------------------------------------------------------------------

    def record(self, entry: Entry) -> None:
        """Record a verdict, then publish it; or publish it marked, where it cannot be recorded in time."""
        if entry.closes is not None:
            self._open.pop(entry.closes, None)
            self._new_open.pop(entry.closes, None)
        if self._late:
            self._publish_unrecorded([entry])
        else:
            self._waiting.append(entry)
            self._hand_over()

    def opened(self, key: str, record: bytes) -> None:
        """Remember what is under way, so that the next start closes it if this one cannot."""
        if not self._new_open:
            self._new_open_since_ns = self._clock()
        self._open[key] = self._new_open[key] = record

    def when_recorded(self, then: Callable[[], None]) -> None:
        """Call `then` once everything handed in so far is on the disk, or will not be in time."""
        if self._late:
            then()
            return
        self._recorded_next.append(then)
        self._hand_over()

    @property
    def waiting(self) -> int:
        """Verdicts that are decided and not yet published."""
        under_way = len(self._under_way) if self._under_way is not None and not self._late else 0
        return len(self._waiting) + under_way

    @property
    def is_idle(self) -> bool:
        """True when nothing waits for the disk."""
        return self._under_way is None and not self._waiting and not self.unrecorded

    def turn(self, now_ns: int) -> bool:
        """Do what is due: hand over a group, stop waiting for one, try a failed disk again.

        Returns:
            False when the disk has been silent for so long that it has failed.
        """
        if self._under_way is not None:
            silent_ns = now_ns - self._under_way_since_ns
            if silent_ns > self._max_wait_ns:
                self.stop_waiting()
            return silent_ns <= _SILENT_NS
        if self._late and now_ns >= self._retry_ns:
            self._hand_over_unrecorded()
        elif self._new_open and now_ns - self._new_open_since_ns >= _OPENED_WAIT_NS:
            self._hand_over()
        return True

    def wake_ns(self) -> int | None:
        """When `turn` has something to do; None when never."""
        if self._under_way is not None:
            return None if self._late else self._under_way_since_ns + self._max_wait_ns
        return self._new_open_since_ns + _OPENED_WAIT_NS if self._new_open and not self._late else None

    # --- how it went --------------------------------------------------------------------------------------

    def committed(self, seconds: float) -> bool:
        """The group under way is on the disk; True when with it the disk has taken all it owed."""
        entries, self._under_way = self._under_way or [], None
        if not self._late:
            self._observer.journal_committed(len(entries), seconds)
            for entry in entries:
                entry.publish(entry.verdict, entry.topic, entry.header)
            self._call_recorded()
            if self._waiting or self._recorded_next:
                self._hand_over()
            return False
        for _ in range(self._writing_rows):
            self.unrecorded.popleft()
        self._writing_rows = 0
        if self.unrecorded:
            self._hand_over_unrecorded()
            return False
        self._late = False
        return True

    def lost(self, *, has_failed: bool) -> None:
        """The group under way is not on the disk: publish it, marked, and write it later.

        Args:
            has_failed: the disk takes nothing now; else the group is written again at once.
        """
        self.stop_waiting()
        self._under_way = None
        self._writing_rows = 0
        self._retry_ns = self._clock() + (_RETRY_NS if has_failed else 0)

    def put_off(self) -> None:
        """Try the disk again in a while only."""
        self._retry_ns = max(self._retry_ns, self._clock() + _RETRY_NS)

    def rewrite_open(self) -> None:
        """The file is a new one: write everything that is under way with the next group."""
        self._rewrite_open = True

    def stop_waiting(self) -> None:
        """The disk takes too long: publish what waits for it, marked, and from now on what is decided."""
        if self._late:
            return
        self._late = True
        self._rewrite_open = True
        entries = [*(self._under_way or []), *self._waiting]
        self._waiting = []
        self._writing_rows = 0
        self._publish_unrecorded(entries)
        self._call_recorded()

    # --- groups -------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Give everything that waits to the thread, if it is free."""
        if self._under_way is not None or self._late or not self.is_settled:
            return
        entries, self._waiting = self._waiting, []
        self._recorded, self._recorded_next = self._recorded_next, []
        rows = [_row(entry, entry.verdict.seq, entry.header) for entry in entries]
        self._commit(entries, rows)

    def _hand_over_unrecorded(self) -> None:
        if not self.is_usable:
            return
        rows = [self.unrecorded[n] for n in range(min(_ROWS_PER_GROUP, len(self.unrecorded)))]
        self._writing_rows = len(rows)
        self._rewrite_open = True
        self._commit([], rows)

    def _commit(self, entries: list[Entry], rows: Sequence[Row]) -> None:
        opened = self._open if self._rewrite_open else self._new_open
        group = Group(rows, list(opened.items()), self._rewrite_open)
        self._new_open, self._rewrite_open = {}, False
        self._under_way = entries
        self._under_way_since_ns = self._clock()
        self._commit_group(group)

    def _publish_unrecorded(self, entries: list[Entry]) -> None:
        for entry in entries:
            verdict = msgspec.structs.replace(entry.verdict, journaled=False)
            header = wire.encode(verdict)
            self.unrecorded.append(_row(entry, verdict.seq, header))
            self._observer.journal_unrecorded()
            entry.publish(verdict, entry.topic, header)
        excess = len(self.unrecorded) - _MAX_UNRECORDED
        if excess > 0:
            for _ in range(excess):
                self.unrecorded.popleft()
            self._writing_rows = max(0, self._writing_rows - excess)
            self._observer.journal_forgotten(excess)

    def _call_recorded(self) -> None:
        calls = [*self._recorded, *self._recorded_next] if self._late else self._recorded
        if self._late:
            self._recorded_next = []
        self._recorded = []
        for then in calls:
            then()


def _row(entry: Entry, seq: int, header: bytes) -> Row:
    return Row(seq, entry.topic, header, entry.closes, entry.closes_earlier)
