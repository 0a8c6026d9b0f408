"""The reference pipeline: backbone, detector and head in a row, with the time each stage takes.

Every faster backend is compared with it. It reads no bank file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.model.detectors import Detector
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head, image_embedding
from inspectd.model.score import FLOAT16_MAX, ImageScore
from inspectd.records import NAN_SCORE

_LARGEST: Final = torch.finfo(torch.float32).max
_STAGES: Final = ("preprocess", "backbone", "search", "head")


class ReferencePipeline:
    """An extractor, a detector and a head on one device.

    Args:
        extractor: makes patch features of frames.
        detector: makes score maps of patch features.
        head: makes an image's score and heatmap of a score map.
    """

    overlaps: ClassVar[bool] = False
    is_one_by_one: ClassVar[bool] = False

    def __init__(self, extractor: FeatureExtractor, detector: Detector, head: Head) -> None:
        self.extractor = extractor
        self.detector = detector
        self.head = head

    def warm_up(self, max_batch: int) -> None:
        """See `Scoring.warm_up`; the frames have the input's size."""
        preprocess = self.extractor.preprocess
        blank = np.zeros((preprocess.height, preprocess.width, 3), dtype=np.uint8)
        for size in sorted({1, max_batch}):
            for _ in range(3):
                self.score([blank] * size)

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """Score frames together.

        Args:
            frames: each (H, W, 3) uint8 BGR or (H, W, 1); may be views into shared memory and differ in size.
        """
        if not frames:
            return []
        with torch.inference_mode():
            marks = [self._mark()]
            images = self.extractor.preprocess(frames)
            marks.append(self._mark())
            features = self.extractor.features(images)
            marks.append(self._mark())
            maps = self.detector.score_maps(features)
            marks.append(self._mark())
            scores, heatmaps = finish(self.head, maps, features)
            answers = zip(scores.cpu().tolist(), heatmaps.cpu().numpy(), strict=True)
            marks.append(self._mark())
        pairs = zip(_STAGES, marks, marks[1:], strict=False)
        stage_ms = {name: (end - start) / 1e6 for name, start, end in pairs}
        return [ImageScore(score, heatmap, stage_ms) for score, heatmap in answers]

    def begin(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """See `Scoring.begin`."""
        return partial(self.score, frames)

    def _mark(self) -> int:
        if self.extractor.device.type == "cuda":
            torch.accelerator.synchronize(self.extractor.device)
        return time.perf_counter_ns()


def finish(head: Head, maps: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Image scores (N,) float32, finite, and heatmaps (N, h, w) float16.

    NaN would never be above a threshold, and so pass. An image of which a score is not finite has
    `NAN_SCORE`, whatever the head would make of it: where maps lie around a billion, it would make it usual.

    Args:
        head: of the pipeline.
        maps: (N, h, w) float32, score maps of the detector.
        features: (N, h, w, D) float32 that the maps were made of.
    """
    scores, heatmaps = head(maps.nan_to_num(nan=NAN_SCORE, posinf=NAN_SCORE), image_embedding(features))
    # A sum is finite if all of it is. Few operations, as each is a kernel of its own on a card.
    is_whole = (maps.sum(dim=(1, 2)) + scores).abs() <= _LARGEST
    heatmaps = heatmaps.nan_to_num(nan=FLOAT16_MAX).clamp(-FLOAT16_MAX, FLOAT16_MAX)
    return torch.where(is_whole, scores, NAN_SCORE), heatmaps.to(torch.float16)
