"""The journal's file: SQLite in WAL mode, one connection, every row with a checksum. No thread, no bus.

One B-tree holds all verdicts in their order: a start of the daemon (an epoch) has an ordinal, and a row's id
is `ordinal << 40 | seq`. The connection locks the file for itself, so there is no second writer, and no
shared index whose loss could bring the process down.

The position of the last commit is kept in a mark beside the file, because SQLite takes a log that was cut for
one that ended there.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import sqlite3
import time
import zlib
from pathlib import Path
from typing import Final

from inspectd.age_clock import AgeClock
from inspectd.config import JournalSettings
from inspectd.errors import InputError
from inspectd.files import open_regular
from inspectd.publish.journal.records import Group, Levels, Opened, ReplayChunk, Row, Stored
from inspectd.publish.journal.sqlite import (
    BELIEVED,
    SEQ_BITS,
    CorruptError,
    NotOursError,
    check_structure,
    checksum_of,
    connect,
    create,
    forget_oldest,
    integer,
    named,
    position_of,
    set_aside,
    transaction,
)
from inspectd.wire import prefix
from inspectd.wire.sync import Position

NAME: Final = "journal.sqlite"
MARK_NAME: Final = "journal.mark"

_CHECK_SECONDS: Final = 1.0  # for each of the two checks at the start; the rest is checked while it runs
_TRIM_ROWS: Final = 200
_SCRUB_ROWS: Final = 200
_LEAP_SHARE: Final = 0.25  # of `journal.days`: a clock that leaps further ahead is not believed at once


def epoch_after(epoch: int) -> int:
    """A later epoch where the clock gives none: it is behind, or was ahead once.

    The next number would not do: whoever restores a copy of the state, or goes back to one, would give the
    verdicts of another run their names once more. So it is one of the next quarter of an hour, and no time.
    """
    return epoch + 1 + secrets.randbelow(900_000)


_POSITION_BYTES: Final = 65
_LINE_AT: Final = 128
"""Where the mark has the line's name: behind all that versions without it read."""


