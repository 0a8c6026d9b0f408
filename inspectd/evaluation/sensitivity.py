"""What a bank finds of synthetic defects of graded size and contrast, in good images it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.bank.answers import aside_mask
from inspectd.bank.file import BankFile, Manifest, good_scores, read_bank
from inspectd.bank.images import named_image
from inspectd.bank.own_images import OwnImages
from inspectd.bank.threshold import default_threshold
from inspectd.errors import InputError
from inspectd.evaluation.calibrate import Interval, interval
from inspectd.evaluation.detection import SizeCurve, fit_curve
from inspectd.evaluation.paste_plan import CONTRASTS, PlannedPaste, plan_pastes
from inspectd.evaluation.synthetic import KINDS, Frame, Pasted, paste
from inspectd.model.resize import Region

Progress = Callable[[str, int, int], None]
Score = Callable[[Sequence[Frame]], Sequence[float]]
"""Scores frames, each (H, W, 3) uint8 BGR."""

FEWEST_IMAGES: Final = 10
PASTES: Final = 300
"""For each kind and contrast."""
LOWEST_RATE, HIGHEST_RATE = 0.0005, 0.2
FEWEST_BY_PLACE: Final = 8
"""Large pastes in a cell of the map below which its share says little."""
_MOST_IMAGES: Final = 200
_SIZES: Final = (0.01, 0.25)
"""Smallest and largest size as shares of the median shorter side of the scored regions."""
_SMALLEST_PIXELS: Final = 2.0
_LARGEST_SHARE: Final = 0.8
"""Of the shorter side of the smallest region: every paste has to fit into every image."""
_BATCH: Final = 8
_CELLS: Final = 12
_BY_CELL: Final = 20
"""Large pastes for which the map's cells are sized, up to 12 by 12 cells."""
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


class KindResult(msgspec.Struct, frozen=True):
    """What is found of one kind at one contrast."""

    kind: str
    contrast: float
    pastes: int
    found: Interval
    large_found: Interval
    """Of the pastes that are large."""
    curve: SizeCurve
    """Sizes are pixels of the image."""


class PlaceResult(msgspec.Struct, frozen=True):
    """What is found of the large pastes whose centre lies in one cell of the scored region."""

    row: int
    column: int
    found: Interval


class PlaceMap(msgspec.Struct, frozen=True):
    """The cells of the scored region, by row and column; those without a paste are left out."""

    rows: int
    columns: int
    cells: list[PlaceResult]

    def blind_spots(self) -> list[PlaceResult]:
        """Cells in which fewer are found than everywhere, at 95 % confidence; the worst first."""
        count = sum(cell.found.count for cell in self.cells)
        share = count / max(sum(cell.found.total for cell in self.cells), 1)
        blind = [c for c in self.cells if c.found.total >= FEWEST_BY_PLACE and c.found.high < share]
        return sorted(blind, key=lambda cell: (cell.found.high, cell.row, cell.column))


class Sensitivity(msgspec.Struct, frozen=True):
    """Figures of a bank on synthetic defects."""

    threshold: float
    threshold_basis: str
    sizes_pixels: tuple[float, float]
    """Smallest and largest of the pastes."""
    large_pixels: float
    """Sizes from here on are large."""
    kinds: list[KindResult]
    large_found: Interval
    """Of all kinds and contrasts together."""
    places: PlaceMap
    images: int
    """Good images that pastes were drawn into."""
    rejected: list[str]
    """Good images above the threshold as they are: not used."""
    from_the_bank: list[str] | None
    """Images the bank was built from: not used. None: it does not record them."""
    unused: int
    """Images beyond the number that is needed."""
    skipped: dict[str, str]
    """Images that cannot be used, each with the reason."""
    seed: int
    mm_per_pixel: float | None
    detector: str
    backbone: str
    bank_sha256: str
    device: str


