"""The journal's thread: the only one that touches its file. Groups come first, then reads, then upkeep.

It never touches the bus and decodes no verdict: it takes groups of rows and returns the results.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from inspectd.publish.journal.file import JournalFile
from inspectd.publish.journal.records import Group, Levels, Opened, ReplayChunk
from inspectd.publish.journal.sqlite import CorruptError, NotOursError, named
from inspectd.text import printable, why
from inspectd.wire.sync import Position

_UPKEEP_SECONDS: Final = 0.4


class Committed(msgspec.Struct, frozen=True):
    """A group is on the disk."""

    seconds: float


class DiskFailed(msgspec.Struct, frozen=True):
    """The journal cannot be written, read or opened."""

    detail: str
    of_group: bool
    """It was the group that failed: it is not on the disk."""


class InUse(msgspec.Struct, frozen=True):
    """Another daemon has the file."""

    detail: str


class SetAside(msgspec.Struct, frozen=True):
    """The file was damaged and has another name now; a new one is in its place, or will be."""

    detail: str
    of_group: bool
    """It was found when the group was written: that is not on the disk."""


class LeftAlone(msgspec.Struct, frozen=True):
    """The file is not this run's to write to, which lasts until the next start."""

    detail: str
    of_group: bool
    """It was found when the group was written: that is not on the disk."""


class ReadJob(msgspec.Struct, frozen=True):
    """Verdicts to read back, and who takes them."""

    first: Position | None
    last: Position
    limit: int
    done: Callable[[ReplayChunk | None], None]
    """Called in the loop's thread; None when the journal cannot be read."""


class ReadDone(msgspec.Struct, frozen=True):
    """A job is done."""

    job: ReadJob
    chunk: ReplayChunk | None
    """None when the journal cannot be read."""


EPOCH_PASSED: Final = "it holds epochs after the one under way"
"""In words: the file was opened under a later epoch than the line's."""


Result = Opened | Committed | DiskFailed | InUse | SetAside | LeftAlone | ReadDone | Levels


class JournalThread:
    """Runs the file in a thread of its own. It has one group at a time, and any number of reads."""

    def __init__(self, file: JournalFile, epoch: int, answer: Callable[[Result], None]) -> None:
        """Start the thread; it begins with opening the file.

        Args:
            file: not opened yet; this thread's alone from now on.
            epoch: the epoch to enter, raised where the file holds a later one.
            answer: takes results; called in this thread.
        """
        self._file = file
        self._answer = answer
        self._epoch = epoch
        self._group: tuple[int, Group] | None = None
        self._reads: deque[ReadJob] = deque()
        self._wake = threading.Condition()
        self._stop = False
        self._is_open = False
        self._was_open = False
        self._was_answered = False
        self._left_alone = ""
        self._upkeep_at = 0.0
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def commit(self, epoch: int, group: Group) -> None:
        """Write this group of verdicts of `epoch`; a result follows. No other group may be pending."""
        with self._wake:
            self._group = epoch, group
            self._wake.notify()

    def read(self, job: ReadJob) -> None:
        """Read verdicts back when no group waits."""
        with self._wake:
            self._reads.append(job)
            self._wake.notify()

    def close(self, timeout_seconds: float) -> bool:
        """Write the group there is and close the file; False if the disk does not let it."""
        with self._wake:
            self._stop = True
            self._wake.notify()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    # --- in the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._guarded(self._open)
        while True:
            with self._wake:
                if self._group is None and not self._reads and not self._stop:
                    self._wake.wait(_UPKEEP_SECONDS)
                group, self._group = self._group, None
                job = self._reads.popleft() if group is None and self._reads else None
                if group is None and self._stop:
                    break
            if group is not None:
                self._guarded(partial(self._commit, *group), of_group=True)
            elif job is not None:
                self._read(job)
            if time.monotonic() >= self._upkeep_at:
                self._guarded(self._keep_up)
        self._file.close()
        self._file.mark.close()

    def _guarded(self, work: Callable[[], None], *, of_group: bool = False) -> None:
        """Do some work; every error of the disk becomes a result."""
        try:
            work()
        except BlockingIOError as error:
            if self._was_answered:
                self._fail(str(error), of_group=of_group)
            else:
                self._answer(InUse(str(error)))
        except NotOursError as error:
            self._leave_alone(_in_words(self._file.path, error), of_group=of_group)
        except (CorruptError, sqlite3.Error, OSError) as error:
            fail = self._set_aside if isinstance(named(error), CorruptError) else self._fail
            fail(_in_words(self._file.path, error), of_group=of_group)

    def _open(self) -> None:
        opened = self._file.open(self._epoch, is_first=not self._was_open, may_raise=not self._was_answered)
        self._is_open = True
        if not self._was_open:
            self._was_open = self._was_answered = True
            self._epoch = opened.epoch
            self._answer(opened)

    def _commit(self, epoch: int, group: Group) -> None:
        if self._left_alone:  # whatever is in its place by now: the line has said that it takes a restart
            self._answer(LeftAlone(self._left_alone, of_group=True))
            return
        if epoch != self._epoch:  # the line went on under its own before the file was open
            self._answer(DiskFailed(EPOCH_PASSED, of_group=True))
            return
        if not self._is_open:
            self._open()
        began = time.perf_counter()
        self._file.commit(epoch, group)
        self._answer(Committed(time.perf_counter() - began))

    def _read(self, job: ReadJob) -> None:
        chunk: ReplayChunk | None = None

        def read() -> None:
            nonlocal chunk
            chunk = self._file.read(job.first, job.last, job.limit)

        self._guarded(read)
        self._answer(ReadDone(job, chunk))

    def _set_aside(self, detail: str, *, of_group: bool) -> None:
        """Give the damaged file another name. The next group, or for a start the open, makes a new one."""
        if self._left_alone:
            self._fail(detail, of_group=of_group)
            return
        self._is_open = False
        try:
            aside = self._file.set_aside()
        except NotOursError as error:
            self._leave_alone(_in_words(self._file.path, error), of_group=of_group)
            return
        except OSError as error:
            self._fail(f"{detail}; cannot be set aside: {why(error)}", of_group=of_group)
            return
        self._answer(SetAside(f"{detail}; set aside as {aside.name}", of_group))
        if not self._was_open:
            self._guarded(self._open)

    def _leave_alone(self, detail: str, *, of_group: bool) -> None:
        """Write no more; what this run has of a file can still be read."""
        self._is_open = False
        self._was_answered = True
        self._left_alone = detail
        self._answer(LeftAlone(detail, of_group))

    def _fail(self, detail: str, *, of_group: bool) -> None:
        self._is_open = False
        self._was_answered = True  # the line goes on under the epoch it has
        self._answer(DiskFailed(self._left_alone or detail, of_group))

    def _keep_up(self) -> None:
        self._upkeep_at = time.monotonic() + _UPKEEP_SECONDS
        if not self._is_open:
            return
        if not self._file.trim(time.time_ns()):
            self._file.scrub()
        self._answer(self._file.levels())


def _in_words(file: Path, error: Exception) -> str:
    """What is wrong with the journal, or with the path on its way, on one line that names it."""
    where, what = str(file), str(error)
    if isinstance(error, OSError):
        where, what = error.filename or where, why(error)
    return printable(f"{where}: {what}")
