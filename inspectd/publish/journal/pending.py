"""The journal's memory: groups on their way to the disk, and verdicts the disk has not taken yet.

Uses no thread and no alarm: it hands groups over by the function it is given, and receives the results.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import msgspec

from inspectd import wire
from inspectd.ipc.rate_limit import RateLimit
from inspectd.publish.journal.records import Group, Levels, Row
from inspectd.publish.journal.state import FILE_IS_NEW, GROUP_LOST, JournalEvent, JournalState, state_after
from inspectd.wire import PartVerdict, Verdict

_RETRY_NS: Final = 1_000_000_000
_SILENT_NS: Final = 2_000_000_000
"""A disk that is silent for this long has failed."""
_OPEN_WAIT_NS: Final = 25_000_000
"""So long the record of what is open may wait for a verdict to be written with it: for its own, most often,
and the disk is asked once for each part and not twice. A kill in that time leaves no trace of it."""
_GROUP_EVERY_NS: Final = 20_000_000
_GROUPS_AT_ONCE: Final = 4
"""A group costs as much as the writing of ten verdicts. So only a few in a row are handed over as soon as the
disk is free; on a line that goes on like that each holds all that came in `group_every_ns`."""
_MAX_UNRECORDED: Final = 10_000
_ROWS_PER_GROUP: Final = 500

Numbered = Verdict | PartVerdict


class JournalMetrics(Protocol):
    """Takes what the journal reports for the metrics."""

    def journal_recording(self, *, recording: bool) -> None:
        """It records now, or does not."""

    def journal_committed(self, rows: int, seconds: float) -> None:
        """A group of so many verdicts is on the disk."""

    def journal_unrecorded(self) -> None:
        """A verdict was published that was not recorded."""

    def journal_forgotten(self, rows: int) -> None:
        """Too many verdicts wait for the disk: so many of the oldest will never be recorded."""

    def journal_set_aside(self) -> None:
        """A damaged file was set aside."""

    def journal_levels(self, levels: Levels) -> None:
        """Its size, its age, and the disk's free space."""


class Entry(msgspec.Struct, frozen=True):
    """A verdict on its way to the disk and then to the bus."""

    verdict: Numbered
    topic: bytes
    header: bytes
    publish: Callable[[Numbered, bytes, bytes], None]
    """Takes the verdict, the topic and the header that were recorded."""
    closes: str | None = None
    closes_earlier: str | None = None


class _HandedOver(msgspec.Struct):
    """The group that the thread has."""

    since_ns: int
    entries: list[Entry]
    """To be published when it is on the disk."""
    then: list[Callable[[], None]]
    """To be called when it is on the disk."""
    unrecorded_rows: int
    """The oldest of `unrecorded`, which it writes."""


class _OpenTable:
    """Records of what is open, and which of them the file does not have yet."""

    def __init__(self) -> None:
        self._all: dict[str, bytes] = {}
        self._new: dict[str, bytes] = {}
        self._new_since_ns = 0
        self._is_to_rewrite = False

    def add(self, key: str, record: bytes, now_ns: int) -> None:
        if not self._new:
            self._new_since_ns = now_ns
        self._all[key] = self._new[key] = record

    def remove(self, key: str) -> None:
        self._all.pop(key, None)
        self._new.pop(key, None)

    def rewrite(self) -> None:
        """Have the next group write all of it, in place of what the file has."""
        self._is_to_rewrite = True

    def due_ns(self) -> int | None:
        """When to write without a verdict: at once where the file is new; None when it has everything."""
        if self._is_to_rewrite and self._all:
            return self._new_since_ns
        return self._new_since_ns + _OPEN_WAIT_NS if self._new else None

    def group(self, rows: list[Row]) -> Group:
        """A group of these rows and of what the file does not have yet."""
        group = Group(
            rows, list((self._all if self._is_to_rewrite else self._new).items()), self._is_to_rewrite
        )
        self._new, self._is_to_rewrite = {}, False
        return group