@dataclass(frozen=True)
class SensitivityRun:
    """Figures with what they are made of.

    Attributes:
        result: the figures.
        images: that pastes were drawn into; `PlannedPaste.image` counts them.
        scored: every paste.
        region: the part of every image that is scored.
    """

    result: Sensitivity
    images: list[GoodImage]
    scored: list[ScoredPaste]
    region: Region


def measure_sensitivity(
    bank: Path,
    paths: Sequence[Path],
    *,
    device: str,
    progress: Progress,
    each: int = PASTES,
    seed: int = 0,
    false_reject_rate: float | None = None,
    mm_per_pixel: float | None = None,
) -> SensitivityRun:
    """Draw synthetic defects into good images that the bank has not seen, and count those that fail.

    Args:
        bank: the bank file.
        paths: images of good parts; those the bank was built from are left out.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with the number of images, then of pastes, that are done.
        each: pastes for each kind and contrast.
        seed: of every random choice.
        false_reject_rate: judge at the threshold for it (`threshold_at`); None: at the bank's own.
        mm_per_pixel: of the images, for people.

    Raises:
        BankError: the bank cannot be used.
        InputError: an option is none, or too few images are left.
    """
    file = read_bank(bank)
    threshold, basis = file.manifest.threshold, file.manifest.threshold_basis
    if false_reject_rate is not None:
        threshold, basis = (
            threshold_at(bank, file, false_reject_rate),
            f"{false_reject_rate:g} of its good scores above",
        )
    scorer = Scorer.load(bank, device)

    def score(frames: Sequence[Frame]) -> list[float]:
        return [answer.image_score for answer in scorer.score(frames)]

    order = [paths[row] for row in np.random.default_rng(seed).permutation(len(paths))]
    found = _good_images(
        order, OwnImages.of(file), file.manifest.bit_depth, threshold, score, progress=progress
    )
    _check_enough(found, len(paths))
    region = file.manifest.patch_options.region or WHOLE
    sizes = size_range([image.size for image in found.images], region)
    mask = file.tensors.get("head.mask")
    planned = plan_pastes(each, len(found.images), sizes, seed, scored=None if mask is None else mask > 0)
    scored = score_pastes(
        found.images, planned, region, score, lambda done: progress("pastes", done, len(planned))
    )
    large = large_from(sizes)
    result = Sensitivity(
        threshold=threshold,
        threshold_basis=basis,
        sizes_pixels=sizes,
        large_pixels=large,
        kinds=by_kind(scored, threshold, large),
        large_found=found_share([item for item in scored if item.paste.size_pixels >= large], threshold),
        places=by_place([item for item in scored if item.paste.size_pixels >= large], threshold),
        images=len(found.images),
        rejected=found.rejected,
        from_the_bank=found.own,
        unused=found.unused,
        skipped=found.skipped,
        seed=seed,
        mm_per_pixel=mm_per_pixel,
        detector=scorer.info.detector,
        backbone=scorer.info.backbone,
        bank_sha256=scorer.info.sha256,
        device=scorer.info.device,
    )
    return SensitivityRun(result, found.images, scored, region)


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
        read = reader(path, manifest.bit_depth)
        frame = read()
        (value,) = score([frame])
        images.append(GoodImage(str(path), read, value, (frame.shape[0], frame.shape[1])))
    sizes = size_range([image.size for image in images], region)
    each = -(-pastes // (len(KINDS) * len(CONTRASTS)))
    planned = plan_pastes(each, len(images), (large_from(sizes), sizes[1]), manifest.seed, scored=scored)
    drawn_in = score_pastes(images, planned, region, score, lambda done: step(done, len(planned)))
    return [found_share(drawn_in, threshold) for threshold in thresholds]


def threshold_at(path: Path, bank: BankFile, false_reject_rate: float) -> float:
    """The threshold of a bank's own good scores for a rate, by the rule of `bank build`.

    Raises:
        BankError: the bank holds no good scores.
        InputError: the rate is none.
    """
    if not LOWEST_RATE <= false_reject_rate <= HIGHEST_RATE:
        raise InputError(
            f"--false-reject-rate: got {false_reject_rate:g}, expected a share from {LOWEST_RATE} to "
            f"{HIGHEST_RATE}, such as 0.01"
        )
    return default_threshold(good_scores(path, bank)[~aside_mask(bank)], false_reject_rate)[0]


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


def reader(path: Path, bit_depth: int) -> Callable[[], Frame]:
    """Reads an image file again, which could be read a moment ago; raises InputError where it was changed."""

    def read() -> Frame:
        name, frame = named_image(path, bit_depth)
        if isinstance(frame, str):
            raise InputError(f"{name}: {frame}, but could be read a moment ago")
        return frame

    return read


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
            places = [_place(planned[row], good.size, region) for row in batch]
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


def by_kind(scored: Sequence[ScoredPaste], threshold: float, large_pixels: float) -> list[KindResult]:
    """Results of each kind and contrast, in the order of the plan."""
    groups: dict[tuple[str, float], list[ScoredPaste]] = {}
    for item in scored:
        if item.clean_score <= threshold:
            groups.setdefault((item.paste.kind, item.paste.contrast), []).append(item)
    return [
        KindResult(
            kind,
            contrast,
            len(items),
            found_share(items, threshold),
            found_share([item for item in items if item.paste.size_pixels >= large_pixels], threshold),
            fit_curve(
                np.array([item.paste.size_pixels for item in items]),
                np.array([item.score > threshold for item in items]),
            ),
        )
        for (kind, contrast), items in groups.items()
    ]


def by_place(scored: Sequence[ScoredPaste], threshold: float) -> PlaceMap:
    """Share found by place; cells are as small as the number of pastes allows."""
    cells = int(np.clip(np.sqrt(len(scored) / _BY_CELL), 1, _CELLS))
    groups: dict[tuple[int, int], list[ScoredPaste]] = {}
    for item in (item for item in scored if item.clean_score <= threshold):
        column, row = (min(int(share * cells), cells - 1) for share in item.at)
        groups.setdefault((row, column), []).append(item)
    return PlaceMap(
        cells,
        cells,
        [PlaceResult(*cell, found_share(items, threshold)) for cell, items in sorted(groups.items())],
    )


@dataclass
class _Found:
    """Images to draw into, and what became of the others; see `Sensitivity`."""

    images: list[GoodImage]
    rejected: list[str]
    own: list[str] | None
    skipped: dict[str, str]
    unused: int = 0


def _good_images(
    paths: Sequence[Path],
    own_images: OwnImages,
    bit_depth: int,
    threshold: float,
    score: Score,
    *,
    progress: Progress,
) -> _Found:
    found = _Found([], [], [] if own_images.recorded else None, {})
    for done, path in enumerate(paths, start=1):
        if len(found.images) == _MOST_IMAGES:
            found.unused = len(paths) - done + 1
            progress("images", len(paths), len(paths))
            break
        name, frame = named_image(path, bit_depth)
        if isinstance(frame, str):
            found.skipped[name] = frame
        elif found.own is not None and own_images.score(frame) is not None:
            found.own.append(name)
        else:
            (value,) = score([frame])
            if value > threshold:
                found.rejected.append(name)
            else:
                size = (frame.shape[0], frame.shape[1])
                found.images.append(GoodImage(name, reader(path, bit_depth), value, size))
        progress("images", done, len(paths))
    return found


def _check_enough(found: _Found, given: int) -> None:
    if len(found.images) < FEWEST_IMAGES:
        raise InputError(
            f"--images: {len(found.images)} of {given} images are left, expected at least {FEWEST_IMAGES} "
            f"good ones that the bank has not seen: it was built from {len(found.own or ())}, rejects "
            f"{len(found.rejected)} as they are, and {len(found.skipped)} cannot be used"
        )


def _batches(rows: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _place(planned: PlannedPaste, size: tuple[int, int], region: Region) -> tuple[float, float]:
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
