"""For `inspectd check`: disks that cannot hold what the settings let a line keep."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from inspectd import config
from inspectd.evidence.store import EvidenceStore
from inspectd.publish.journal.file import NAME

_MB: Final = 1e6


class Disk(NamedTuple):
    """A file system as its user sees it: without what is reserved for root.

    Attributes:
        number: the same for all folders that lie on it.
        all_bytes: what it can hold.
        free_bytes: what is free now.
    """

    number: int
    all_bytes: int
    free_bytes: int


def disk_of(folder: Path) -> Disk:
    """The disk that a folder lies on, or will once it is made.

    Raises:
        OSError: it cannot be asked.
    """
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    state = os.statvfs(there)
    can_hold = state.f_blocks - state.f_bfree + state.f_bavail
    return Disk(there.stat().st_dev, can_hold * state.f_frsize, state.f_bavail * state.f_frsize)


def journal_bytes(state: Path) -> int:
    """What the journal takes in a state directory now.

    Raises:
        OSError: it cannot be looked at.
    """
    file = state / NAME
    return file.stat().st_blocks * 512 if file.exists() else 0


def evidence_bytes(folder: Path) -> int:
    """What evidence takes in its directory now; each file of it is looked at.

    Raises:
        OSError: some of it cannot be looked at.
    """
    return EvidenceStore(folder, 0, 0).count()


_KEPT: Final = {"journal.max_mb": journal_bytes, "evidence.quota_mb": evidence_bytes}
"""What takes of these settings now, by the directory that it is in."""


def disk_warnings(
    settings: config.Config,
    state: tuple[Path, Disk],
    evidence: tuple[Path, Disk],
    kept_bytes: Mapping[str, Callable[[Path], int]] = _KEPT,
) -> Iterator[str]:
    """What a line may keep and its disks cannot hold, and what it would not keep as things are now.

    Args:
        settings: of the line.
        state: the directory of its state, and the disk of that.
        evidence: that of its evidence, likewise.
        kept_bytes: by the name of a setting, what counts in a directory what it already keeps there; asked
            last, and only where that decides.

    Raises:
        OSError: it cannot be counted.
    """
    journal_mb, kept = settings.journal.max_mb, settings.evidence
    asked = {state[1].number: [(state, "journal.max_mb", journal_mb)]}
    if kept.enabled:
        mine = asked.setdefault(evidence[1].number, [])
        for name in ("quota_mb", "min_free_mb"):
            mine.append((evidence, f"evidence.{name}", getattr(kept, name)))
    told: set[int] = set()
    totals = [(wanted, sum(mb for _, _, mb in wanted)) for wanted in asked.values()]
    for wanted, total_mb in totals:
        folder, disk = wanted[-1][0]
        if disk.all_bytes < total_mb * _MB:
            told.add(disk.number)
            yield (
                f"disk: the line may take {total_mb:.0f} MB of the disk of {folder} ({_sum_of(wanted)}), and "
                f"it holds {disk.all_bytes / _MB:.0f} MB in all; ask for less, or take a larger disk"
            )
    folder, disk = evidence
    if kept.enabled and disk.free_bytes < kept.min_free_mb * _MB:
        told.add(disk.number)
        yield (
            f"disk: {disk.free_bytes / _MB:.0f} MB are free on the disk of {folder}, and "
            f"evidence.min_free_mb is {kept.min_free_mb:g}: no evidence would be kept; make room there"
        )
    for wanted, total_mb in totals:
        folder, disk = wanted[-1][0]
        if disk.number in told or disk.free_bytes >= total_mb * _MB:
            continue
        # Room below its bounds is the line's own: of what it keeps already, no more than they allow counts.
        there = [
            min(kept_bytes[name](place), int(mb * _MB))
            for (place, _), name, mb in wanted
            if name in kept_bytes
        ]
        if disk.free_bytes + sum(there) < total_mb * _MB:
            yield (
                f"disk: the line may take {total_mb:.0f} MB of the disk of {folder} ({_sum_of(wanted)}); it "
                f"keeps {sum(there) / _MB:.0f} MB there already, and {disk.free_bytes / _MB:.0f} MB are "
                "free: what others keep there leaves too little; make room there, or ask for less"
            )


def _sum_of(wanted: Sequence[tuple[tuple[Path, Disk], str, float]]) -> str:
    return " + ".join(f"{name} {mb:g}" for _, name, mb in wanted)
