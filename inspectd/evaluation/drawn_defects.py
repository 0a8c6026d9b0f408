"""Draws planned synthetic defects into good images, scores them, and counts those found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.file import Manifest
from inspectd.bank.images import read_again
from inspectd.errors import InputError
from inspectd.evaluation.calibrate import Interval, interval
from inspectd.evaluation.paste_plan import CONTRASTS, PlannedPaste, plan_pastes
from inspectd.evaluation.synthetic import KINDS, Frame, Pasted, paste
from inspectd.pictures.region import Region

Score = Callable[[Sequence[Frame]], Sequence[float]]
"""Scores frames, each (H, W, 3) uint8 BGR."""

_SIZES: Final = (0.01, 0.25)
"""Smallest and largest size as shares of the median shorter side of the scored regions."""
_SMALLEST_PIXELS: Final = 2.0
_LARGEST_SHARE: Final = 0.8
"""Of the shorter side of the smallest region: every paste has to fit into every image."""
_BATCH: Final = 8
WHOLE: Final = (0.0, 0.0, 1.0, 1.0)
"""The region where all of an image is scored."""


@dataclass(frozen=True)
class GoodImage:
    """A good image to draw into.

    Attributes:
        name: for people.
        read: reads it again: (H, W, 3) uint8 BGR.
        score: as it is.
        size: its height and width.
    """

    name: str
    read: Callable[[], Frame]
    score: float
    size: tuple[int, int]


@dataclass(frozen=True)
class ScoredPaste:
    """A paste and what became of it.

    Attributes:
        paste: as planned.
        place: column and row of its centre in its image.
        at: the same as shares of the scored region's width and height.
        score: of the image with it.
        clean_score: of the image without it.
    """

    paste: PlannedPaste
    place: tuple[float, float]
    at: tuple[float, float]
    score: float
    clean_score: float


def large_defects_found(
    paths: Sequence[Path],
    manifest: Manifest,
    thresholds: Sequence[float],
    score: Score,
    step: Callable[[int, int], None],
    *,
    pastes: int,
    scored: NDArray[np.bool_] | None = None,
) -> list[Interval]:
    """Share of large synthetic defects found at each threshold, of every kind and contrast together.

    Args:
        paths: images of good parts, at least one.
        manifest: of the bank.
        thresholds: each is judged by.
        score: scores images as by a bank that has not seen them.
        step: called with the number of pastes done, and of all.
        pastes: how many at least; each kind and contrast has as many.
        scored: (h, w) bool, cells of the region that are scored; None: all.

    Raises:
        InputError: an image cannot be read any more, or is too small for graded defects.
    """
    images, region = [], manifest.patch_options.region or WHOLE
    for path in paths:
        read = partial(read_again, path, manifest.bit_depth)
        frame = read()
        (value,) = score([frame])
        images.append(GoodImage(str(path), read, value, (frame.shape[0], frame.shape[1])))
    sizes = size_range([image.size for image in images], region)
    each = -(-pastes // (len(KINDS) * len(CONTRASTS)))
    planned = plan_pastes(each, len(images), (large_from(sizes), sizes[1]), manifest.seed, scored=scored)
    drawn_in = score_pastes(images, planned, region, score, lambda done: step(done, len(planned)))
    return [found_share(drawn_in, threshold) for threshold in thresholds]


def size_range(image_sizes: Sequence[tuple[int, int]], region: Region) -> tuple[float, float]:
    """Smallest and largest size of pastes, in pixels, for images of (height, width)."""
    sides = [min(height * region[3], width * region[2]) for height, width in image_sizes]
    low = max(_SMALLEST_PIXELS, _SIZES[0] * float(np.median(sides)))
    high = min(_SIZES[1] * float(np.median(sides)), _LARGEST_SHARE * min(sides))
    if high < 2 * low:
        raise InputError(
            f"the scored region of the smallest image is {min(sides):.0f} pixels high or wide, too small for "
            f"defects of graded sizes: expected at least {2 * _SMALLEST_PIXELS / _SIZES[1]:.0f}"
        )
    return low, high


def large_from(sizes_pixels: tuple[float, float]) -> float:
    """The size from which on a paste is large: the middle of a range, by logarithms."""
    return float(np.sqrt(sizes_pixels[0] * sizes_pixels[1]))


def score_pastes(
    images: Sequence[GoodImage],
    planned: Sequence[PlannedPaste],
    region: Region,
    score: Score,
    step: Callable[[int], None],
) -> list[ScoredPaste]:
    """Draw and score every paste, image by image; in the order of `planned`.

    Args:
        images: which `PlannedPaste.image` counts.
        planned: the pastes.
        region: the part of every image that is scored.
        score: scores images that its bank has not seen.
        step: called with the number of pastes done.
    """
    done: dict[int, ScoredPaste] = {}
    rows = sorted(range(len(planned)), key=lambda row: planned[row].image)
    for image, own in groupby(rows, key=lambda row: planned[row].image):
        good = images[image]
        frame = good.read()
        for batch in _batches(list(own)):
            places = [place_of(planned[row], good.size, region) for row in batch]
            frames = [
                drawn(frame, planned[row], place).image for row, place in zip(batch, places, strict=True)
            ]
            for row, place, value in zip(batch, places, score(frames), strict=True):
                at = _share(place, good.size, region)
                done[row] = ScoredPaste(planned[row], place, at, value, good.score)
            step(len(done))
    return [done[row] for row in range(len(planned))]


def drawn(frame: Frame, planned: PlannedPaste, place: tuple[float, float]) -> Pasted:
    """An image (H, W, 3) uint8 BGR with a planned paste at a place: column and row."""
    generator = np.random.default_rng(planned.seed)
    return paste(frame, planned.kind, planned.size_pixels, planned.contrast, place=place, generator=generator)


def found_share(scored: Sequence[ScoredPaste], threshold: float) -> Interval:
    """Share of pastes above a threshold, without those in images that are above it as they are."""
    judged = [item.score > threshold for item in scored if item.clean_score <= threshold]
    return interval(sum(judged), len(judged))


def _batches(rows: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def place_of(planned: PlannedPaste, size: tuple[int, int], region: Region) -> tuple[float, float]:
    """Column and row of a centre; moved inwards where the paste would leave the scored region."""
    half = planned.size_pixels / 2
    centre = []
    for share, start, extent, length in (
        (planned.across, region[0], region[2], size[1]),
        (planned.down, region[1], region[3], size[0]),
    ):
        low, high = start * length + half, (start + extent) * length - half
        centre.append(float(np.clip((start + share * extent) * length, low, max(low, high))))
    return centre[0], centre[1]


def _share(place: tuple[float, float], size: tuple[int, int], region: Region) -> tuple[float, float]:
    height, width = size
    return (place[0] / width - region[0]) / region[2], (place[1] / height - region[1]) / region[3]
