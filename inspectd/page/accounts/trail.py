"""The page's own audit file: what was done and what was refused, in records like those of a line's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from inspectd.page.told_pages import ToldAuditRow
from inspectd.recipes.audit import AuditAction, AuditEntry, AuditRecord, append_record, newest_first

FILE_NAME: Final = "page-audit.jsonl"


class PageTrail:
    """The file; a record is on the disk when `record` returns, so it belongs into a thread.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        # The page's own threads wait for each other as long as it takes; for a command of a person, a second.
        self._lock = threading.Lock()

    def record(
        self,
        action: AuditAction,
        who: str,
        door: str,
        *,
        about: str | None = None,
        old: str | None = None,
        new: str | None = None,
        why: str | None = None,
        result: str = "done",
    ) -> None:
        """Write a record.

        Args:
            action: what was done or asked for.
            who: the name it was done under.
            door: `page ADDRESS`, or `command`.
            about: what it was done to.
            old: what was before.
            new: what is now.
            why: the reason that was given.
            result: `done`, or why it was not.

        Raises:
            InputError: the file's last record was altered.
            UnavailableError: it cannot be written.
        """
        with self._lock:
            append_record(self.path, AuditEntry(action, who, door, about, old, new, why or None), result)

    def page(self, before: int | None, limit: int) -> list[ToldAuditRow]:
        """Records, the newest first, of those before number `before`.

        Raises:
            InputError: the file was altered.
            UnavailableError: it cannot be read.
        """
        records: Iterator[AuditRecord] = newest_first(self.path)
        if before is not None:
            records = (record for record in records if record.seq < before)
        return [_shown(record) for record in islice(records, limit)]


def _shown(record: AuditRecord) -> ToldAuditRow:
    return {
        "seq": record.seq,
        "ms": record.utc_ns // 1_000_000,
        "who": record.who,
        "door": record.door,
        "action": record.action.value,
        "about": record.object,
        "old": record.old,
        "new": record.new,
        "why": record.why,
        "result": record.result,
        "sha256": record.sha256,
    }
