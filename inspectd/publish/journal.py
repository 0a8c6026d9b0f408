"""The journal as the line sees it: hands groups to its thread, publishes what is recorded, and never waits.

A verdict is published when the group it is in is on the disk. One group is under way at a time; what is
decided meanwhile is the next one. A disk that takes too long or fails does not hold up the line: verdicts are
then published marked as not recorded, are kept in memory, and are written as soon as the disk takes them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from inspectd.config import Journal as JournalSettings
from inspectd.errors import UnavailableError
from inspectd.publish import wire
from inspectd.publish.journal_file import Group, Levels, Opened, Reading, Row, Stored
from inspectd.publish.journal_mark import Mark
from inspectd.publish.journal_writer import (
    Committed,
    Failed,
    InUse,
    ReadDone,
    ReadJob,
    Result,
    SetAside,
    Writer,
)
from inspectd.publish.replay import Position
from inspectd.records import PartVerdict, Verdict

_OPEN_SECONDS: Final = 4.0
"""How long a start waits for the file; then the line begins without it."""
_CLOSE_SECONDS: Final = 2.0
_RETRY_NS: Final = 1_000_000_000
_SILENT_NS: Final = 2_000_000_000
"""A disk that is silent for this long has failed."""
_OPENED_WAIT_NS: Final = 10_000_000
"""So long the record of an opened inspection may wait for a verdict to be written with it."""
_MAX_UNRECORDED: Final = 10_000
_ROWS_PER_GROUP: Final = 500
_REMIND_NS: Final = 5_000_000_000
_REMIND_FOR_NS: Final = 30_000_000_000

Numbered = Verdict | PartVerdict


class Observer(Protocol):
    """What the journal reports for the metrics."""

    def journal_recording(self, *, recording: bool) -> None:
        """It records now, or does not."""

    def journal_committed(self, rows: int, seconds: float) -> None:
        """A group of so many verdicts is on the disk."""

    def journal_unrecorded(self) -> None:
        """A verdict was published that was not recorded."""

    def journal_forgotten(self, rows: int) -> None:
        """So many verdicts can no longer be recorded."""

    def journal_set_aside(self) -> None:
        """A damaged file was set aside."""

    def journal_levels(self, levels: Levels) -> None:
        """How full it is."""


class Entry(msgspec.Struct, frozen=True):
    """A verdict on its way to the disk and then to the bus."""

    verdict: Numbered
    topic: bytes
    header: bytes
    publish: Callable[[Numbered, bytes, bytes], None]
    """Takes the verdict, the topic and the header that were recorded."""
    closes: str | None = None
    closes_earlier: str | None = None


class Journal:
    """One line's journal. All of it but the thread it starts runs in the line's one thread."""

    def __init__(
        self,
        folder: Path,
        settings: JournalSettings,
        *,
        observer: Observer,
        say: Callable[[str, str, str], None],
        remind: Callable[[str, str], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Begin to open the journal in `folder`; `await_open` says how it went.

        Args:
            folder: the line's state directory; made if it is not there.
            settings: retention, and how long a verdict may wait.
            observer: hears of what is recorded and what is not.
            say: takes an event's severity, name and detail.
            remind: takes the name and detail of an alarm that still holds, for readers that came meanwhile.
            clock: monotonic, in nanoseconds.
        """
        mark = Mark(folder / "journal.mark").read()
        self.epoch = max(time.time_ns() // 1_000_000, mark.epoch + 1 if mark else 0)
        self.failure: str | None = None
        """Why nothing is recorded; None while it is."""
        self.unfinished: list[tuple[str, bytes]] = []
        """What an earlier start left open: keys and records. Whoever closes them takes them from here."""
        self._observer = observer
        self._tell = say
        self._tell_again = remind
        self._clock = clock
        self._max_wait_ns = int(settings.max_wait_ms * 1e6)
        self._results: deque[Result] = deque()
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_settled = False  # the first open succeeded or failed, the epoch is certain
        self._is_usable = True
        self._waiting: list[Entry] = []
        self._under_way: list[Entry] | None = None
        self._under_way_since_ns = 0
        self._late = False
        """Verdicts are published at once and go to the unrecorded ones, until those are all written."""
        self._unrecorded: deque[Row] = deque()
        self._writing_rows = 0
        self._open: dict[str, bytes] = {}
        self._new_open: dict[str, bytes] = {}
        self._new_open_since_ns = 0
        self._rewrite_open = False
        self._recorded: list[Callable[[], None]] = []
        self._recorded_next: list[Callable[[], None]] = []
        self._retry_ns = 0
        self._reminders: dict[str, tuple[str, int]] = {}
        self._remind_ns = 0
        self._unsaid: list[tuple[str, str, str]] = []
        self._writer = Writer(folder, settings, self.epoch, self._answered)

    # --- what the line does -------------------------------------------------------------------------------

    def await_open(self) -> None:
        """Wait until the journal is open or has failed, for a few seconds at most.

        Raises:
            UnavailableError: another daemon uses it.
        """
        deadline = time.monotonic() + _OPEN_SECONDS
        while not self._is_settled and time.monotonic() < deadline:
            self.take_results()
            time.sleep(0.002)
        if not self._is_settled:
            self._is_settled = True
            self._fail("the disk does not answer")
        for severity, name, detail in self._unsaid:
            self._say(severity, name, detail)
        self._unsaid = []

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

    def read(
        self, first: Position | None, last: Position, limit: int, done: Callable[[Reading | None], None]
    ) -> None:
        """Read verdicts back, from `first` (None: the oldest) to `last`.

        `done` is called in a later turn; with None when the journal cannot be read now.
        """
        job = ReadJob(first, last, limit, lambda reading: done(self._with_unrecorded(reading, job)))
        self._writer.read(job)

    @property
    def state(self) -> str:
        """As heartbeats say it: `recording` or `failed`."""
        return "recording" if self.failure is None else "failed"

    @property
    def waiting(self) -> int:
        """Verdicts that are decided and not yet published."""
        under_way = len(self._under_way) if self._under_way is not None and not self._late else 0
        return len(self._waiting) + under_way

    def turn(self, now_ns: int) -> None:
        """Do what is due: hand over a group, stop waiting for one, try a failed disk again, remind."""
        if self._under_way is not None:
            silent_ns = now_ns - self._under_way_since_ns
            if silent_ns > self._max_wait_ns and not self._late:
                self._stop_waiting()
            if silent_ns > _SILENT_NS:
                self._fail("the disk does not answer")
        elif self._late and now_ns >= self._retry_ns:
            self._hand_over_unrecorded()
        elif self._new_open and now_ns - self._new_open_since_ns >= _OPENED_WAIT_NS:
            self._hand_over()
        self._remind(now_ns)

    def wake_ns(self) -> int | None:
        """When `turn` has something to do; None when never."""
        if self._under_way is not None:
            return None if self._late else self._under_way_since_ns + self._max_wait_ns
        return self._new_open_since_ns + _OPENED_WAIT_NS if self._new_open and not self._late else None

    def fileno(self) -> int:
        """Readable when there are results to take."""
        return self._event_fd

    def take_results(self) -> None:
        """Act on what the thread answered."""
        with contextlib.suppress(BlockingIOError):
            if self._event_fd >= 0:
                os.eventfd_read(self._event_fd)
        while self._results:
            self._take(self._results.popleft())

    def close(self) -> None:
        """Write what waits, as far as the disk takes it in a few seconds, and close the file."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        while (
            self._under_way is not None or self.waiting or self._unrecorded
        ) and time.monotonic() < deadline:
            self.take_results()
            self.turn(self._clock())
            time.sleep(0.001)
        if self._event_fd >= 0 and self._writer.close(max(0.1, deadline - time.monotonic())):
            os.close(self._event_fd)
            self._event_fd = -1

    # --- groups -------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Give everything that waits to the thread, if it is free."""
        if self._under_way is not None or self._late or not self._is_settled:
            return
        entries, self._waiting = self._waiting, []
        self._recorded, self._recorded_next = self._recorded_next, []
        rows = [_row(entry, entry.verdict.seq, entry.header) for entry in entries]
        self._commit(entries, rows)

    def _hand_over_unrecorded(self) -> None:
        if not self._is_usable:
            return
        rows = [self._unrecorded[n] for n in range(min(_ROWS_PER_GROUP, len(self._unrecorded)))]
        self._writing_rows = len(rows)
        self._rewrite_open = True
        self._commit([], rows)

    def _commit(self, entries: list[Entry], rows: Sequence[Row]) -> None:
        opened = self._open if self._rewrite_open else self._new_open
        group = Group(rows, list(opened.items()), self._rewrite_open)
        self._new_open, self._rewrite_open = {}, False
        self._under_way = entries
        self._under_way_since_ns = self._clock()
        self._writer.commit(group)

    def _stop_waiting(self) -> None:
        """The disk takes too long: publish what waits for it, marked."""
        self._late = True
        self._rewrite_open = True
        entries = [*(self._under_way or []), *self._waiting]
        self._waiting = []
        self._writing_rows = 0
        self._publish_unrecorded(entries)
        self._call_recorded()

    def _publish_unrecorded(self, entries: list[Entry]) -> None:
        for entry in entries:
            verdict = msgspec.structs.replace(entry.verdict, journaled=False)
            header = wire.encode(verdict)
            self._unrecorded.append(_row(entry, verdict.seq, header))
            self._observer.journal_unrecorded()
            entry.publish(verdict, entry.topic, header)
        excess = len(self._unrecorded) - _MAX_UNRECORDED
        if excess > 0:
            for _ in range(excess):
                self._unrecorded.popleft()
            self._writing_rows = max(0, self._writing_rows - excess)
            self._observer.journal_forgotten(excess)

    def _call_recorded(self) -> None:
        calls = [*self._recorded, *self._recorded_next] if self._late else self._recorded
        if self._late:
            self._recorded_next = []
        self._recorded = []
        for then in calls:
            then()

    # --- results ------------------------------------------------------------------------------------------

    def _answered(self, result: Result) -> None:
        """Take a result from the thread to the loop."""
        self._results.append(result)
        os.eventfd_write(self._event_fd, 1)

    def _take(self, result: Result) -> None:
        match result:
            case Committed():
                self._committed(result)
            case Failed():
                self._is_settled = True
                self._fail(result.detail)
                if result.of_group:
                    self._group_lost()
            case SetAside():
                self._observer.journal_set_aside()
                self._say("alarm", "journal_set_aside", result.detail)
                self._reminders["journal_set_aside"] = (result.detail, self._clock() + _REMIND_FOR_NS)
                self._rewrite_open = True
                if result.of_group:
                    self._group_lost()
            case Opened():
                self._opened(result)
            case InUse():
                raise UnavailableError(
                    f"line.state_dir: the journal is used by another inspectd ({result.detail}); "
                    "stop it, or give this line its own directory"
                )
            case ReadDone():
                result.job.done(result.reading)
            case Levels():
                self._observer.journal_levels(result)

    def _opened(self, opened: Opened) -> None:
        if self._is_settled and opened.epoch != self.epoch:
            self._is_usable = False  # it knows later epochs than the one under way: not before the next start
            self._fail(f"it holds epoch {opened.epoch - 1}, which is after the one under way")
            return
        self._is_settled = True
        self.epoch = opened.epoch
        self.unfinished = opened.unfinished
        self._observer.journal_recording(recording=self.failure is None)

    def _committed(self, committed: Committed) -> None:
        entries, self._under_way = self._under_way or [], None
        if not self._late:
            self._observer.journal_committed(len(entries), committed.seconds)
            for entry in entries:
                entry.publish(entry.verdict, entry.topic, entry.header)
            self._call_recorded()
            if self._waiting or self._recorded_next:
                self._hand_over()
            return
        for _ in range(self._writing_rows):
            self._unrecorded.popleft()
        self._writing_rows = 0
        if self._unrecorded:
            self._hand_over_unrecorded()
        else:
            self._recover()

    def _group_lost(self) -> None:
        """The group under way is not on the disk: publish it, marked, and write it later."""
        if not self._late:
            self._stop_waiting()
        self._under_way = None
        self._writing_rows = 0
        self._retry_ns = self._clock() + (_RETRY_NS if self.failure else 0)

    def _fail(self, detail: str) -> None:
        if not self._late:
            self._late = True
            self._stop_waiting()
        if self.failure is None:  # later ones do not put off the next try: readers may ask without end
            self._retry_ns = max(self._retry_ns, self._clock() + _RETRY_NS)
            self._observer.journal_recording(recording=False)
            self._say("alarm", "journal_failed", f"{detail}; verdicts are published without being recorded")
        self.failure = detail

    def _recover(self) -> None:
        self._late = False
        if self.failure is not None:
            self.failure = None
            self._observer.journal_recording(recording=True)
            self._say("info", "journal_recovered", "verdicts are recorded again")

    # --- alarms and reading -------------------------------------------------------------------------------

    def _say(self, severity: str, name: str, detail: str) -> None:
        if not self._is_settled:
            self._unsaid.append((severity, name, detail))
            return
        self._remind_ns = self._clock() + _REMIND_NS
        self._tell(severity, name, detail)

    def _remind(self, now_ns: int) -> None:
        if now_ns < self._remind_ns or not (self.failure or self._reminders):
            return
        self._remind_ns = now_ns + _REMIND_NS
        if self.failure:
            self._tell_again("journal_failed", self.failure)
        for name, (detail, until_ns) in list(self._reminders.items()):
            if now_ns > until_ns:
                del self._reminders[name]
            else:
                self._tell_again(name, detail)

    def _with_unrecorded(self, reading: Reading | None, job: ReadJob) -> Reading | None:
        """What is on the disk, and what waits in memory to be written there; None if that may not be all."""
        found = {stored.position: stored for stored in reading.verdicts} if reading is not None else {}
        for row in self._unrecorded:
            position = Position(self.epoch, row.seq)
            if (job.first is None or position >= job.first) and position <= job.last:
                found[position] = Stored(position, row.topic, row.header)
        verdicts = [found[position] for position in sorted(found)][: job.limit]
        oldest = verdicts[0].position if verdicts else None
        if reading is not None:
            return Reading(verdicts, reading.truncated, reading.oldest or oldest)
        if job.first is None or not job.first.epoch == job.last.epoch == self.epoch:
            return None
        is_all = len(verdicts) >= min(job.limit, job.last.seq - job.first.seq + 1)
        return Reading(verdicts, truncated=False, oldest=oldest) if is_all else None


def _row(entry: Entry, seq: int, header: bytes) -> Row:
    return Row(seq, entry.topic, header, entry.closes, entry.closes_earlier)