class Mark:
    """The position of the last commit, in some sixty bytes that are rewritten in place, in microseconds.

    It is written after the journal and not flushed: it is never ahead of it, and a process that is killed
    leaves both. A damaged mark is ignored. Behind the position stands whose journal it is.
    """

    def __init__(self, path: Path) -> None:
        """Opens nothing: `write` does."""
        self._path = path
        self._fd = -1

    def read(self) -> Position | None:
        """The position; None where there is none that can be read."""
        try:
            with open_regular(self._path) as file:  # a pipe in its place would hold up the start for good
                text, _, checksum = file.read(80).strip().rpartition(b" ")
            epoch, _, seq = text.partition(b":")
            return Position(int(epoch), int(seq)) if int(checksum) == zlib.crc32(text) else None
        except (InputError, OSError, ValueError):
            return None

    def write(self, position: Position) -> None:
        """Best effort. If the write fails the old position stays, which is never ahead of the journal."""
        text = str(position).encode()
        self._write(0, (text + b" %d" % zlib.crc32(text)).ljust(_POSITION_BYTES - 1) + b"\n")

    def read_line(self) -> str | None:
        """`PLANT/LINE` whose journal it is; None where no mark says so."""
        try:
            with open_regular(self._path) as file:
                file.seek(_LINE_AT)
                name, _, checksum = file.readline(400).strip().rpartition(b" ")
            return name.decode() if int(checksum) == zlib.crc32(name) else None
        except (InputError, OSError, ValueError):
            return None

    def write_line(self, name: str) -> None:
        """Best effort, as `write`."""
        if self.read_line() == name:
            return
        text = name.encode()
        begin = _POSITION_BYTES if self._path.exists() else 0  # earlier versions take blanks for nothing
        self._write(begin, b" " * (_LINE_AT - begin) + b"%s %d\n" % (text, zlib.crc32(text)))

    def forget(self) -> None:
        """Keep the epoch alone, so that the next one is larger: the journal was set aside."""
        position = self.read()
        if position is not None:
            self.write(Position(position.epoch, 0))

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _write(self, at: int, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._fd >= 0 and not os.fstat(self._fd).st_nlink:  # somebody deleted it
                self.close()
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
                self._fd = os.open(self._path, flags, 0o640)
            os.pwrite(self._fd, data, at)


def refuse_other_line(folder: Path, plant: str, line: str) -> None:
    """Refuse a state folder whose journal is another line's: it was copied, or the line was renamed.

    What is open in it would be closed as this line's, and readers would be given verdicts of both. Where
    something else than a file is in the mark's place nobody can know, nor whether the journal was cut.

    Raises:
        InputError: it is, or may be.
    """
    try:
        open_regular(folder / MARK_NAME, follow_links=False).close()
    except InputError as error:
        raise InputError(
            f"{error}: it would tell whether {NAME} was cut, and whose it is; move it away, and put the file "
            "back if there is one"
        ) from error
    except OSError:
        pass  # it is not there, or cannot be read: as `Mark.read`
    found, name = Mark(folder / MARK_NAME).read_line(), f"{plant}/{line}"
    if found not in {None, name}:
        raise InputError(
            f"line.state_dir: {folder} has the journal of line {found}, expected that of {name}. If the line "
            f"was renamed, move {NAME}, {NAME}-wal and {MARK_NAME} away. If this is a copy of another "
            "line's, begin with an empty directory, and copy recipes and audit.jsonl alone "
            "(docs/operations.md)"
        )


class JournalFile:
    """An open journal. Every method may raise `sqlite3.Error` or `OSError`; `CorruptError` where named."""

    def __init__(self, folder: Path, settings: JournalSettings, plant: str, line: str) -> None:
        """Opens nothing: `open` does."""
        self.path = folder / NAME
        self.mark = Mark(folder / MARK_NAME)
        self._settings = settings
        self._line = f"{plant}/{line}"
        self._topics = prefix(plant, line)
        self._clock = AgeClock(int(settings.days * 86_400e9 * _LEAP_SHARE))
        self._connection: sqlite3.Connection | None = None
        self._epochs: dict[int, int] = {}  # epoch to ordinal
        self._ordinal = 0
        self._scrubbed = 0
        self._trimmed = 0
        self._log = self.path.with_name(f"{NAME}-wal")
        self._log_id: tuple[int, int] | None = None
        self._file_id: tuple[int, int] | None = None
        """Device and number of the file that was entered last; None: it was set aside, or there was none."""
        self._is_disbelieved = False
        """The file says which time is believed instead of the wall clock's."""

    def open(self, epoch: int, *, is_first: bool, may_raise: bool) -> Opened:
        """Open or make the file, check it, and enter an epoch.

        Args:
            epoch: the epoch to enter.
            is_first: this daemon has not had the file before: it is checked, and what is unfinished is handed
                over. Otherwise the file is opened again.
            may_raise: nothing was published under `epoch` yet, so it may be raised above those in the file.

        Raises:
            CorruptError: the file is damaged, cut, not a journal, or another line's.
            NotOursError: it holds epochs after this one, or is in place of the one this daemon had.
            BlockingIOError: another daemon has it.
        """
        self._refuse_replaced()
        self.close()
        self.mark.close()  # it may have been moved away, or deleted, with the journal
        try:
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(
                errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path.parent)
            ) from error
        if not self.path.exists():
            mark = self.mark.read()
            if is_first and mark is not None and mark.seq > 0:
                raise CorruptError("the file is gone")
            create(self.path)
        try:
            self._connection = connect(self.path)
            if is_first:
                self._check()
                if may_raise and self._epochs and epoch <= max(self._epochs):
                    epoch = epoch_after(max(self._epochs))
            newest_utc_ns = self._enter(epoch)
            self.mark.write_line(self._line)
            unfinished = self._unfinished() if is_first else []
        except sqlite3.Error as error:
            self.close()
            if "locked" in str(error):
                raise BlockingIOError(str(error)) from error
            raise named(error) from error
        except CorruptError:
            self.close()
            raise
        return Opened(epoch, unfinished, newest_utc_ns)

    def commit(self, epoch: int, group: Group) -> None:
        """Write a group, all of it or nothing; when this returns it is on the disk."""
        utc_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        believed = self._clock.now_ns(utc_ns, monotonic_ns), self._clock.held_ns(monotonic_ns)
        rows = [self._values(epoch, row, utc_ns) for row in group.rows]
        with transaction(self._open_connection()) as connection:
            if group.all_open:
                prefix = f"{self._ordinal}:"
                connection.execute("DELETE FROM open WHERE key >= ? AND key < ?", (prefix, prefix + "~"))
            connection.executemany("INSERT OR REPLACE INTO verdict VALUES (?, ?, ?, ?, ?)", rows)
            # Before what was opened is written: a part's id, which is its key, may have come again since.
            closes = [(self._key(row.closes),) for row in group.rows if row.closes is not None]
            closes += [(row.closes_earlier,) for row in group.rows if row.closes_earlier is not None]
            connection.executemany("DELETE FROM open WHERE key = ?", closes)
            connection.executemany(
                "INSERT OR REPLACE INTO open VALUES (?, ?, ?)",
                [(self._key(key), record, zlib.crc32(record)) for key, record in group.opened],
            )
            if self._is_disbelieved:
                connection.execute("DELETE FROM believed")
            if self._clock.ahead_ns:  # the next start goes by it: the newest verdict has the time that leapt
                connection.execute("INSERT INTO believed SELECT max(id), ?, ? FROM verdict", believed)
        self._is_disbelieved = self._clock.ahead_ns > 0
        if group.rows:
            self.mark.write(Position(epoch, max(row.seq for row in group.rows)))

    def read(self, first: Position | None, last: Position, limit: int) -> ReplayChunk:
        """Read at most `limit` verdicts from `first` (None: the oldest) to `last`, both included.

        Raises:
            CorruptError: a row is not what was written.
        """
        begin = self._first_id(first) if first is not None else 0
        end = self._last_id(last)
        found = self._rows("WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?", (begin, end, limit))
        oldest = [
            stored.position
            for stored in found[:1] or self._rows("WHERE id >= ? ORDER BY id LIMIT 1", (begin,))
        ]
        if not oldest and first is not None and first.epoch < last.epoch:
            oldest = [Position(last.epoch, 1)]  # nothing yet of what follows, and nothing of before again
        oldest = oldest or [stored.position for stored in self._rows("ORDER BY id LIMIT 1", ())]
        truncated = first is not None and (
            begin <= self._trimmed or first.epoch not in self._epochs or self._ended_before(first, last)
        )
        return ReplayChunk(found, truncated, oldest[0] if oldest else None)

    def _ended_before(self, first: Position, last: Position) -> bool:
        """Whether `first` follows a verdict of an earlier epoch that the file lacks: it is an older copy."""
        if first.seq <= 1 or first.epoch >= last.epoch:
            return False
        ids = self._first_id(first) - 1, self._epochs[first.epoch] + 1 << SEQ_BITS
        return ids[0] > self._trimmed and not self._rows("WHERE id >= ? AND id < ? LIMIT 1", ids)

    def trim(self, now_utc_ns: int) -> bool:
        """Remove a few of the oldest verdicts if they are too old or too many; True if more may be.

        A clock that leapt ahead makes nothing old for a day (`journal_clock`); `levels` has by how much.

        Raises:
            CorruptError: the time of one is not what was written.
        """
        connection = self._open_connection()
        query = "SELECT id, utc_ns FROM verdict ORDER BY id LIMIT ?"
        oldest = connection.execute(query, (_TRIM_ROWS + 1,)).fetchall()
        going = oldest[:-1]  # The newest stays, because the next start looks for it.
        if self._used_bytes() <= self._settings.max_mb * 1e6:
            until_ns = self._clock.now_ns(now_utc_ns, time.monotonic_ns()) - int(
                self._settings.days * 86_400e9
            )
            going = list(itertools.takewhile(lambda row: integer(row[1], "a time") < until_ns, going))
        if not going:
            return False
        through = going[-1][0]
        with transaction(connection):
            connection.execute("DELETE FROM verdict WHERE id <= ?", (through,))
            connection.execute("UPDATE trimmed SET id = ?", (through,))
        self._trimmed = through
        return len(going) == _TRIM_ROWS

    def scrub(self) -> None:
        """Check a few rows more against their checksums, round and round.

        Raises:
            CorruptError: a row is not what was written, or the file was removed.
            NotOursError: it was replaced.
        """
        self._refuse_replaced()
        if not self.path.exists():
            raise CorruptError("the file was removed or replaced")
        found = self._rows("WHERE id > ? ORDER BY id LIMIT ?", (self._scrubbed, _SCRUB_ROWS))
        if found:
            last = found[-1].position
            self._scrubbed = self._epochs[last.epoch] << SEQ_BITS | last.seq
        else:
            self._scrubbed = 0
            # Pages in memory prove nothing about the disk: read them anew next time round.
            self._open_connection().execute("PRAGMA shrink_memory")

    def levels(self) -> Levels:
        """Size, age, and free space of the disk.

        Raises:
            CorruptError: the time of the oldest verdict is not what was written.
        """
        oldest = self._open_connection().execute("SELECT utc_ns FROM verdict ORDER BY id LIMIT 1").fetchone()
        disk = os.statvfs(self.path.parent)
        oldest_utc_ns = integer(oldest[0], "a time") if oldest else None
        free_bytes = disk.f_bavail * disk.f_frsize
        return Levels(self._used_bytes(), free_bytes, oldest_utc_ns, self._clock.ahead_ns)

    def set_aside(self) -> Path:
        """Close the file and rename it, for a person to look at. Of earlier ones the oldest are deleted.

        Raises:
            NotOursError: another one is in its place, of which nobody knows that it is damaged.
        """
        self._refuse_replaced()
        self.close()
        aside = set_aside(self.path)
        self._file_id = None
        self.mark.forget()
        forget_oldest(self.path)
        return aside

    def close(self) -> None:
        """Close the file, if it is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _refuse_replaced(self) -> None:
        """Leave a file alone that came in place of the one that was entered: it may be a sound journal.

        The log of the one before, which would be played into it at the next start, is moved out of its way.

        Raises:
            NotOursError: there is one.
        """
        if self._file_id is not None and self.path.exists() and _id_of(self.path) != self._file_id:
            if self._log.exists() and _id_of(self._log) == self._log_id:
                self._log.rename(self._log.with_name(f"{self._log.name}.of-the-one-before"))
            raise NotOursError(
                "was replaced while the line ran, as by a disk that was mounted late or a copy that was put "
                "back; it is left as it is: restart the line, which then goes on with it, or sets it aside "
                "where it is an older copy than journal.mark beside it says"
            )

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the journal is not open")
        return self._connection

    # --- opening ------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Check the file's structure and its newest rows, as far as a start has time for it."""
        check_structure(self._open_connection(), _CHECK_SECONDS)
        self._read_epochs()
        self._check_rows()
        newest = self._rows("ORDER BY id DESC LIMIT 1", ())
        if newest and not newest[0].topic.startswith(self._topics):
            found = newest[0].topic.decode(errors="replace")
            raise CorruptError(
                f"its verdicts are of another line: {found}, expected {self._topics.decode()}..."
            )
        mark = self.mark.read()
        if mark is not None and mark.seq > 0 and (not newest or newest[0].position < mark):
            raise CorruptError(
                f"ends at {newest[0].position if newest else 'nothing'}, but {mark} was written to it"
            )

    def _check_rows(self) -> None:
        until = time.monotonic() + _CHECK_SECONDS
        below = 1 << 62
        while time.monotonic() < until:
            found = self._rows("WHERE id < ? ORDER BY id DESC LIMIT 1000", (below,))
            if not found:
                return
            last = found[-1].position
            below = self._epochs[last.epoch] << SEQ_BITS | last.seq

    def _read_epochs(self) -> None:
        rows = self._open_connection().execute("SELECT ordinal, epoch FROM epoch ORDER BY ordinal").fetchall()
        epochs = [epoch for _, epoch in rows]
        if not all(isinstance(epoch, int) for epoch in epochs) or any(
            a >= b for a, b in itertools.pairwise(epochs)
        ):
            raise CorruptError("its epochs are out of order")
        self._epochs = {epoch: ordinal for ordinal, epoch in rows}

    def _enter(self, epoch: int) -> int | None:
        """Enter an epoch; when the last commit was, by the wall clock of then."""
        connection = self._open_connection()
        self._read_epochs()
        trimmed = connection.execute("SELECT id FROM trimmed").fetchone()
        self._trimmed = integer(trimmed[0] if trimmed else None, "how far it was trimmed")
        if epoch not in self._epochs:
            if epoch < max(self._epochs, default=0):
                raise NotOursError(
                    f"holds epochs after {epoch}, the current one; it is used from the next start on"
                )
            ordinal = max(self._epochs.values(), default=0) + 1
            connection.execute("INSERT INTO epoch VALUES (?, ?)", (ordinal, epoch))
            self._epochs[epoch] = ordinal
        self._ordinal = self._epochs[epoch]
        self._file_id = _id_of(self.path)
        connection.execute(BELIEVED)
        self._log_id = _id_of(self._log) if self._log.exists() else None
        newest = connection.execute("SELECT utc_ns FROM verdict ORDER BY id DESC LIMIT 1").fetchone()
        if not newest:
            return None
        newest_utc_ns = integer(newest[0], "a time")
        self._is_disbelieved = True  # or a row of another verdict, which an earlier version left
        query = "SELECT utc_ns, held_ns FROM believed WHERE id = (SELECT max(id) FROM verdict)"
        believed = connection.execute(query).fetchone()
        began_utc_ns, held_ns = (integer(each, "a time") for each in believed or (newest_utc_ns, 0))
        self._clock.begin(min(began_utc_ns, newest_utc_ns), time.monotonic_ns(), held_ns)
        return newest_utc_ns

    def _unfinished(self) -> list[tuple[str, bytes]]:
        rows = self._open_connection().execute("SELECT key, record, checksum FROM open ORDER BY key")
        found = []
        for key, record, checksum in rows:
            # The checksum is of the record alone.
            if not isinstance(key, str) or not isinstance(record, bytes) or zlib.crc32(record) != checksum:
                raise CorruptError(f"the record of {key!r} is not what was written")
            found.append((key, record))
        return found

    # --- rows ---------------------------------------------------------------------------------------------

    def _values(self, epoch: int, row: Row, utc_ns: int) -> tuple[int, int, bytes, bytes, int]:
        checksum = checksum_of(epoch, row.seq, row.topic, row.header)
        return (self._ordinal << SEQ_BITS | row.seq, utc_ns, row.topic, row.header, checksum)

    def _rows(self, where: str, values: tuple[int, ...]) -> list[Stored]:
        epochs = {ordinal: epoch for epoch, ordinal in self._epochs.items()}
        try:
            # The condition is one of this file's own, the values are bound.
            query = f"SELECT id, topic, header, checksum FROM verdict {where}"  # noqa: S608
            rows = self._open_connection().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise named(error) from error
        found = []
        for row_id, topic, header, checksum in rows:
            found.append(Stored(position_of(row_id, epochs, topic, header, checksum), topic, header))
        return found

    def _first_id(self, position: Position) -> int:
        """The row id at which reading begins: that of the position, or the first of the next epoch."""
        if position.epoch in self._epochs:
            return self._epochs[position.epoch] << SEQ_BITS | _capped(position.seq)
        later = [ordinal for epoch, ordinal in self._epochs.items() if epoch > position.epoch]
        return min(later) << SEQ_BITS if later else 0

    def _last_id(self, position: Position) -> int:
        if position.epoch in self._epochs:
            return self._epochs[position.epoch] << SEQ_BITS | _capped(position.seq)
        later = [ordinal for epoch, ordinal in self._epochs.items() if epoch > position.epoch]
        return (min(later) << SEQ_BITS) - 1 if later else 1 << 62

    def _key(self, key: str) -> str:
        return f"{self._ordinal}:{key}"

    def _used_bytes(self) -> int:
        connection = self._open_connection()
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)


def _capped(seq: int) -> int:
    return min(seq, (1 << SEQ_BITS) - 1)


def _id_of(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
