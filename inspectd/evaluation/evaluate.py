"""Evaluates a bank on labelled images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import read_bank
from inspectd.bank.images import Pictures, named_image, no_news
from inspectd.bank.own_images import OwnImages
from inspectd.bank.progress import Progress
from inspectd.errors import InputError
from inspectd.evaluation.calibrate import Interval, interval
from inspectd.evaluation.dataset import GOOD, LabelledImage
from inspectd.evaluation.line_rules import LineRules
from inspectd.evaluation.metrics import PixelCounts, image_metrics
from inspectd.pictures.depth import PictureError
from inspectd.pictures.drawing import laid_over
from inspectd.pictures.folder import defective_pixels
from inspectd.pictures.parts import highest_by_part, lowest_by_part, numbered
from inspectd.pictures.region import Region, is_same_shape

PARTS_COUNT: Final = (
    "In rates each counts once, by its worst image: a good part by its highest score, a defective one by its "
    "lowest"
)
_OF_ANY_SIZE: Final = LineRules(any_size=True)
"""Sizes are counted by themselves."""


class ClassResult(msgspec.Struct, frozen=True):
    """Results of the images of one label."""

    label: str
    images: int
    failed: Interval
    """Share judged fail, of images, or of parts where they are named."""
    mean_score: float


class BankReport(msgspec.Struct, frozen=True):
    """Figures of a bank on a data set."""

    image_auroc: float
    average_precision: float
    f1_max: float
    pixel_auroc: float | None
    """None where there are no masks."""
    aupro: float | None
    threshold: float
    false_reject_rate: float
    """Share of good images above the threshold, or of good parts where they are named: see `parts`."""
    escape_rate: float
    """Share of defective images at or below it, or of parts."""
    false_rejects: Interval
    escapes: Interval
    classes: list[ClassResult]
    latency_ms: dict[str, float]
    """Scoring one image alone: p50 and p99, and each stage's median."""
    bank_mb: float
    images: int
    from_the_bank: list[str] | None
    """Images the bank was built from: they count with the scores they had while they were left out, and in no
    figure of pixels. None where the bank does not record its images."""
    other_sizes: int
    """Of them, those of sizes the bank was not built from: the daemon judges them with `any_size` only."""
    skipped: dict[str, str]
    """Images that cannot be used, or are copies of others, each with the reason."""
    detector: str
    backbone: str
    bank_sha256: str
    device: str
    bit_depth: int = 8
    """Bits a channel of the images."""
    region: Region | None = None
    """The part of every image that is scored, as shares; None: all of it. In figures of pixels a
    defect elsewhere, or where a mask leaves places out, is missed, and good pixels there do not count."""
    empty_masks: list[str] = []
    """Defective images whose mask marks nothing: nobody knows where their defect is, so they are in no figure
    of pixels."""
    undecidable: dict[str, str] = {}
    """Images taken otherwise than the bank's, each with what is otherwise. They count by their scores here; a
    line rejects such frames, unless its recipe leaves the reason out (`quality_off`)."""
    parts: int | None = None
    """Parts that the images show: each counts once in rates, a good one by its highest score, a defective one
    by its lowest. Accuracy over all thresholds, and of pixels, is that of images. None: no part is named."""


def class_headings(result: BankReport) -> tuple[str, ...]:
    """Of `class_cells`."""
    return "class", "images" if result.parts is None else "parts", "found", "95 % interval", "mean score"


def class_cells(result: BankReport) -> Iterator[tuple[str, ...]]:
    """Rows of a table for people, as many cells as `class_headings`.

    Each class of defects, the one that is found least first; all together; good parts that are rejected.
    """
    defects = [row for row in result.classes if row.label != GOOD]
    for row in sorted(defects, key=lambda row: row.failed.share):
        yield _class_cells(row.label, row.failed, f"{row.mean_score:.3f}")
    if len(defects) > 1:
        escapes = result.escapes
        yield _class_cells("all defects", interval(escapes.total - escapes.count, escapes.total), "")
    for row in result.classes:
        if row.label == GOOD:
            yield _class_cells("good, falsely rejected", row.failed, f"{row.mean_score:.3f}")


