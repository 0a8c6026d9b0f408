"""The dated tree of evidence and its quota. Knows no picture and no process.

`YYYY/MM/DD/HHMMSS.mmm_CAMERA_EPOCH-SEQ_EVALUATION/`: names in order are evidence in order of time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from inspectd.records import Verdict

_PROBE: Final = ".probe"
_PARTIAL: Final = ".partial"


class NoSpaceError(OSError):
    """The disk is fuller than the settings allow evidence to make it."""


class EvidenceStore:
    """Writes pieces of evidence as a whole or not at all, and takes the oldest away beyond the quota."""

    def __init__(self, root: Path, quota_bytes: int, min_free_bytes: int) -> None:
        """Nothing is touched before `open`.

        Args:
            root: the tree's directory.
            quota_bytes: most that the tree may take on the disk.
            min_free_bytes: how much must stay free there for others.
        """
        self._root = root
        self._quota_bytes = quota_bytes
        self._min_free_bytes = min_free_bytes
        self._pieces: deque[tuple[Path, int]] = deque()
        self._is_open = False
        self.used_bytes = 0

    def probe(self) -> None:
        """Find what is there, the first time; and make sure that more can be written.

        Raises:
            NoSpaceError: too little would stay free.
            OSError: the directory cannot be made, listed or written.
        """
        self._root.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not self._is_open:
            self._find()
            self._is_open = True
        self._check_free()
        probe = self._root / _PROBE
        probe.write_bytes(bytes(4096))
        probe.unlink()

    def save(self, verdict: Verdict, files: Mapping[str, bytes]) -> Path:
        """Write one piece, then take the oldest away while there is more than the quota.

        Raises:
            NoSpaceError: too little would stay free.
            OSError: it cannot be written.
        """
        self._check_free()
        place = self._root / _place(verdict)
        partial = place.with_name(place.name + _PARTIAL)
        try:
            partial.mkdir(mode=0o750, parents=True)
            for name, data in files.items():
                (partial / name).write_bytes(data)
            size = _disk_bytes(partial)
            partial.rename(place)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self._pieces.append((place, size))
        self.used_bytes += size
        while self.used_bytes > self._quota_bytes and self._pieces:
            self._remove_oldest()
        return place

    def _check_free(self) -> None:
        state = os.statvfs(self._root)
        free_bytes = state.f_bavail * state.f_frsize
        if free_bytes < self._min_free_bytes:
            raise NoSpaceError(
                0,
                f"{free_bytes / 1e6:.0f} MB are free, evidence.min_free_mb is {self._min_free_bytes / 1e6:g}",
            )

    def _remove_oldest(self) -> None:
        place, size = self._pieces[0]
        with contextlib.suppress(FileNotFoundError):  # a person took it away
            shutil.rmtree(place)
        self._pieces.popleft()
        self.used_bytes -= size
        for parent in itertools.islice(place.parents, 3):
            if not parent.is_dir():
                continue
            if any(parent.iterdir()):
                return
            parent.rmdir()

    def _find(self) -> None:
        """Take stock; what an interrupted write left is removed."""
        found = []
        for place in self._root.glob("[0-9]*/[0-9]*/[0-9]*/*"):
            if place.name.endswith(_PARTIAL):
                shutil.rmtree(place, ignore_errors=True)
            elif place.is_dir():  # a file is nobody's evidence and stays
                found.append((place, _disk_bytes(place)))
        self._pieces = deque(sorted(found))
        self.used_bytes = sum(size for _, size in found)


def _place(verdict: Verdict) -> str:
    decided = datetime.fromtimestamp(verdict.decided_utc_ns / 1e9, UTC)
    milliseconds = decided.microsecond // 1000
    return (
        f"{decided:%Y/%m/%d/%H%M%S}.{milliseconds:03d}_{verdict.camera}_{verdict.epoch}-{verdict.seq}"
        f"_{verdict.evaluation}"
    )


def _disk_bytes(directory: Path) -> int:
    """What a piece takes on the disk, itself included."""
    return sum(path.stat().st_blocks * 512 for path in (directory, *directory.iterdir()))
