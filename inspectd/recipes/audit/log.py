"""The audit file: who did what to a line, in a chain of records that shows every change.

One JSON object a line. Each has the SHA-256 of itself and of the record before it, so that no line can be
altered, taken out or moved without the chain breaking. It is also the one place that says which recipe is in
force: written and flushed before a change is acknowledged. `docs/recipes.md` describes it for other programs.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.files import give_as, is_file, make_folder, sync_folder, write_bytes
from inspectd.recipes.audit.mark import AuditMark, damaged, mark_of, mark_path, read_mark, write_mark
from inspectd.recipes.audit.reading import pending_records, record_in_force
from inspectd.recipes.audit.records import (
    DONE,
    LONGEST_LINE_BYTES,
    AuditAction,
    AuditDamageError,
    AuditLineError,
    AuditRecord,
    decode_line,
    new_line,
    puts_in_force,
    refuse_damage,
)


class AuditInUseError(UnavailableError):
    """Another process has the file now."""


class AuditLog:
    """The one writer of an audit file.

    Nothing happens before `open`; then the file is locked until `close`, or the end of the process.

    Attributes:
        last: the newest record; None: there is none yet.
        torn: where `open` put the beginning of a record that a crash left; None: there was none.
    """

    def __init__(self, path: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Touch nothing yet.

        Args:
            path: the file; it and its folder are made where they are missing.
            clock_ns: nanoseconds since 1970, UTC.
        """
        self._path = path
        self._clock_ns = clock_ns
        self._fd = -1
        self._length_bytes = 0
        self._has_rest = False
        """Bytes of a failed write may lie behind the last record."""
        self.last: AuditRecord | None = None
        self.torn: Path | None = None

    def open(self) -> Self:
        """Lock the file, cut off what a crash left of a last record, and read the record before it.

        Raises:
            AuditInUseError: another process has the file.
            UnavailableError: it cannot be opened, read or written.
            InputError: its last record was altered.
        """
        try:
            make_folder(self._path.parent, 0o750)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._fd = os.open(self._path, flags, 0o640)
        except OSError as error:
            told = error.strerror
            if self._path.is_symlink():
                told = "is a symbolic link, expected the file itself; stop the line and move the file here"
            raise UnavailableError(f"{self._path}: cannot be opened: {told}") from error
        try:
            self._lock()
            self._give_to_the_line()
            sync_folder(self._path.parent)
            self._read_last()
        except OSError as error:
            self.close()
            raise UnavailableError(f"{self._path}: cannot be used: {error.strerror}") from error
        except AuditDamageError as error:
            self.close()
            raise damaged(self._path, error) from error
        except BaseException:  # whatever ends the start, Ctrl-C too, leaves no lock behind
            self.close()
            raise
        return self

    def append(
        self,
        action: AuditAction,
        *,
        who: str,
        door: str,
        object: str | None = None,  # noqa: A002 - the field's name in the file
        old: str | None = None,
        new: str | None = None,
        why: str | None = None,
        result: str = DONE,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> AuditRecord:
        """Write a record; it is on the disk when this returns.

        Texts that are too long are cut and characters that do not print are written as their escapes: nothing
        that a client sends can keep a record from being made.

        Args:
            action: what was done or asked for.
            who: who asked.
            door: the way it was asked.
            object: what it was done to.
            old: what was before.
            new: what is now.
            why: the reason that was given.
            result: `done`, or why it was not.
            is_wanted: asked once a record that puts something in force is on the disk; if it is not, what was
                in force before still is.

        Raises:
            UnavailableError: it cannot be written, and the file is as it was before, or nobody can know
                whether it is, which is said; or it cannot be noted that it counts; or somebody else changed
                or replaced the file.
        """
        line, record = new_line(
            self.last, self._clock_ns(), action, {
                "who": who, "door": door, "object": object, "old": old, "new": new, "why": why,
                "result": result,
            },
        )  # fmt: skip
        announced: AuditMark | None = None
        try:
            self._refuse_foreign_change()
            if puts_in_force(record):
                announced = self._announce(record)
            self._write(line)
        except OSError as error:
            raise UnavailableError(
                f"{self._path}: a record cannot be written: {error.strerror or error}; nothing was changed"
            ) from error
        self._length_bytes += len(line)
        self.last = record
        if puts_in_force(record) and is_wanted():
            try:
                write_mark(self._path, mark_of(record))
            except UnavailableError as error:
                self._withdraw(record, announced, error)
                raise
        return record

    def _withdraw(self, record: AuditRecord, announced: AuditMark | None, why: UnavailableError) -> None:
        """Note that a record does not count: what could not be noted of it may lie there all the same.

        Raises:
            UnavailableError: nor can that be noted, so it may be in force; `why` and how to find out.
        """
        try:
            if announced is None:  # what was noted before is damaged
                raise why
            write_mark(self._path, announced)
        except UnavailableError as error:
            raise UnavailableError(
                f"{why}; nor that it does not count, so the next start may judge by "
                f"{(record.new or '').partition(' ')[0]} or by what judged before: once the disk is mended "
                "`inspectd recipe list` says by which"
            ) from error

    def note(self, record: AuditRecord | None) -> None:
        """Note that a record of the file counts, and none beside it; None: that none is there.

        Raises:
            InputError: what is noted is damaged.
            UnavailableError: it cannot be noted.
        """
        if read_mark(self._path) != mark_of(record):
            write_mark(self._path, mark_of(record))

    def _announce(self, record: AuditRecord) -> AuditMark | None:
        """Note that a record comes which does not count yet; None: what is noted is damaged."""
        try:
            mark = read_mark(self._path) or mark_of(record_in_force(self._path))
            in_vain = pending_records(self._path, mark) if mark.pending else ()
        except AuditLineError:
            return None  # whoever says what is in force gets out of that
        except InputError as error:
            if not is_file(mark_path(self._path)):
                raise UnavailableError(str(error)) from error  # nothing can be noted in its place
            return None
        announced = msgspec.structs.replace(
            mark, pending=mark.pending or record.seq, pending_sha256=(*in_vain, record.sha256)
        )
        write_mark(self._path, announced)
        return announced

    def close(self) -> None:
        """Let the file go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        """See `open`."""
        return self.open()

    def __exit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

    def _lock(self) -> None:
        """Have the file alone, for the life of the descriptor; what is no file has no records."""
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise UnavailableError(
                f"{self._path}: cannot be used: is not a regular file, expected one; move it away"
            )
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AuditInUseError(
                f"{self._path}: another process has it, the line's daemon or a command; try again"
            ) from error
        if not os.path.samestat(os.fstat(self._fd), os.lstat(self._path)):
            raise AuditInUseError(f"{self._path}: was replaced while it was opened; try again")

    def _give_to_the_line(self) -> None:
        """A file that root makes belongs to whom its folder does: else the line could not write into it."""
        if not os.fstat(self._fd).st_size:
            give_as(self._fd, self._path.parent.stat())

    def _read_last(self) -> None:
        size_bytes = os.fstat(self._fd).st_size
        begin = max(0, size_bytes - 2 * LONGEST_LINE_BYTES)
        block = os.pread(self._fd, size_bytes - begin, begin)
        whole, newline, rest = block.rpartition(b"\n")
        self._length_bytes = size_bytes - len(rest)
        if rest:
            self._set_aside(rest)
        if newline:
            self.last = decode_line(whole.rpartition(b"\n")[2], f"{self._path}, its last line")

    def _set_aside(self, rest: bytes) -> None:
        """Take the beginning of a record out of the file: a crash left it, and nobody was told it is done."""
        refuse_damage(self._path, rest)
        stamp = datetime.fromtimestamp(self._clock_ns() / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        self.torn = self._path.with_name(f"{self._path.stem}.torn-{stamp}")
        write_bytes(self.torn, rest, 0o640)
        sync_folder(self.torn.parent)
        os.ftruncate(self._fd, self._length_bytes)
        os.fsync(self._fd)

    def _refuse_foreign_change(self) -> None:
        """Refuse to write into another file than the path names, or behind foreign bytes: that is lost."""
        try:
            is_same = os.path.samestat(os.fstat(self._fd), os.lstat(self._path))
        except FileNotFoundError:
            is_same = False
        if not is_same:
            raise UnavailableError(
                f"{self._path}: was removed or replaced while it was in use; put it back and restart the line"
            )
        if self._has_rest:
            os.ftruncate(self._fd, self._length_bytes)
            self._has_rest = False
        size_bytes = os.fstat(self._fd).st_size
        if size_bytes != self._length_bytes:
            raise UnavailableError(
                f"{self._path}: was changed while it was in use: it has {size_bytes} bytes, expected "
                f"{self._length_bytes}; put back what it held and restart the line"
            )

    def _write(self, line: bytes) -> None:
        """All of it onto the disk, or nothing.

        Raises:
            OSError: it cannot be written, and nothing of it is there.
            UnavailableError: it cannot be written, and nobody can know whether it is there.
        """
        done = 0
        try:
            while done < len(line):
                done += os.pwrite(self._fd, line[done:], self._length_bytes + done)
            os.fsync(self._fd)
        except OSError as why:
            self._has_rest = True
            try:
                os.ftruncate(self._fd, self._length_bytes)
                self._has_rest = False
                os.fsync(self._fd)
            except OSError as error:
                if done == len(line):
                    raise UnavailableError(
                        f"{self._path}: a record cannot be written: {why.strerror or why}; nor can it be "
                        f"taken back ({error.strerror or error}), so it may be there all the same: look with "
                        "`inspectd audit` once the disk is mended"
                    ) from error
            raise
