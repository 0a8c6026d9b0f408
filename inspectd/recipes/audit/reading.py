"""Reads an audit file: all of it, its chain, and what it says is in force. Needs no lock.

What lies behind the last line break is no record: a crash left it, or the writer is at work.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular
from inspectd.recipes.audit.mark import AuditMark, damaged, lost, read_mark
from inspectd.recipes.audit.records import (
    BEGUN,
    DONE,
    LONGEST_LINE_BYTES,
    NO_SHA256,
    AuditAction,
    AuditDamageError,
    AuditLineError,
    AuditRecord,
    InForce,
    decode_line,
    parse_in_force,
    puts_in_force,
    refuse_damage,
)
from inspectd.wire.recipes import TAKEN_BACK_DOORS

_BLOCK_BYTES: Final = 65_536


class AuditSummary(msgspec.Struct, frozen=True):
    """A file whose chain is whole.

    Attributes:
        records: in it.
        first_utc_ns: when its first one was written; None: there is none.
        last_utc_ns: the same of its last one.
        last_sha256: digest of the last one. Kept elsewhere, it shows later that nothing was cut off the end.
        unfinished_bytes: behind it, of a record that is being written or that a crash left.
    """

    records: int
    first_utc_ns: int | None
    last_utc_ns: int | None
    last_sha256: str
    unfinished_bytes: int = 0


class AuditFault(msgspec.Struct, frozen=True):
    """The first line of a file that is not as it was written."""

    line: int
    expected: str
    found: str

    def __str__(self) -> str:
        """For people."""
        return f"line {self.line}: expected {self.expected}, found {self.found}"


def read(path: Path) -> Iterator[AuditRecord]:
    """Every record, oldest first; none where there is no file.

    Raises:
        InputError: the file cannot be read, or a line is not as it was written.
    """
    for number, line in enumerate(_lines(path), 1):
        if not line.endswith(b"\n") and len(line) <= LONGEST_LINE_BYTES:
            refuse_damage(path, line)
            return
        yield decode_line(line.removesuffix(b"\n"), f"{path}, line {number}")


def verify(path: Path) -> AuditSummary | AuditFault:
    """Follow the chain through the whole file: altered, missing, moved and added lines break it.

    Records that are missing at its end leave no trace in it; a digest that was kept elsewhere shows them.

    Raises:
        InputError: the file cannot be read.
    """
    first, last, unfinished_bytes = None, None, 0
    for number, line in enumerate(_lines(path), 1):
        if not line.endswith(b"\n"):
            try:
                refuse_damage(path, line)
            except AuditDamageError:
                return AuditFault(number, "a line break at its end", f"{len(line)} bytes without one")
            unfinished_bytes = len(line)
            break  # what is read behind it now would be the end of the same record
        try:
            record = decode_line(line[:-1], "")
        except AuditLineError as error:
            return AuditFault(number, error.expected, error.found)
        seq, previous = (1, NO_SHA256) if last is None else (last.seq + 1, last.sha256)
        if record.seq != seq:
            return AuditFault(number, f"seq {seq}", f"seq {record.seq}")
        if record.previous_sha256 != previous:
            return AuditFault(number, f"previous_sha256 {previous}", record.previous_sha256)
        first, last = first or record, record
    if first is None or last is None:
        return AuditSummary(0, None, None, NO_SHA256, unfinished_bytes)
    return AuditSummary(last.seq, first.utc_ns, last.utc_ns, last.sha256, unfinished_bytes)


def history(path: Path) -> Iterator[AuditRecord]:
    """The records that put a recipe in force, oldest first; none that was acknowledged to nobody.

    Raises:
        InputError: as `read`.
        UnavailableError: what is noted beside the file cannot be read now.
    """
    return _acknowledged(path, read(path))


def _acknowledged(path: Path, records: Iterable[AuditRecord]) -> Iterator[AuditRecord]:
    try:
        mark = read_mark(path)
    except InputError:
        mark = None  # of what is in force nobody knows then, but these were
    found = (record for record in records if puts_in_force(record))
    return found if mark is None else (record for record in found if not mark.is_pending(record))


def record_in_force(path: Path) -> AuditRecord | None:
    """The record that put in force what is: the one noted beside the file, or a newer one that counts.

    Raises:
        InputError: a record on the way was altered, or the one that is noted is gone.
        UnavailableError: the file cannot be read now.
    """
    mark = read_mark(path)
    if mark is None:  # as files of earlier versions have none
        return next((record for record in newest_first(path) if puts_in_force(record)), None)
    newer, noted = None, None
    for record in newest_first(path):
        if record.seq <= mark.seq:
            noted = record
            break
        if newer is None and puts_in_force(record) and not mark.is_pending(record):
            newer = record
    if mark.seq and (noted is None or noted.sha256 != mark.sha256):
        raise lost(path, mark)
    return newer or noted


def pending_records(path: Path, mark: AuditMark) -> tuple[str, ...]:
    """Digests of the records that are pending by a mark, and in the file: as a rule one, or none.

    Raises:
        InputError: a record on the way was altered.
        UnavailableError: the file cannot be read now.
    """
    newer = itertools.takewhile(lambda record: record.seq > mark.seq, newest_first(path))
    return tuple(record.sha256 for record in newer if mark.is_pending(record))


def changes_in_force(path: Path) -> Iterator[AuditRecord]:
    """The records of `history` that took effect, newest first: without those that were taken back.

    Reads from the end and no further than needed.

    Raises:
        InputError: a record on the way was altered.
        UnavailableError: the file, or what is noted beside it, cannot be read now.
    """
    return changes_among(path, newest_first(path))


def changes_among(path: Path, records: Iterable[AuditRecord]) -> Iterator[AuditRecord]:
    """Those of `changes_in_force` that are among the file's newest records, the newest first.

    Raises:
        UnavailableError: what is noted beside the file cannot be read now.
    """
    taken_back: list[str | None] = []
    for record in _acknowledged(path, records):
        if is_take_back(record):
            taken_back.append(record.old)
            continue
        is_undone = False
        while taken_back and not is_undone:
            is_undone = taken_back.pop() == record.new
        if not is_undone:
            yield record


def last_change(path: Path) -> AuditRecord | None:
    """The newest of `changes_in_force` since which another recipe judges; None: there is none.

    What it has as `old` was in force before, so that is where a rollback leads.

    Raises:
        InputError: as `changes_in_force`.
        UnavailableError: as `changes_in_force`.
    """
    return next((record for record in changes_in_force(path) if record.old != record.new), None)


def is_take_back(record: AuditRecord) -> bool:
    """Whether it says that the record before it never counted; whoever asks for a change cannot say so."""
    return record.action is AuditAction.ROLLBACK and record.door in TAKEN_BACK_DOORS


def in_force(path: Path) -> InForce | None:
    """What `record_in_force` put in force; None: nothing ever was.

    Reads from the end and no further than needed. Every record on the way is held against its own digest.

    Raises:
        InputError: a record on the way was altered, or the one that says it is gone, so that nobody can know.
        UnavailableError: the file cannot be read now.
    """
    try:
        found = record_in_force(path)
    except AuditDamageError as error:
        raise damaged(path, error) from error
    if found is None:
        return None
    return parse_in_force(found.new or "", f"{path}, record {found.seq}: ")


def shadowed(path: Path) -> InForce | None:
    """The recipe that scores without a vote by the newest record of one; None: none does.

    Raises:
        InputError: a record on the way was altered.
        UnavailableError: the file cannot be read now.
    """
    in_force_since = set()  # by name: the configuration file may have been read again meanwhile
    for record in newest_first(path):
        name = (record.new or "").partition(" ")[0]
        if puts_in_force(record):
            in_force_since.add(name)
        if record.action is AuditAction.SHADOW and record.result == DONE:
            is_over = record.new is None or name in in_force_since  # by whichever way, as on the line
            return None if is_over else parse_in_force(record.new or "", f"{path}, record {record.seq}: ")
    return None


def last_import(path: Path, id: str) -> int:  # noqa: A002 - what it is called everywhere
    """The version of a recipe that was made last, whether it is still there or not; 0: none is known.

    Where the file is damaged on the way nothing is known: imports go on, and a line looks before it judges.

    Raises:
        UnavailableError: the file cannot be read now.
    """
    try:
        for record in newest_first(path):
            if record.action is AuditAction.IMPORT and record.object == id:
                return parse_in_force(record.new or "", f"{path}, record {record.seq}: ").version
    except InputError:
        return 0
    return 0


def newest_first(path: Path) -> Iterator[AuditRecord]:
    """Every record, the newest first, read no further than asked for; none where there is no file.

    Raises:
        InputError: a record on the way was altered.
        UnavailableError: the file cannot be read now.
    """
    try:
        with open_regular(path) as file:
            for line in _lines_from_the_end(path, file):
                yield decode_line(line, f"{path}, from its end")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise UnavailableError(f"{path}: cannot be read: {error.strerror}") from error


def without_beginnings(records: Iterable[AuditRecord]) -> list[AuditRecord]:
    """The records without those that say `begun` and have another one that says how it ended.

    What is left of these is under way, or was killed between its two records.
    """
    shown: dict[int, AuditRecord] = {}
    begun: dict[tuple[str | None, ...], int] = {}
    for record in records:
        shown[record.seq] = record
        change = (record.action, record.who, record.door, record.object, record.old, record.new)
        if record.result == BEGUN:
            begun[change] = record.seq
        elif change in begun:
            del shown[begun.pop(change)]
    return list(shown.values())


def _lines(path: Path) -> Iterator[bytes]:
    """Lines with their line breaks; of one that is too long only its beginning."""
    try:
        with open_regular(path) as file:
            while line := file.readline(LONGEST_LINE_BYTES + 1):
                yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _lines_from_the_end(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Lines without their line breaks, the last one first.

    Raises:
        InputError: what lies behind the last line break is no crash's, or a line is longer than any record.
    """
    end = file.seek(0, os.SEEK_END)
    rest, is_last = b"", True
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        file.seek(begin)
        *lines, last = (file.read(end - begin) + rest).split(b"\n")[::-1]
        if lines and is_last:
            refuse_damage(path, lines.pop(0))
            is_last = False
        yield from lines
        rest, end = last, begin
        if len(rest) > LONGEST_LINE_BYTES:
            raise AuditDamageError(
                f"{path}: holds a line of more than {LONGEST_LINE_BYTES} bytes; restore a copy of the file"
            )
    if is_last:
        refuse_damage(path, rest)
    else:
        yield rest
