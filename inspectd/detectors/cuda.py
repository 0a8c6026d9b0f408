"""The pipeline on a CUDA device: uploads on a stream of their own, and one CUDA graph for each batch size."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.detectors.patchcore import PatchCore
from inspectd.detectors.pipeline import Pipeline, judged
from inspectd.detectors.score import ImageScore
from inspectd.log import event
from inspectd.search.half import HalfSearch

_log: Final = logging.getLogger("inspectd.scoring")


@dataclass(frozen=True)
class _Recorded:
    """A CUDA graph with the tensors it reads and writes."""

    graph: Any
    frames: torch.Tensor  # (N, 3, H, W) uint8 BGR
    scores: torch.Tensor  # (N,) float32
    heatmaps: torch.Tensor  # (N, h, w) float16


class CudaPipeline:
    """Scores batches on a CUDA device with a backbone in half precision.

    A batch is filled up to the next of 1, 2, 4, ... frames, for which a graph was recorded. Where the memory
    of the device does not hold a batch, smaller ones are scored from then on (`device_out_of_memory`).

    Args:
        pipeline: the reference, on the device; its backbone and search are changed in place.
        max_batch: most frames in a graph.
    """

    def __init__(self, pipeline: Pipeline, max_batch: int = 32) -> None:
        self._pipeline = pipeline
        self._device = pipeline.extractor.device
        self._most = max_batch
        self._upload = _stream(self._device)
        self._recorded: dict[int, _Recorded] = {}
        pipeline.extractor.backbone.network.half()
        if isinstance(pipeline.detector, PatchCore):
            pipeline.detector.search_with(HalfSearch(pipeline.detector.bank))

    def warm_up(self, max_batch: int) -> None:
        """Record the graphs of every batch size up to `max_batch`."""
        preprocess = self._pipeline.extractor.preprocess
        blank = np.zeros((preprocess.height, preprocess.width, 3), dtype=np.uint8)
        size = 1
        while size < min(max_batch, self._most):
            self.score([blank] * size)
            size *= 2
        self.score([blank] * max_batch)

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """Score frames together.

        Args:
            frames: each (H, W, 3) uint8 BGR; may be views into page-locked memory and differ in size.

        Raises:
            RuntimeError: the device failed, or its memory does not hold a single frame.
        """
        answers: list[ImageScore] = []
        position = 0
        while position < len(frames):
            part = frames[position : position + self._most]
            try:
                answers += self._scored(part)
            except torch.OutOfMemoryError:
                if self._most == 1:
                    raise
                self._smaller(len(part))
                continue
            position += len(part)
        return answers

    def _smaller(self, tried: int) -> None:
        self._most = max(1, min(self._most, tried) // 2)
        self._recorded.clear()
        torch.cuda.empty_cache()
        event(_log, logging.ERROR, "device_out_of_memory", device=str(self._device), max_batch=self._most)

    def _scored(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        start = time.perf_counter_ns()
        with torch.inference_mode(), torch.cuda.device(self._device):
            recorded = self._graph(1 << (len(frames) - 1).bit_length())
            compute = torch.cuda.current_stream()
            for position, frame in enumerate(frames):
                # The next frame's upload runs while this one is resized.
                with torch.cuda.stream(self._upload):
                    pixels = self._pipeline.extractor.preprocess.uploaded(frame)
                compute.wait_stream(self._upload)
                pixels.record_stream(compute)
                recorded.frames[position].copy_(self._pipeline.extractor.preprocess.fitted(pixels)[0])
            sent = time.perf_counter_ns()
            recorded.graph.replay()
            packed = torch.cat([recorded.scores[:, None], recorded.heatmaps.float().flatten(1)], dim=1)
            answers = packed[: len(frames)].cpu().numpy()
        shape = recorded.heatmaps.shape[1:]
        stage_ms = {"preprocess": (sent - start) / 1e6, "device": (time.perf_counter_ns() - sent) / 1e6}
        return [
            ImageScore(float(row[0]), row[1:].reshape(shape).astype(np.float16), stage_ms) for row in answers
        ]

    def _graph(self, size: int) -> _Recorded:
        if size not in self._recorded:
            self._recorded[size] = self._record(size)
        return self._recorded[size]

    def _record(self, size: int) -> _Recorded:
        preprocess = self._pipeline.extractor.preprocess
        shape = (size, 3, preprocess.height, preprocess.width)
        frames = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        side = _stream(self._device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their kernels and take their workspaces before recording
                self._computed(frames)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            scores, heatmaps = self._computed(frames)
        return _Recorded(graph, frames, scores, heatmaps)

    def _computed(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        extractor = self._pipeline.extractor
        images = extractor.preprocess.normalised(frames).half()
        features = extractor.features(images).float()
        return judged(self._pipeline.head, self._pipeline.detector.maps(features), features)


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
