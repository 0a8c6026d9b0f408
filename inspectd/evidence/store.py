"""The dated tree of evidence and its quota.

`YYYY/MM/DD/HHMMSS.mmm_CAMERA_EPOCH-SEQ_EVALUATION/`: names in order are in order of the host's clock.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from inspectd.evidence.record import day_of, folder_of
from inspectd.log import event
from inspectd.wire import Evaluation, Verdict

_log: Final = logging.getLogger("inspectd.evidence")

_PROBE: Final = ".probe"
_OWNER: Final = ".line"
_PARTIAL: Final = ".partial"
_FOLDERS_ABOVE: Final = 3  # year, month, day
_PIECE: Final = re.compile(
    rf"[0-9]{{6}}\.[0-9]{{3}}_.+_([0-9]+)-([0-9]+)_({'|'.join(Evaluation)})({_PARTIAL})?"
)
"""What `folder_of` gives, and nothing else: a plant's own pictures may lie by date too, and must stay."""
_RECOUNT_SECONDS: Final = 3600.0
"""So often what could not be removed or listed is looked at again."""


class NoSpaceError(OSError):
    """The disk is fuller than the settings allow evidence to make it."""


class EvidenceStore:
    """Writes pieces of evidence as a whole or not at all, and takes the oldest away beyond the quota.

    What cannot be taken away, or not even listed, is passed over: it stays counted and holds up nothing.
    """

    def __init__(
        self,
        root: Path,
        quota_bytes: int,
        min_free_bytes: int,
        *,
        line: str = "",
        clock: Callable[[], float] = time.monotonic,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Touch nothing before `claim` or `probe`.

        Args:
            root: the tree's directory.
            quota_bytes: most that the tree may take on the disk.
            min_free_bytes: how much must stay free there for others.
            line: whose it is, `PLANT/LINE`; empty: nobody asks.
            clock: seconds on a clock that never goes back.
            utc_ns: the host's clock, which dates verdicts.
        """
        self._root = root
        self._quota_bytes = quota_bytes
        self._min_free_bytes = min_free_bytes
        self._line = line
        self._clock = clock
        self._utc_ns = utc_ns
        self._pieces: deque[tuple[Path, int]] = deque()
        self._stuck: dict[Path, tuple[int, str]] = {}
        """Paths that were passed over, each with the bytes it counts and the reason."""
        self._lock_fd: int | None = None
        self._is_open = False
        self._recount_at = 0.0
        self.used_bytes = 0

    @property
    def stuck(self) -> str | None:
        """Description of what was passed over; None if nothing was."""
        if not self._stuck:
            return None
        place, (_, why) = next(iter(self._stuck.items()))
        more = f", and {len(self._stuck) - 1} more" if len(self._stuck) > 1 else ""
        return f"{place}: {why}{more}; skipped, but its {self._stuck_bytes / 1e6:.1f} MB still count"

    @property
    def is_claimed(self) -> bool:
        """True once `claim` has held."""
        return self._lock_fd is not None

    def claim(self) -> None:
        """Have the tree for this process and line alone: of two that trim one tree, each takes the other's.

        Raises:
            OSError: another process has it, it is another line's, or the directory cannot be made.
        """
        if self.is_claimed:
            return
        self._root.mkdir(mode=0o750, parents=True, exist_ok=True)
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            why = "another inspectd keeps its evidence here; give each line an evidence.dir of its own"
            raise BlockingIOError(error.errno, why, str(self._root)) from error
        except OSError as error:  # a file system without locks, on which evidence can be kept all the same
            event(_log, logging.WARNING, "evidence_unlocked", path=str(self._root), detail=error.strerror)
        try:
            self._refuse_other_line()
        except OSError:
            os.close(fd)  # its own line may come
            raise
        self._lock_fd = fd

    def _refuse_other_line(self) -> None:
        """Refuse a tree whose pieces another line has kept: they would be removed as this one's oldest."""
        owner = self._root / _OWNER
        if not self._line:
            return
        found = owner_of(self._root)
        if not found:  # or a power cut has emptied it
            new = owner.with_suffix(".new")
            new.write_text(f"{self._line}\n", encoding="utf-8")
            new.replace(owner)
        elif found != self._line:
            why = (
                f"the evidence here is line {found[:130]}'s; give each line an evidence.dir of its own, or "
                f"delete {_OWNER} if it may be counted and removed as line {self._line}'s"
            )
            raise PermissionError(errno.EPERM, why, str(self._root))

    def probe(self) -> None:
        """Find what is there, the first time; and make sure that more can be written.

        Raises:
            NoSpaceError: too little would stay free, what cannot be removed fills the quota, or what is
                written today would lie behind a link.
            OSError: the directory cannot be made, listed or written.
        """
        self._root.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not self._is_open or (self._stuck and self._clock() >= self._recount_at):
            self._find()
            self._is_open = True
        self._check_room()
        today = self._root / day_of(self._utc_ns())
        self._refuse_link(today)
        # Where the next piece goes: what is in that place, or whose it is, need not be so above it.
        probe = next(folder for folder in (today, *today.parents) if folder.exists()) / _PROBE
        probe.write_bytes(bytes(4096))
        probe.unlink()

    def save(self, verdict: Verdict, files: Mapping[str, bytes]) -> Path:
        """Write one piece, then take the oldest away while there is more than the quota.

        Raises:
            NoSpaceError: as of `probe`.
            OSError: it cannot be written.
        """
        self._check_room()
        place = self._root / folder_of(verdict)
        self._refuse_link(place.parent)
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
            self._remove(*self._pieces.popleft())
        return place

    @property
    def _stuck_bytes(self) -> int:
        return sum(size for size, _ in self._stuck.values())

    def _refuse_link(self, day: Path) -> None:
        if any(folder.is_symlink() for folder in (day, *day.parents[: _FOLDERS_ABOVE - 1])):
            why = "a link is in place of the day, month or year: what is behind it is never removed"
            raise NoSpaceError(0, f"{day}: {why}; name the other disk in evidence.dir")

    def _check_room(self) -> None:
        if self._stuck_bytes >= self._quota_bytes:
            raise NoSpaceError(0, f"evidence.quota_mb is filled by what cannot be removed: {self.stuck}")
        state = os.statvfs(self._root)
        free_bytes = state.f_bavail * state.f_frsize
        if free_bytes < self._min_free_bytes:
            raise NoSpaceError(
                0,
                f"{free_bytes / 1e6:.0f} MB are free, evidence.min_free_mb is {self._min_free_bytes / 1e6:g}",
            )

    def _remove(self, place: Path, size: int) -> None:
        try:
            is_ours = not self._is_behind_link(place)
            if is_ours and place.exists():
                shutil.rmtree(place)
        except OSError as error:
            self._stuck[place] = size, f"cannot be removed: {reason(error)}"
            return
        self.used_bytes -= size
        if not is_ours:
            return
        for parent in itertools.islice(place.parents, _FOLDERS_ABOVE):
            try:
                parent.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # it is not empty, or an empty folder is left, which takes no room
                return

    def _is_behind_link(self, place: Path) -> bool:
        """True if a person took it, or the day, month or year it lies in, away and left a link: not ours."""
        return any(folder.is_symlink() for folder in (place, *place.parents[:_FOLDERS_ABOVE]))

    def count(self) -> int:
        """Bytes that pieces take now; unlike `probe`, it makes, claims and removes nothing.

        Raises:
            OSError: some of it cannot be listed.
        """
        self._find(may_remove=False)
        if self.stuck is not None:
            raise PermissionError(errno.EACCES, self.stuck, str(self._root))
        return self.used_bytes

    def _find(self, *, may_remove: bool = True) -> None:
        """Take stock; what an interrupted write left is removed."""
        self._pieces.clear()
        self._stuck.clear()
        self.used_bytes = 0
        folders = [self._root]
        for _ in range(_FOLDERS_ABOVE):
            folders = [inner for folder in folders for inner in self._folders(folder) if inner.name.isdigit()]
        inside = (inner for folder in folders for inner in self._folders(folder))
        found = [(age, inner) for inner in inside if (age := _age(inner)) is not None]
        for _, place in sorted(found):
            if may_remove and place.name.endswith(_PARTIAL):
                shutil.rmtree(place, ignore_errors=True)
            self._count(place)
        self._recount_at = self._clock() + _RECOUNT_SECONDS

    def _folders(self, parent: Path) -> list[Path]:
        """The folders in `parent`; a file or a link is nobody's evidence and stays."""
        try:
            with os.scandir(parent) as entries:
                return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            if parent == self._root:
                raise
            self._stuck[parent] = 0, f"cannot be listed: {reason(error)}"
            return []

    def _count(self, place: Path) -> None:
        try:
            size = _disk_bytes(place)
        except FileNotFoundError:
            return
        except OSError as error:
            self._stuck[place] = 0, f"cannot be listed: {reason(error)}"
            return
        self._pieces.append((place, size))
        self.used_bytes += size


def owner_of(root: Path) -> str:
    """The line, `PLANT/LINE`, whose evidence a directory has; empty: nobody's yet.

    Raises:
        OSError: that cannot be read.
    """
    owner = root / _OWNER
    return owner.read_text(encoding="utf-8", errors="replace").strip() if owner.is_file() else ""


def reason(error: OSError) -> str:
    """An operating system's error in words, with the file it is about."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _age(place: Path) -> tuple[int, int] | None:
    """What orders pieces by age, the epoch and number of the verdict; None: it is no piece.

    Not the time in the path: what a clock that was ahead has dated would stay for ever, and after each
    restart the quota would take what is really the newest. Epochs grow whatever the clock does. Only where
    the line's state was lost, or an older one put back, may they begin again below those of pieces here: at a
    start these then count as newer than what was kept since, until one start keeps so much that they go too.
    """
    found = _PIECE.fullmatch(place.name)
    return None if found is None else (int(found[1]), int(found[2]))


def _disk_bytes(directory: Path) -> int:
    """Bytes that a piece takes on the disk, its directory included."""
    return sum(path.stat().st_blocks * 512 for path in (directory, *directory.iterdir()))