class Pending:
    """Verdicts between the line's decision and the bus. The thread has one group at a time."""

    def __init__(
        self,
        commit: Callable[[Group], None],
        max_wait_ns: int,
        observer: JournalMetrics,
        clock: Callable[[], int],
        *,
        group_every_ns: int,
    ) -> None:
        """Nothing waits yet.

        Args:
            commit: has a group written; `committed`, or an event of `GROUP_LOST`, reports the result.
            max_wait_ns: how long a verdict may wait for the disk.
            observer: takes what is recorded and what is not.
            clock: monotonic, in nanoseconds.
            group_every_ns: from one group to the next where there is always something to write.
        """
        self.state = JournalState.OPENING
        """Changed by `on` alone."""
        self.unrecorded: deque[Row] = deque()
        """Verdicts that were published without being recorded, and are still to be written."""
        self._commit = commit
        self._max_wait_ns = max_wait_ns
        self._observer = observer
        self._clock = clock
        self._waiting: list[Entry] = []
        self._then: list[Callable[[], None]] = []
        self._open = _OpenTable()
        self._handed_over: _HandedOver | None = None
        self._retry_ns = 0
        self._rate = RateLimit(group_every_ns, _GROUPS_AT_ONCE)

    # --- what the line does -------------------------------------------------------------------------------

    def record(self, entry: Entry) -> None:
        """Record a verdict, then publish it; or publish it marked, where it cannot be recorded in time."""
        if entry.closes is not None:
            self._open.remove(entry.closes)
        if self.state.is_late:
            self._publish_unrecorded([entry])
        else:
            self._waiting.append(entry)
            self._hand_over()

    def remember_open(self, key: str, record: bytes) -> None:
        """Remember what is open, so that the next start closes it if this one cannot."""
        self._open.add(key, record, self._clock())

    def when_recorded(self, then: Callable[[], None]) -> None:
        """Call `then` once everything handed in so far is on the disk, or will not be in time."""
        if self.state.is_late:
            then()
            return
        self._then.append(then)
        self._hand_over()

    @property
    def waiting(self) -> int:
        """Number of verdicts that are decided and not yet published."""
        return len(self._waiting) + (len(self._handed_over.entries) if self._handed_over is not None else 0)

    @property
    def is_idle(self) -> bool:
        """True when nothing waits for the disk."""
        return self._handed_over is None and not self._waiting and not self.unrecorded

    def turn(self, now_ns: int) -> JournalEvent | None:
        """Hand over what is due. Returns what the time alone brought about, for `on`."""
        if self._handed_over is not None:
            silent_ns = now_ns - self._handed_over.since_ns
            if silent_ns > _SILENT_NS:
                return JournalEvent.SILENT
            is_overdue = silent_ns > self._max_wait_ns and not self.state.is_late
            return JournalEvent.OVERDUE if is_overdue else None
        if self.state.is_late:
            if now_ns >= self._retry_ns:
                self._hand_over_unrecorded()
        elif (due_ns := self._due_ns()) is not None and now_ns >= due_ns:
            self._hand_over()
        return None

    def wake_ns(self) -> int | None:
        """When `turn` has something to do; None: at no set time. In a late state any call may retry."""
        if self.state.is_late:
            return None
        if self._handed_over is not None:
            return self._handed_over.since_ns + self._max_wait_ns
        return self._due_ns()

    # --- how it went --------------------------------------------------------------------------------------

    def on(self, event: JournalEvent) -> None:
        """Go to the state that follows. Where that is a late one, publish what waits, marked.

        Raises:
            RuntimeError: the event cannot occur in this state.
        """
        before, self.state = self.state, state_after(self.state, event)
        if event in FILE_IS_NEW:
            self._open.rewrite()
        if self.state.is_late and not before.is_late:
            self._stop_waiting()
        if event in GROUP_LOST:
            self._handed_over = None
            self._retry_ns = self._clock() + (_RETRY_NS if self.state.has_failed else 0)
        elif self.state.has_failed and not before.has_failed:
            # Later failures do not put off the next try: readers may ask without end.
            self._retry_ns = self._clock() + _RETRY_NS

    def committed(self, seconds: float) -> None:
        """The group is on the disk, after so many seconds: publish what is in it, and hand over the next."""
        handed_over, self._handed_over = self._handed_over, None
        assert handed_over is not None
        if self.state.is_late:
            for _ in range(handed_over.unrecorded_rows):
                self.unrecorded.popleft()
            self.on(JournalEvent.COMMITTED if self.unrecorded else JournalEvent.CAUGHT_UP)
            if self.unrecorded:
                self._hand_over_unrecorded()
            return
        self.on(JournalEvent.COMMITTED)
        self._observer.journal_committed(len(handed_over.entries), seconds)
        for entry in handed_over.entries:
            entry.publish(entry.verdict, entry.topic, entry.header)
        for then in handed_over.then:
            then()
        if self._waiting or self._then:
            self._hand_over()

    def _stop_waiting(self) -> None:
        """Publish what waits for the disk, marked."""
        entries, self._waiting = self._waiting, []
        calls, self._then = self._then, []
        if self._handed_over is not None:
            entries, self._handed_over.entries = [*self._handed_over.entries, *entries], []
            calls, self._handed_over.then = [*self._handed_over.then, *calls], []
        self._open.rewrite()
        self._publish_unrecorded(entries)
        for then in calls:
            then()

    # --- groups -------------------------------------------------------------------------------------------

    def _due_ns(self) -> int | None:
        """When the next group is, given that the thread is free; None while there is nothing for one."""
        return self._rate.due_ns if self._waiting or self._then else self._open.due_ns()

    def _hand_over(self) -> None:
        """Give everything that waits to the thread, if it is free and may have a group again."""
        now_ns = self._clock()
        if (
            self._handed_over is not None
            or self.state is not JournalState.RECORDING
            or now_ns < self._rate.due_ns
        ):
            return
        self._rate.done(now_ns)
        entries, self._waiting = self._waiting, []
        then, self._then = self._then, []
        group = self._open.group([_row(entry, entry.verdict.seq, entry.header) for entry in entries])
        self._handed_over = _HandedOver(now_ns, entries, then, 0)
        self._commit(group)

    def _hand_over_unrecorded(self) -> None:
        """Give the oldest of what was published before it was recorded to the thread, which is free."""
        if self.state is JournalState.UNUSABLE:
            return
        rows = [self.unrecorded[n] for n in range(min(_ROWS_PER_GROUP, len(self.unrecorded)))]
        self._open.rewrite()
        group = self._open.group(rows)
        self._handed_over = _HandedOver(self._clock(), [], [], len(rows))
        self._commit(group)

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
            if self._handed_over is not None:
                self._handed_over.unrecorded_rows = max(0, self._handed_over.unrecorded_rows - excess)
            self._observer.journal_forgotten(excess)


def group_every_ns(deadlines_ns: Iterable[int]) -> int:
    """How long a verdict may wait for others to be written with it, on a line with these deadlines."""
    return min(_GROUP_EVERY_NS, min(deadlines_ns) // 10)


def _row(entry: Entry, seq: int, header: bytes) -> Row:
    return Row(seq, entry.topic, header, entry.closes, entry.closes_earlier)
