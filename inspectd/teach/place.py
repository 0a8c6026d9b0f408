"""Where a line keeps what it was taught, and the one way to change it: alone, with a record."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inspectd.errors import InputError, UnavailableError
from inspectd.recipes.audit import (
    DONE,
    AuditAction,
    AuditEntry,
    AuditFault,
    AuditRecord,
    append_record,
    read,
    verify,
)
from inspectd.recipes.store import RecipeStore
from inspectd.teach.images import ImageStore
from inspectd.teach.roles import Person
from inspectd.wire import Verdict


@dataclass(frozen=True)
class TeachPlace:
    """A line's folder of teaching, and what of the line it needs.

    Attributes:
        root: the folder, `teach` in the line's state directory.
        audit: the line's audit file.
        evidence: its evidence directory.
        recipes: its store of recipes.
        judged_since: the line's verdicts on frames since a time (ns since 1970, UTC), oldest first; raises
            InputError where its journal cannot be read.
        clock_ns: nanoseconds since 1970, UTC.
    """

    root: Path
    audit: Path
    evidence: Path
    recipes: RecipeStore
    judged_since: Callable[[int], Iterable[Verdict]]
    clock_ns: Callable[[], int] = time.time_ns

    @property
    def images(self) -> ImageStore:
        """Its store of images."""
        return ImageStore(self.root / "images")

    @property
    def shown(self) -> ImageStore:
        """Small pictures that reports were made of: JPEG by this program, for a screen."""
        return ImageStore(self.root / "shown")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other command change cases or signatures meanwhile.

        Raises:
            UnavailableError: one does, or the folder cannot be written.
        """
        try:
            self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UnavailableError(f"{self.root}: cannot be used: {error.strerror or error}") from error
        try:
            _lock(descriptor, self.root)
            yield
        finally:
            os.close(descriptor)

    def record(self, what: str, new: str, person: Person, old: str | None = None) -> AuditRecord:
        """Write into the audit file that a person did something; that is what counts.

        Raises:
            InputError: the file was altered.
            UnavailableError: it cannot be written.
        """
        entry = AuditEntry(
            AuditAction.TEACH, person.who, person.door, what, old, f"{new} as {person.role}", person.why
        )
        return append_record(self.audit, entry)

    def records(self) -> list[AuditRecord]:
        """All that was done so, oldest first.

        Raises:
            InputError: the audit file cannot be read, or its chain is broken.
        """
        found = verify(self.audit)
        if isinstance(found, AuditFault):
            raise InputError(f"{self.audit}: was altered: {found}; restore a copy")
        return [
            record
            for record in read(self.audit)
            if record.action is AuditAction.TEACH and record.result == DONE
        ]


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UnavailableError(f"{root}: another command is at work; try again") from error
