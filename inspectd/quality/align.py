"""Frames laid onto a bank's reference picture before they are scored, and their heatmaps laid back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.model.score import ImageScore, Scoring
from inspectd.pictures.region import Region, pixels_of
from inspectd.quality.check import FrameCheck
from inspectd.quality.learn import Learnt, QualityLearner
from inspectd.quality.learnt import LearntQuality
from inspectd.quality.registration import Place

NamedFrame = tuple[str, NDArray[np.uint8] | str]
"""An image's name and its pixels (H, W, 3) uint8 BGR, or why it cannot be used."""


@dataclass(frozen=True)
class AlignedLearnt:
    """What was learnt of images that are aligned by it.

    Attributes:
        learnt: of the images as they are.
        check: by it.
    """

    learnt: Learnt
    check: FrameCheck

    def lay(self, _name: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A frame (H, W, C) uint8 as it would be if its part lay as on the reference."""
        place = self.check.place_of(frame)
        return frame if place is None else laid(frame, place, self.check)


def learn_aligned(
    frames: Iterable[NamedFrame], region: Region | None = None, parts: Mapping[str, str] | None = None
) -> AlignedLearnt | None:
    """Learn of good images that are to be aligned.

    None: they are too few, or show no one thing whose shift and rotation can be measured.

    Args:
        frames: every image with its name; those that cannot be used are passed over.
        region: of each that is judged, as shares; None: all of it.
        parts: as of `QualityLearner`.
    """
    learner = QualityLearner(region, parts=parts, aligned=True)
    for name, frame in frames:
        if not isinstance(frame, str):
            learner.add(name, frame)
    learnt = learner.learn()
    if learnt is None or not learnt.quality.aligned or not _has_place(learnt.quality):
        return None
    return AlignedLearnt(learnt, FrameCheck(learnt.quality, learnt.tensors, region))


def _has_place(learnt: LearntQuality) -> bool:
    return {"shift_x_px", "shift_y_px", "rotation_degrees"} <= learnt.limits.keys()


class AligningPipeline:
    """A pipeline that gets every frame laid onto the reference; its heatmaps are those of frames as they lie.

    Args:
        pipeline: of any backend.
        check: of the bank.
    """

    def __init__(self, pipeline: Scoring, check: FrameCheck) -> None:
        self._pipeline = pipeline
        self._check = check
        self.warm_up = pipeline.warm_up

    @property
    def overlaps(self) -> bool:
        """See `Scoring.overlaps`."""
        return self._pipeline.overlaps

    @property
    def is_one_by_one(self) -> bool:
        """See `Scoring.is_one_by_one`."""
        return self._pipeline.is_one_by_one

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """See `Scoring.score`."""
        return self.begin(frames)()

    def begin(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """See `Scoring.begin`."""
        places = [self._check.place_of(frame) for frame in frames]
        laid_frames = [
            frame if place is None else laid(frame, place, self._check)
            for frame, place in zip(frames, places, strict=True)
        ]
        collect = self._pipeline.begin(laid_frames)
        sizes = [frame[pixels_of(self._check.region, *frame.shape[:2])].shape for frame in frames]

        def collect_back() -> list[ImageScore]:
            _ = laid_frames  # the device may read them until now
            return [
                image
                if place is None
                else replace(image, heatmap=_laid_back(image.heatmap, place, size, self._check))
                for image, place, size in zip(collect(), places, sizes, strict=True)
            ]

        return collect_back


def laid(frame: NDArray[np.uint8], place: Place, check: FrameCheck) -> NDArray[np.uint8]:
    """A frame (H, W, C) uint8 whose region lies as on the reference; edges go on outwards."""
    rows, columns = pixels_of(check.region, *frame.shape[:2])
    height, width = rows.stop - rows.start, columns.stop - columns.start
    matrix = _scaled(place, check.scale_of(height, width)).matrix(height, width)
    corner = np.array([columns.start, rows.start], dtype=np.float64)
    matrix[:, 2] += corner - matrix[:, :2] @ corner
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (frame.shape[1], frame.shape[0])
    warped: NDArray[np.uint8] = cv2.warpAffine(
        frame, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return warped.reshape(frame.shape)


def _scaled(place: Place, scale: float) -> Place:
    """A place in pixels of the frame's region, of which so many are one of the small picture."""
    return replace(place, shift_x=place.shift_x * scale, shift_y=place.shift_y * scale)


def _laid_back(
    heatmap: NDArray[np.float16], place: Place, shape: tuple[int, ...], check: FrameCheck
) -> NDArray[np.float16]:
    """A heatmap (h, w) of a region of this shape as it lies, from that of the region as it was laid."""
    height, width = shape[:2]
    rows, columns = heatmap.shape
    matrix = np.vstack([_scaled(place, check.scale_of(height, width)).matrix(height, width), [0.0, 0.0, 1.0]])
    # Middles of the heatmap's cells, in pixels of the frame.
    to_pixels = np.array(
        [
            [width / columns, 0.0, width / columns / 2 - 0.5],
            [0.0, height / rows, height / rows / 2 - 0.5],
            [0.0, 0.0, 1.0],
        ]
    )
    whole = np.linalg.inv(to_pixels) @ matrix @ to_pixels
    moved: NDArray[np.float32] = cv2.warpAffine(
        heatmap.astype(np.float32), whole[:2], (columns, rows),
        flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return moved.astype(np.float16)
