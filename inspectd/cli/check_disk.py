"""For `inspectd check`: disks that cannot hold what the settings let a line keep."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from inspectd import config

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


def disk_warnings(
    settings: config.Config, state: tuple[Path, Disk], evidence: tuple[Path, Disk]
) -> Iterator[str]:
    """What a line may keep and its disks cannot hold, and what it would not keep as things are now.

    Args:
        settings: of the line.
        state: the directory of its state, and the disk of that.
        evidence: that of its evidence, likewise.
    """
    journal_mb, kept = settings.journal.max_mb, settings.evidence
    asked = {state[1].number: [(state, "journal.max_mb", journal_mb)]}
    if kept.enabled:
        mine = asked.setdefault(evidence[1].number, [])
        for name in ("quota_mb", "min_free_mb"):
            mine.append((evidence, f"evidence.{name}", getattr(kept, name)))
    for wanted in asked.values():
        (folder, disk), total_mb = wanted[-1][0], sum(mb for _, _, mb in wanted)
        if disk.all_bytes < total_mb * _MB:
            names = " + ".join(f"{name} {mb:g}" for _, name, mb in wanted)
            yield (
                f"disk: the line may take {total_mb:.0f} MB of the disk of {folder} ({names}), and it holds "
                f"{disk.all_bytes / _MB:.0f} MB in all; ask for less, or take a larger disk"
            )
    folder, disk = evidence
    if kept.enabled and disk.free_bytes < kept.min_free_mb * _MB:
        yield (
            f"disk: {disk.free_bytes / _MB:.0f} MB are free on the disk of {folder}, and "
            f"evidence.min_free_mb is {kept.min_free_mb:g}: no evidence would be kept; make room there"
        )