def _class_cells(label: str, share: Interval, mean_score: str) -> tuple[str, ...]:
    found = f"{share.count} = {share.share:.1%}"
    return label, str(share.total), found, f"{share.low:.1%} to {share.high:.1%}", mean_score


@dataclass(frozen=True)
class Judged:
    """One image with its score and heatmap.

    Attributes:
        score: by the bank; of an image it was built from, the cross-fitted one.
        heatmap: (h, w) float16, at the detector's resolution.
        from_the_bank: whether the bank was built from it. Its heatmap is then of an image the bank has seen.
        size: height and width of the image.
    """

    image: LabelledImage
    score: float
    heatmap: NDArray[np.float16]
    from_the_bank: bool
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Judgement:
    """A report with the images it is made of."""

    report: BankReport
    judged: list[Judged]


def evaluate(bank: Path, images: Sequence[LabelledImage], device: str, progress: Progress) -> Judgement:
    """Score every image alone, as the daemon does, and compare with the truth.

    A copy of a picture, in whatever file, is left out: counted twice it would make every interval narrower.

    Raises:
        BankError: the bank cannot be used.
        InputError: too few images can be read, a picture is good and a defect, or a mask cannot be read or is
            none of its image.
    """
    file = read_bank(bank)
    own_images, scorer = OwnImages.of(file), Scorer.of(bank, file, device)
    places = file.tensors.get("head.mask")
    scorer.warm_up(1)
    judged: list[Judged] = []
    skipped: dict[str, str] = {}
    stages: dict[str, list[float]] = defaultdict(list)
    pixels, seen, empty_masks = PixelCounts(), _Seen(), list[str]()
    undecidable: dict[str, str] = {}
    for done, image in enumerate(images, start=1):
        name, frame = named_image(image.path, scorer.info.bit_depth)
        if isinstance(frame, str):
            skipped[name] = frame
        elif (copied := seen.why_no_news(image, frame)) is not None:
            skipped[name] = copied
        else:
            (result,) = scorer.score([frame])
            own = own_images.score(frame)
            score = result.image_score if own is None else own
            size = (frame.shape[0], frame.shape[1])
            if (why := _OF_ANY_SIZE.why_not_judged(scorer, frame)) is not None:
                undecidable[name] = why
            judged.append(Judged(image, score, result.heatmap, own is not None, size))
            mask = _mask(image, size)
            if mask is not None and not mask.any():
                empty_masks.append(name)
                mask = None
            if own is None and (mask is not None or not image.defective):
                laid, looked_at = _laid(result.heatmap, places, scorer.info.region, size)
                pixels.add(laid, mask, looked_at)
            for stage, spent_ms in result.stage_ms.items():
                stages[stage].append(spent_ms)
        progress("images", done, len(images))
    report = _report(scorer, judged, skipped, stages, bank)
    if (of_pixels := pixels.metrics()) is not None:
        report = msgspec.structs.replace(report, **msgspec.structs.asdict(of_pixels))
    report = msgspec.structs.replace(report, empty_masks=empty_masks, undecidable=undecidable)
    if not own_images.recorded:
        report = msgspec.structs.replace(report, from_the_bank=None)
    return Judgement(report, judged)


