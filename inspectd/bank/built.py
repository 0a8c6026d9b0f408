"""A bank that was built, before a file holds it, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from numpy.typing import NDArray

from inspectd.bank.collect import Collection
from inspectd.bank.file import Manifest
from inspectd.model.score import Scoring
from inspectd.quality.learnt import LearntQuality


class BankSize(msgspec.Struct, frozen=True):
    """Entries of a bank and their dimensions."""

    rows: int
    dims: int


class BuildReport(msgspec.Struct, frozen=True):
    """The bank that was built, notes on its images, and the time of each step."""

    images: int
    patches: int
    bank: BankSize
    threshold: float
    extract_s: float
    coreset_s: float
    fit_s: float
    """Fitting everything, the cross-fit for the threshold included."""
    sha256: str
    unreadable: dict[str, str]
    """Images that cannot be used, each with the reason."""
    duplicates: list[str]
    rare_sizes: list[str] = msgspec.field(name="odd_sizes")
    """Image sizes that fewer than one image in twenty has."""
    outliers: list[str] = msgspec.field(name="unlike_the_rest")
    """Images that score far above the others: look whether they show good parts."""
    outliers_count: bool
    """Whether these took part in finding the threshold."""
    threshold_with_outliers: float | None
    """The threshold if they counted; None: there are none, or they do."""
    quality: LearntQuality | None = None
    """How its images were taken; None: they are too few to learn it."""
    radius: float | None = None
    """Of PatchCore's coreset: the largest distance of a patch of these images to the nearest that is kept. No
    choice of as many patches has less than half of it. None: there is no coreset."""
    workers_lost: int = 0
    """Processes that were lost while they chose it, and made anew."""
    parts: int | None = None
    """Parts that the images show, as they were named; None: each shows another, or nobody said it."""
    alike: list[list[str]] = []
    """Groups of images that look like several of one part each, though nobody named any."""
    left_out: dict[str, int] = {}
    """Other files of the folder: the reason for passing them over, and their number."""


@dataclass(frozen=True)
class Built:
    """A bank that no file holds yet.

    Attributes:
        arrays: its tensors, by their names in the file.
        images: what it was built from.
        seconds: features; of the fit that came after them, the coreset and all.
        radius: of the coreset; None: there is none.
        workers_lost: processes that were lost while they chose it.
        held_out: scores as this bank would if it had been built without `held_out_images`.
        held_out_images: names.
        taught_rows: by the sha256 of each taught image's pixels: rows of the bank that come from it, in
            ascending order; None: its detector has no such rows.
        alike: groups of images, by their names, that look like several of one part each.
    """

    manifest: Manifest
    arrays: dict[str, NDArray[Any]]
    images: Collection
    seconds: tuple[float, float, float]
    radius: float | None
    workers_lost: int
    held_out: Scoring
    held_out_images: list[str]
    taught_rows: dict[str, list[int]] | None = None
    alike: Sequence[Sequence[str]] = ()


def rare_sizes(images: Collection) -> list[str]:
    """Image sizes that fewer than one image in twenty has, for people."""
    total = sum(images.sizes.values())
    rare = [(size, count) for size, count in sorted(images.sizes.items()) if count * 20 < total]
    if sum(count for _, count in rare) * 2 > total:  # every size is rare: parts are cut out one by one
        return []
    return [f"{height}x{width} ({count})" for (height, width), count in rare]
