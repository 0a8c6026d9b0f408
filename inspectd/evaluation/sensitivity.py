"""What a bank finds of synthetic defects of graded size and contrast, in good images it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from inspectd.backends.scorer import Scorer
from inspectd.bank.answers import scores_that_count
from inspectd.bank.file import BankFile, good_scores, read_bank
from inspectd.bank.images import Pictures, named_image, read_again
from inspectd.bank.own_images import OwnImages
from inspectd.bank.progress import Progress
from inspectd.bank.threshold import default_threshold
from inspectd.errors import InputError
from inspectd.evaluation.calibrate import Interval
from inspectd.evaluation.detection import SizeCurve, fit_curve
from inspectd.evaluation.drawn_defects import (
    WHOLE,
    GoodImage,
    Score,
    ScoredPaste,
    found_share,
    large_from,
    score_pastes,
    size_range,
)
from inspectd.evaluation.paste_plan import plan_pastes
from inspectd.evaluation.synthetic import Frame
from inspectd.pictures.region import Region

FEWEST_IMAGES: Final = 10
PASTES: Final = 300
"""For each kind and contrast."""
LOWEST_RATE, HIGHEST_RATE = 0.0005, 0.2
FEWEST_BY_PLACE: Final = 8
"""Large pastes in a cell of the map below which its share says little."""
_MOST_IMAGES: Final = 200
_CELLS: Final = 12
_BY_CELL: Final = 20
"""Large pastes for which the map's cells are sized, up to 12 by 12 cells."""


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
    scorer = Scorer.of(bank, file, device)

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
    good_scores(path, bank)  # raises where it holds none
    return default_threshold(scores_that_count(bank), false_reject_rate)[0]


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
    found, seen = _Found([], [], [] if own_images.recorded else None, {}), Pictures()
    for done, path in enumerate(paths, start=1):
        if len(found.images) == _MOST_IMAGES:
            found.unused = len(paths) - done + 1
            progress("images", len(paths), len(paths))
            break
        name, frame = named_image(path, bit_depth)
        if isinstance(frame, str):
            found.skipped[name] = frame
        elif (copied := seen.why_no_news(name, frame)) is not None:
            found.skipped[name] = copied
        elif found.own is not None and own_images.score(frame) is not None:
            found.own.append(name)
        elif (no_measure := own_images.why_no_measure(frame)) is not None:
            found.skipped[name] = no_measure
        else:
            (value,) = score([frame])
            if value > threshold:
                found.rejected.append(name)
            else:
                size = (frame.shape[0], frame.shape[1])
                found.images.append(GoodImage(name, partial(read_again, path, bit_depth), value, size))
        progress("images", done, len(paths))
    return found


def _check_enough(found: _Found, given: int) -> None:
    if len(found.images) < FEWEST_IMAGES:
        raise InputError(
            f"--images: {len(found.images)} of {given} images are left, expected at least {FEWEST_IMAGES} "
            f"good ones that the bank has not seen: it was built from {len(found.own or ())}, rejects "
            f"{len(found.rejected)} as they are, and {len(found.skipped)} cannot be used"
        )
