"""The line's side of the journal: hands groups to its thread, publishes what is recorded, and never waits.

A verdict is published when the group it is in is on the disk. The thread has one group at a time; what is
decided meanwhile is the next one. A disk that takes too long or fails does not hold up the line: verdicts are
then published marked as not recorded, are kept in memory, and are written as soon as the disk takes them.
The states are in `state`, what waits in each of them in `pending`; here are the thread's answers, the alarms,
and reading back. DESIGN.md has the whole of it on one page.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from inspectd.config import JournalSettings
from inspectd.errors import UnavailableError
from inspectd.publish.journal.file import MARK_NAME, NAME, JournalFile, Mark, epoch_after, refuse_other_line
from inspectd.publish.journal.pending import Entry, JournalMetrics, Pending
from inspectd.publish.journal.records import Group, Levels, Opened, ReplayChunk, Stored
from inspectd.publish.journal.sqlite import refuse_later_version
from inspectd.publish.journal.state import JournalEvent, JournalState
from inspectd.publish.journal.thread import (
    EPOCH_PASSED,
    Committed,
    DiskFailed,
    InUse,
    JournalThread,
    LeftAlone,
    ReadDone,
    ReadJob,
    Result,
    SetAside,
)
from inspectd.wire.sync import Position

_OPEN_SECONDS: Final = 4.0
"""Longest that a start waits for the file; then the line begins without it."""
_CLOSE_SECONDS: Final = 2.0
_SILENT: Final = "the disk does not answer"
_REMIND_NS: Final = 5_000_000_000
_REMIND_FOR_NS: Final = 30_000_000_000
_BEHIND_NS: Final = 3_600_000_000_000
"""A clock that is further behind the newest verdict, or what it was before, is wrong, or was."""


class Journal:
    """One line's journal. All of it but the thread it starts runs in the line's one thread."""

    def __init__(
        self,
        folder: Path,
        settings: JournalSettings,
        *,
        plant: str,
        line: str,
        observer: JournalMetrics,
        say: Callable[[str, str, str], None],
        remind: Callable[[str, str], None],
        group_every_ns: int,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Begin to open the journal in `folder`; `await_open` waits for it.

        Args:
            folder: the line's state directory; made if it is not there.
            settings: retention, and how long a verdict may wait.
            plant: the line's.
            line: its name.
            observer: takes counts and levels, for the metrics.
            say: publishes an event, given its severity, name and detail.
            remind: takes the name and detail of an alarm that still holds, for readers that came meanwhile.
            group_every_ns: see `Pending`.
            clock: monotonic, in nanoseconds.

        Raises:
            InputError: it is another line's, or of a later version.
        """
        refuse_other_line(folder, plant, line)
        refuse_later_version(folder / NAME)
        mark = Mark(folder / MARK_NAME).read()
        self.epoch = time.time_ns() // 1_000_000
        if mark is not None and self.epoch <= mark.epoch:
            self.epoch = epoch_after(mark.epoch)
        self.newest_utc_ns = time.time_ns()
        """The latest time that an earlier start has recorded, as far as it was read, or that of this one."""
        self._seen_utc_ns = self.newest_utc_ns
        """The latest time of the clock since the start, or since it was said to be behind."""
        self.failure: str | None = None
        """The reason why nothing is recorded; None while verdicts are."""
        self.levels: Levels | None = None
        """As the journal's thread last gave them."""
        self.unfinished: list[tuple[str, bytes]] = []
        """Keys and records that an earlier start left open; the publishing stage takes them from here."""
        self._observer = observer
        self._tell = say
        self._tell_again = remind
        self._clock = clock
        self._results: deque[Result] = deque()
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._reminders: dict[str, tuple[str, int]] = {}
        self._remind_ns = 0
        self._is_clock_ahead = False
        self._held_back: list[tuple[str, str, str]] = []
        self._thread = JournalThread(JournalFile(folder, settings, plant, line), self.epoch, self._answered)
        max_wait_ns = int(settings.max_wait_ms * 1e6)
        self._pending = Pending(self._commit, max_wait_ns, observer, clock, group_every_ns=group_every_ns)

    # --- what the line does -------------------------------------------------------------------------------

    def await_open(self) -> None:
        """Wait until the journal is open or has failed, for a few seconds at most.

        Raises:
            UnavailableError: another daemon uses it.
        """
        deadline = time.monotonic() + _OPEN_SECONDS
        while self._is_opening and time.monotonic() < deadline:
            self.take_results()
            time.sleep(0.002)
        if self._is_opening:
            self._on(JournalEvent.SILENT, _SILENT)
        for severity, name, detail in self._held_back:
            self._say(severity, name, detail)
        self._held_back = []

    def record(self, entry: Entry) -> None:
        """See `Pending.record`."""
        self._pending.record(entry)

    def remember_open(self, key: str, record: bytes) -> None:
        """See `Pending.remember_open`."""
        self._pending.remember_open(key, record)

    def when_recorded(self, then: Callable[[], None]) -> None:
        """See `Pending.when_recorded`."""
        self._pending.when_recorded(then)

    def read(
        self, first: Position | None, last: Position, limit: int, done: Callable[[ReplayChunk | None], None]
    ) -> None:
        """Read verdicts back, from `first` (None: the oldest) to `last`.

        `done` is called in a later turn; with None when the journal cannot be read now.
        """
        job = ReadJob(first, last, limit, lambda chunk: done(self._with_unrecorded(chunk, job)))
        self._thread.read(job)

    @property
    def _is_opening(self) -> bool:
        return self._pending.state is JournalState.OPENING

    @property
    def state(self) -> str:
        """For heartbeats: `recording` or `failed`."""
        return "recording" if self.failure is None else "failed"

    @property
    def waiting(self) -> int:
        """See `Pending.waiting`."""
        return self._pending.waiting

    def turn(self, now_ns: int) -> None:
        """Do what is due: hand over a group, stop waiting for one, try a failed disk again, watch, remind."""
        event = self._pending.turn(now_ns)
        if event is not None:
            self._on(event, _SILENT)
        self._watch_behind()
        self._remind(now_ns)

    def wake_ns(self) -> int | None:
        """See `Pending.wake_ns`."""
        return self._pending.wake_ns()

    def fileno(self) -> int:
        """Readable when there are results to take."""
        return self._event_fd

    def take_results(self) -> None:
        """Act on the thread's answers."""
        with contextlib.suppress(BlockingIOError):
            if self._event_fd >= 0:
                os.eventfd_read(self._event_fd)
        while self._results:
            self._take(self._results.popleft())

    def close(self) -> None:
        """Write what waits, as far as the disk takes it in a few seconds, and close the file."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        while not self._pending.is_idle and time.monotonic() < deadline:
            self.take_results()
            self.turn(self._clock())
            time.sleep(0.001)
        if self._event_fd >= 0 and self._thread.close(max(0.1, deadline - time.monotonic())):
            os.close(self._event_fd)
            self._event_fd = -1

    # --- results ------------------------------------------------------------------------------------------

    def _answered(self, result: Result) -> None:
        """Take a result from the thread to the loop."""
        self._results.append(result)
        os.eventfd_write(self._event_fd, 1)

    def _take(self, result: Result) -> None:
        match result:
            case Committed():
                self._pending.committed(result.seconds)
                self._announce()
            case DiskFailed():
                event = JournalEvent.GROUP_FAILED if result.of_group else JournalEvent.DISK_FAILED
                self._on(event, result.detail)
            case SetAside():
                self._observer.journal_set_aside()
                self._say("alarm", "journal_set_aside", result.detail)
                self._reminders["journal_set_aside"] = (result.detail, self._clock() + _REMIND_FOR_NS)
                self._on(JournalEvent.GROUP_SET_ASIDE if result.of_group else JournalEvent.SET_ASIDE)
            case LeftAlone():
                self._on(
                    JournalEvent.GROUP_FAILED if result.of_group else JournalEvent.DISK_FAILED, result.detail
                )
                self._on(JournalEvent.NOT_OURS, result.detail)
            case Opened():
                self._file_opened(result)
            case InUse():
                raise UnavailableError(
                    f"line.state_dir: the journal is used by another inspectd ({result.detail}); "
                    "stop it, or give this line its own directory"
                )
            case ReadDone():
                result.job.done(result.chunk)
            case Levels():
                self.levels = result
                self._observer.journal_levels(result)
                self._watch_clock(result.clock_ahead_ns)

    def _file_opened(self, opened: Opened) -> None:
        if not self._is_opening and opened.epoch != self.epoch:
            self._on(JournalEvent.NOT_OURS, EPOCH_PASSED)
            return
        self._on(JournalEvent.OPENED)
        self.epoch = opened.epoch
        self.unfinished = opened.unfinished
        self.newest_utc_ns = max(self.newest_utc_ns, opened.newest_utc_ns or 0)
        self._seen_utc_ns = max(self._seen_utc_ns, opened.newest_utc_ns or 0)
        self._watch_behind("is {:.1f} days behind the newest verdict")
        self._observer.journal_recording(recording=self.failure is None)

    def _commit(self, group: Group) -> None:
        self._thread.commit(self.epoch, group)

    def _on(self, event: JournalEvent, detail: str = "") -> None:
        self._pending.on(event)
        self._announce(detail)

    def _announce(self, detail: str = "") -> None:
        """Send the alarm when recording has failed, and its end."""
        if self._pending.state.has_failed:
            if self.failure is None:
                self._observer.journal_recording(recording=False)
                consequence = "verdicts are published without being recorded"
                self._say("alarm", "journal_failed", f"{detail}; {consequence}")
            self.failure = detail or self.failure
        elif self.failure is not None:
            self.failure = None
            self._observer.journal_recording(recording=True)
            self._say("info", "journal_recovered", "verdicts are recorded again")

    def _watch_clock(self, ahead_ns: int) -> None:
        """Send an alarm when the wall clock leapt: it can be put right for a day before verdicts go by it."""
        if ahead_ns and not self._is_clock_ahead:
            self._alarm_of_clock(
                f"the clock jumped {ahead_ns / 86_400e9:.1f} days ahead of the verdicts; "
                "none is removed for its age in the next 24 hours"
            )
        self._is_clock_ahead = bool(ahead_ns)

    def _watch_behind(self, words: str = "was set back by {:.1f} days") -> None:
        """Send an alarm where the wall clock is behind what was dated by it before."""
        utc_ns = time.time_ns()
        behind_ns = self._seen_utc_ns - utc_ns
        if 0 <= behind_ns <= _BEHIND_NS:
            return
        self._seen_utc_ns = utc_ns
        if behind_ns > 0:
            self._alarm_of_clock(
                f"the clock {words.format(behind_ns / 86_400e9)}: "
                "it is wrong, and all is dated by it until it is put right, or it was ahead before"
            )

    def _alarm_of_clock(self, detail: str) -> None:
        self._say("alarm", "journal_clock", detail)
        self._reminders["journal_clock"] = (detail, self._clock() + _REMIND_FOR_NS)

    # --- alarms and reading -------------------------------------------------------------------------------

    def _say(self, severity: str, name: str, detail: str) -> None:
        if self._is_opening:  # the line cannot send events yet
            self._held_back.append((severity, name, detail))
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

    def _with_unrecorded(self, chunk: ReplayChunk | None, job: ReadJob) -> ReplayChunk | None:
        """Verdicts on the disk and those that wait in memory for it; None if that may not be all."""
        found = {stored.position: stored for stored in chunk.verdicts} if chunk is not None else {}
        for row in self._pending.unrecorded:
            position = Position(self.epoch, row.seq)
            if (job.first is None or position >= job.first) and position <= job.last:
                found[position] = Stored(position, row.topic, row.header)
        verdicts = [found[position] for position in sorted(found)][: job.limit]
        oldest = verdicts[0].position if verdicts else None
        if chunk is not None:
            return ReplayChunk(verdicts, chunk.truncated, chunk.oldest or oldest)
        if job.first is None or not job.first.epoch == job.last.epoch == self.epoch:
            return None
        is_all = len(verdicts) >= min(job.limit, job.last.seq - job.first.seq + 1)
        return ReplayChunk(verdicts, truncated=False, oldest=oldest) if is_all else None
