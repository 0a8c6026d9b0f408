"""Where a line keeps what it was taught, and the one way to change it: alone, with a record."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from inspectd.errors import InputError, UnavailableError
from inspectd.files import make_folder
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

_TICKS_NS: Final = 50_000_000
"""Longer than a tick of any file system's clock."""
LONG_WORK_SECONDS: Final = 300.0
"""So long what took minutes to compute waits to be kept: for an answer, or an approval that copies a bank."""
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True)
class TeachPlace:
    """A line's folder of teaching, and what of the line it needs.

    Attributes:
        root: the folder, `teach` in the line's state directory.
        audit: the line's audit file.
        evidence: its evidence directory.
        recipes: its store of recipes.
        judged_since: the line's verdicts on frames since a time (ns since 1970, UTC), newest first; raises
            InputError where its journal cannot be read.
        clock_ns: nanoseconds since 1970, UTC.
    """

    root: Path
    audit: Path
    evidence: Path
    recipes: RecipeStore
    judged_since: Callable[[int], Generator[Verdict, None, None]]
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
    def alone(self, wait_seconds: float = 0.0) -> Iterator[None]:
        """Let no other command change cases or signatures meanwhile.

        Args:
            wait_seconds: longest wait for one that does: who was asked for an answer is told at once instead.

        Raises:
            UnavailableError: one does, or the folder cannot be written.
        """
        try:
            make_folder(self.root)
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UnavailableError(f"{self.root}: cannot be used: {error.strerror or error}") from error
        try:
            _lock(descriptor, self.root, wait_seconds)
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

    def records(self) -> Sequence[AuditRecord]:
        """All that was done so, oldest first.

        Raises:
            InputError: the audit file cannot be read, or its chain is broken.
        """
        try:
            found = self.audit.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise InputError(f"{self.audit}: cannot be read: {error.strerror or error}") from error
        state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        # Two changes within a tick of the file system's clock may leave the same state.
        is_settled = time.time_ns() - found.st_ctime_ns > _TICKS_NS
        return _kept(self.audit, state) if is_settled else _verified(self.audit)


def _verified(audit: Path) -> tuple[AuditRecord, ...]:
    fault = verify(audit)
    if isinstance(fault, AuditFault):
        raise InputError(f"{audit}: was altered: {fault}; restore a copy while the line is stopped")
    return tuple(
        record for record in read(audit) if record.action is AuditAction.TEACH and record.result == DONE
    )


@lru_cache(maxsize=1)
def _kept(audit: Path, _state: tuple[int, ...]) -> tuple[AuditRecord, ...]:
    """What was verified of the file in this state: one look at the desk asks for it many times."""
    return _verified(audit)


def _lock(descriptor: int, root: Path, wait_seconds: float) -> None:
    until = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise UnavailableError(f"{root}: another command is at work; try again") from error
        except OSError as error:
            raise UnavailableError(f"{root}: cannot be used: {error.strerror or error}") from error
        else:
            return
        time.sleep(_LOOK_SECONDS)
