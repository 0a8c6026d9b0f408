"""Writes records into a file that the line and commands share: each has it for one record."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from inspectd.errors import InspectdError, UnavailableError
from inspectd.recipes.audit.log import AuditInUseError, AuditLog
from inspectd.recipes.audit.records import BEGUN, DONE, AuditAction, AuditRecord

_LOCK_SECONDS: Final = 1.0
"""Longest wait for another process that writes a record."""
_BLOCK: Final = 4096


class AuditEntry(NamedTuple):
    """What a record says; `docs/recipes.md` has a table of it."""

    action: AuditAction
    who: str
    door: str
    object: str | None = None
    old: str | None = None
    new: str | None = None
    why: str | None = None


def append_record(
    path: Path, entry: AuditEntry, result: str = DONE, is_wanted: Callable[[], bool] = lambda: True
) -> AuditRecord:
    """Write a record, once nobody else writes one; it is on the disk when this returns.

    `is_wanted`: see `AuditLog.append`.

    Raises:
        InputError: the file's last record was altered.
        UnavailableError: it cannot be written, or another process has the file for longer than 1 s.
    """
    with contextlib.closing(open_once_free(path)) as log:
        return log.append(
            entry.action, who=entry.who or "unknown", door=entry.door, object=entry.object,
            old=entry.old, new=entry.new, why=entry.why or None, result=result, is_wanted=is_wanted,
        )  # fmt: skip


def refuse_unwritable_log(path: Path) -> None:
    """Refuse a file that would take no record now, without writing one; a nameless one shows a full disk.

    Raises:
        InputError: its last record was altered.
        UnavailableError: it cannot be written, or another process has it for longer than 1 s.
    """
    with contextlib.closing(open_once_free(path)):
        try:
            with tempfile.TemporaryFile(dir=path.parent) as scrap:
                scrap.write(bytes(_BLOCK))
        except OSError as error:
            raise UnavailableError(f"{path}: cannot be written: {error.strerror or error}") from error


def open_once_free(path: Path) -> AuditLog:
    """The file, open for whoever closes it, once nobody else has it.

    Raises:
        InputError: its last record was altered.
        UnavailableError: it cannot be opened, or another process has it for longer than 1 s.
    """
    until = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return AuditLog(path).open()
        except AuditInUseError:
            if time.monotonic() > until:
                raise
        time.sleep(0.01)


@contextmanager
def recorded_change(path: Path, entry: AuditEntry) -> Iterator[None]:
    """Let a change take effect between two records: that it is begun, and how it ended.

    So no change is without a record: without the first one it does not begin, and whatever ends the process
    before the second one leaves the first.

    Raises:
        InputError: as `append_record`; nothing has changed.
        UnavailableError: likewise; or the change took effect, and only the second record is missing.
    """
    append_record(path, entry, BEGUN)
    try:
        yield
    except InspectdError as error:
        with contextlib.suppress(InspectdError):  # the reason why it failed is what a person has to know
            append_record(path, entry, f"failed: {error}")
        raise
    try:
        append_record(path, entry)
    except InspectdError as error:
        what = entry.new or entry.old or entry.object or ""
        raise UnavailableError(
            f"{entry.action} {what}: is done, and {path} says only that it was begun: {error}"
        ) from error