def _laid(
    heatmap: NDArray[np.floating],
    places: NDArray[np.float32] | None,
    region: Region | None,
    size: tuple[int, int],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A heatmap (h, w) over its picture (H, W), -inf where nothing is judged; and where something is.

    Args:
        heatmap: of the region.
        places: (h, w) float, the bank's mask; None: all are judged.
        region: of the picture; None: all of it.
        size: H and W.
    """
    judged = np.ones_like(heatmap) if places is None else places
    looked_at = laid_over(judged, region, *size, outside=0.0) >= 0.5
    return np.where(looked_at, laid_over(heatmap, region, *size, outside=-np.inf), -np.inf), looked_at


class _Seen:
    """Pictures of a data set that were seen."""

    def __init__(self) -> None:
        self._pictures = Pictures()
        self._labels: dict[str, LabelledImage] = {}

    def why_no_news(self, image: LabelledImage, frame: NDArray[np.uint8]) -> str | None:
        """Why a picture (H, W, 3) uint8 BGR is left out, for people: an earlier one shows the same.

        Raises:
            InputError: one of the two is good and the other a defect.
        """
        name = str(image.path)
        first = self._pictures.same_as(name, frame)
        if first is None:
            self._labels[name] = image
            return None
        earlier = self._labels[first]
        if earlier.defective is not image.defective:
            raise InputError(
                f"{first} (label {earlier.label!r}) and {name} (label {image.label!r}) are the same picture, "
                "expected one label for it; take one of them out"
            )
        return no_news(first)


def _report(
    scorer: Scorer, judged: list[Judged], skipped: dict[str, str], stages: dict[str, list[float]], bank: Path
) -> BankReport:
    truth = np.array([item.image.defective for item in judged], dtype=bool)
    scores = np.array([item.score for item in judged])
    if truth.all() or not truth.any():
        raise InputError(
            f"{len(judged)} images can be read, {len(skipped)} not: expected good and defective ones"
        )
    threshold = scorer.info.threshold
    image = image_metrics(truth, scores)
    false_rejects, found = (rate_above(judged, threshold, defective=kind) for kind in (False, True))
    escapes = interval(found.total - found.count, found.total)
    are_named = any(item.image.part is not None for item in judged)
    return BankReport(
        image_auroc=image.image_auroc,
        average_precision=image.average_precision,
        f1_max=image.f1_max,
        pixel_auroc=None,
        aupro=None,
        threshold=threshold,
        false_reject_rate=false_rejects.share,
        escape_rate=escapes.share,
        false_rejects=false_rejects,
        escapes=escapes,
        classes=_classes(judged, threshold),
        latency_ms=_latency(stages),
        bank_mb=round(bank.stat().st_size / 1e6, 3),
        images=len(judged),
        from_the_bank=[str(item.image.path) for item in judged if item.from_the_bank],
        other_sizes=sum(
            item.size not in scorer.info.image_sizes for item in judged if scorer.info.image_sizes
        ),
        skipped=skipped,
        detector=scorer.info.detector,
        backbone=scorer.info.backbone,
        bank_sha256=scorer.info.sha256,
        device=scorer.info.device,
        bit_depth=scorer.info.bit_depth,
        region=scorer.info.region,
        parts=false_rejects.total + escapes.total if are_named else None,
    )


def rate_above(judged: Iterable[Judged], threshold: float, *, defective: bool) -> Interval:
    """Share of the good or of the defective parts above a threshold, each once, by its worst image."""
    items = [item for item in judged if item.image.defective is defective]
    names = [item.image.part or f"\0{n}" for n, item in enumerate(items)]
    scores = np.array([item.score for item in items], dtype=np.float64)
    scores = (lowest_by_part if defective else highest_by_part)(scores, numbered(names))
    return interval(int((scores > threshold).sum()), len(scores))


def _classes(judged: list[Judged], threshold: float) -> list[ClassResult]:
    by_label: dict[str, list[Judged]] = defaultdict(list)
    for item in judged:
        by_label[item.image.label].append(item)
    return [
        ClassResult(
            label,
            len(items),
            rate_above(items, threshold, defective=label != GOOD),
            float(np.mean([item.score for item in items])),
        )
        for label, items in sorted(by_label.items())
    ]


def _latency(stages: dict[str, list[float]]) -> dict[str, float]:
    total = np.sum(list(stages.values()), axis=0)
    medians = {stage: round(float(np.median(spent)), 3) for stage, spent in stages.items()}
    return {
        "p50": round(float(np.quantile(total, 0.5)), 3),
        "p99": round(float(np.quantile(total, 0.99)), 3),
    } | medians


def _mask(image: LabelledImage, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The mask of a defective image, of its height and width; None: it has none.

    Every pixel that a larger one has a defect in is defective, so that none is lost.
    """
    if not image.defective or image.mask is None:
        return None
    try:
        mask = defective_pixels(image.mask)
    except PictureError as error:
        raise InputError(f"mask {image.mask}: {error}") from error
    (height, width), (down, across) = size, mask.shape
    if not is_same_shape(size, (down, across)):
        raise InputError(
            f"mask {image.mask}: is {across}x{down}, its image {image.path} is {width}x{height}, as its "
            "EXIF turns it: expected a mask of that size, or of that shape in another scale"
        )
    how = cv2.INTER_AREA if down > height else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(mask.astype(np.float32), (width, height), interpolation=how) > 0)
