"""The pipeline's steps in half precision, for a CUDA graph or to be run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.backends.cuda.search import HalfSearch
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import ReferencePipeline, finish

STAGES: Final = ("upload", "resize", "backbone", "search", "heatmap", "copy back")


class HalvedPipeline:
    """A reference pipeline changed in place: its backbone and its search compute in half precision.

    Args:
        pipeline: the reference.
        search: as `HalfSearch` takes it.

    Raises:
        InputError: there is no such search on the pipeline's device.
    """

    def __init__(self, pipeline: ReferencePipeline, search: str = "auto") -> None:
        self.preprocess = pipeline.extractor.preprocess
        self.device = pipeline.extractor.device
        self._extractor = pipeline.extractor
        self._detector = pipeline.detector
        self._head = pipeline.head
        self._search: HalfSearch | None = None
        if isinstance(pipeline.detector, PatchCore):
            detector = pipeline.detector
            self._search = HalfSearch(detector.bank, search, detector.neighbours, detector.scale)
            detector.search_with(self._search)
        pipeline.extractor.backbone.network.half()

    @property
    def search(self) -> str:
        """Search for neighbours, such as `exact-fused`; empty where nothing is searched."""
        return "" if self._search is None else self._search.kind

    @property
    def recordable(self) -> bool:
        """Whether everything after the backbone can be part of a CUDA graph, too."""
        return self._search is None or self._search.recordable

    @property
    def memory(self) -> PatchCore | None:
        """The detector whose bank is searched; None: there is none."""
        return self._detector if isinstance(self._detector, PatchCore) else None

    def fitted(self, frames: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Frames, each (H, W, 3) uint8 BGR, resized on the device: (N, 3, height, width) uint8 BGR."""
        return self._resized([self.preprocess.uploaded(frame) for frame in frames])

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """Patch features (N, h, w, D) float32 of resized frames (N, 3, H, W) uint8 BGR."""
        images = self.preprocess.normalised(frames).half()
        return self._extractor.features(images).float()

    def answers(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image scores (N,) float32 and heatmaps (N, h, w) float16 of patch features."""
        return finish(self._head, self._detector.score_maps(features), features)

    def step_by_step(
        self, frames: Sequence[NDArray[np.uint8]], mark: Callable[[], None]
    ) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
        """Image scores (N,) and heatmaps (N, h, w), without a graph.

        Args:
            frames: each (H, W, 3) uint8 BGR.
            mark: called at the start and after each of `STAGES`, in stream order.
        """
        with torch.inference_mode():
            mark()
            pixels = [self.preprocess.uploaded(frame) for frame in frames]
            mark()
            fitted = self._resized(pixels)
            mark()
            features = self.features(fitted)
            mark()
            maps = self._detector.score_maps(features)
            mark()
            scores, heatmaps = finish(self._head, maps, features)
            mark()
            answers = scores.cpu().numpy(), heatmaps.cpu().numpy()
            mark()
        return answers

    def _resized(self, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([self.preprocess.fitted(one) for one in pixels]).to(torch.uint8)
