"""The pipeline's steps in half precision, for a CUDA graph or to be run one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.backends.cuda.fewer_passes import with_fewer_passes
from inspectd.backends.cuda.rounding import halve
from inspectd.backends.cuda.search import HalfSearch
from inspectd.backends.cuda.trials import missing_for_kernels, tried
from inspectd.model.features import FeatureExtractor, Preprocess, patch_features
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import ReferencePipeline, finish
from inspectd.pictures.region import pixels_of

if TYPE_CHECKING:
    from inspectd.backends.cuda.patch_kernel import PatchKernel
    from inspectd.backends.cuda.resize_kernel import FrameFitter

STAGES: Final = ("preprocess", "backbone", "search", "heatmap", "copy back")


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
        extractor = pipeline.extractor
        halve(extractor.backbone.network)
        extractor.backbone = with_fewer_passes(
            extractor.backbone, self.preprocess.height, self.preprocess.width
        )
        self._fitter = _fitter(self.preprocess)
        self._patch_kernel = _patch_kernel(pipeline.extractor)

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

    def images(self, frames: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """The network's input (N, 3, height, width) float16, channels_last, of frames (H, W, 3) or (H, W, 1).

        In the current stream; the frames must stay as they are until it is done.
        """
        preprocess = self.preprocess
        if self._fitter is None:
            return preprocess(frames).half()
        shape = (len(frames), 3, preprocess.height, preprocess.width)
        images = torch.empty(shape, dtype=torch.half, device=self.device, memory_format=torch.channels_last)
        done = 0
        for (height, width, channels), group in groupby(frames, key=np.shape):
            alike = list(group)
            rows, columns = pixels_of(preprocess.region, height, width)
            # Whole rows: a strided view would be copied through memory that is not page-locked.
            pixels = torch.empty(
                (len(alike), rows.stop - rows.start, width, channels), dtype=torch.uint8, device=self.device
            )
            for target, frame in zip(pixels, alike, strict=True):
                target.copy_(torch.as_tensor(_readable(frame[rows])), non_blocking=True)
            into = images[done : done + len(alike)]
            # A grey frame gets its three channels there: until then it costs a third.
            of_three = pixels.expand(-1, -1, -1, 3).contiguous()
            self._fitter.fit(of_three, into, columns.start, columns.stop - columns.start)
            done += len(alike)
        return images

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Patch features (N, h, w, D) float32 of the network's input (N, 3, height, width) float16."""
        maps = self._extractor.backbone(images)
        if self._patch_kernel is None:
            return patch_features(maps, self._extractor.options).float()
        return self._patch_kernel(maps)

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
            images = self.images(frames)
            mark()
            features = self.features(images)
            mark()
            maps = self._detector.score_maps(features)
            mark()
            scores, heatmaps = finish(self._head, maps, features)
            mark()
            answers = scores.cpu().numpy(), heatmaps.cpu().numpy()
            mark()
        return answers


def _readable(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame as it lies, or a copy where torch takes no such array: a read-only or a reversed one."""
    return frame if frame.flags.writeable and min(frame.strides) >= 0 else frame.copy()


def _fitter(preprocess: Preprocess) -> FrameFitter | None:
    """The kernel that makes the network's input; None where the host has to."""
    if missing_for_kernels(preprocess.device) is not None:
        return None
    made: list[FrameFitter] = []

    def trial() -> str | None:
        from inspectd.backends.cuda import resize_kernel  # noqa: PLC0415 - it needs Triton

        size = (preprocess.height, preprocess.width)
        made.append(resize_kernel.FrameFitter(*size, preprocess.scale, preprocess.shift))
        return resize_kernel.wrong(made[0])

    return made[0] if tried("resize", trial) is None else None


def _patch_kernel(extractor: FeatureExtractor) -> PatchKernel | None:
    """The kernel that makes patch features of the backbone's maps; None where torch has to."""
    preprocess = extractor.preprocess
    if missing_for_kernels(preprocess.device) is not None:
        return None
    made: list[PatchKernel] = []

    def trial() -> str | None:
        from inspectd.backends.cuda import patch_kernel  # noqa: PLC0415 - it needs Triton

        made.append(patch_kernel.PatchKernel(extractor.options, maps))
        return patch_kernel.wrong(made[0], extractor.options, patch_kernel.trial_maps(maps))

    with torch.inference_mode():  # the backbone alone knows what maps it makes
        shape = (1, 3, preprocess.height, preprocess.width)
        blank = torch.zeros(shape, dtype=torch.half, device=preprocess.device)
        maps = extractor.backbone(blank.contiguous(memory_format=torch.channels_last))
        return made[0] if tried("patch_features", trial) is None else None
