"""Finds the evidence of a verdict, or says why there is none. Reads names and `evidence.json`, no picture."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from inspectd.errors import InputError
from inspectd.evidence.record import EvidenceRecord, folder_of, read_record
from inspectd.files import open_regular
from inspectd.page.history.rows import Numbered
from inspectd.page.told import EvidenceWord
from inspectd.wire import Evaluation, Verdict

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")
"""Of a camera, as settings allow it: what a message says else names no folder."""
_WRITING_MS: Final = 10_000
"""So soon after a verdict its evidence may still be written."""


class KeptEvidence(msgspec.Struct, frozen=True):
    """Evidence that is there."""

    folder: Path
    record: EvidenceRecord

    def open(self, name: str) -> BinaryIO:
        """A file of it.

        Raises:
            InputError: it is not a regular file.
            OSError: it cannot be opened.
        """
        return open_regular(self.folder / name, follow_links=False)


class EvidenceTree:
    """A line's evidence directory, read as a member of its group.

    Args:
        root: the directory; None: it is on another host.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def has(self, item: Numbered) -> EvidenceWord:
        """Whether evidence of a verdict is there: "kept", "none" or "unknown". A look at one name."""
        if self._root is None or not isinstance(item, Verdict):
            return "unknown"  # of a part it is each view's
        if (folder := self._folder(item)) is None:
            return "none"
        try:
            return "kept" if stat.S_ISDIR(os.lstat(folder).st_mode) else "none"
        except (FileNotFoundError, NotADirectoryError):
            return "none" if self._root.is_dir() else "unknown"  # a root that is named wrongly has nothing
        except OSError:
            return "unknown"

    def find(self, verdict: Verdict) -> KeptEvidence | None:
        """The evidence of a verdict; None: there is none.

        Raises:
            InputError: what is there cannot be read, or is that of another verdict.
        """
        folder = self._folder(verdict)
        if folder is None or self.has(verdict) != "kept":
            return None
        record = read_record(folder)
        found = record.verdict
        if (found.epoch, found.seq, found.camera) != (verdict.epoch, verdict.seq, verdict.camera):
            raise InputError(f"{folder}: holds the evidence of verdict {found.epoch}:{found.seq}")
        return KeptEvidence(folder, record)

    def why_none(self, item: Numbered, now_ms: int) -> str:
        """Why there is no evidence, as far as that can be known; a word that the page has a sentence for.

        The line does not record for each verdict why its picture was not kept (`docs/evidence.md` counts the
        causes): `not_recorded` stands for all that cannot be seen from here.
        """
        return next(word for word, holds in self._causes(item, now_ms) if holds)

    def _causes(self, item: Numbered, now_ms: int) -> Iterator[tuple[str, bool]]:
        """Each cause with whether it holds; what comes later presumes that nothing before it does."""
        yield "see_views", not isinstance(item, Verdict)
        assert isinstance(item, Verdict)
        yield "other_host", self._root is None
        assert self._root is not None
        yield "unreadable", not os.access(self._root, os.R_OK | os.X_OK)
        yield "no_frame", item.frame_seq is None and item.captured_utc_ns is None
        yield "perhaps_soon", now_ms - item.decided_utc_ns // 1_000_000 < _WRITING_MS
        oldest = self._oldest_day()
        yield "removed", oldest is not None and folder_of(item).parts[:3] < oldest
        yield "pass_not_chosen", item.evaluation is Evaluation.PASS and not item.second_look
        yield "not_recorded", True

    def _folder(self, verdict: Verdict) -> Path | None:
        if self._root is None or not _NAME.match(verdict.camera):
            return None
        try:
            return self._root / folder_of(verdict)
        except (ValueError, OverflowError, OSError):
            return None  # of no time that a calendar has

    def _oldest_day(self) -> tuple[str, ...] | None:
        """Year, month and day of the oldest evidence there is; None: there is none."""
        found: list[str] = []
        place = self._root
        assert place is not None
        for _ in range(3):
            try:
                names = [name for name in os.listdir(place) if name.isdigit()]  # noqa: PTH208 - names alone
            except OSError:
                return None
            if not names:
                return None
            found.append(min(names))
            place /= found[-1]
        return tuple(found)
