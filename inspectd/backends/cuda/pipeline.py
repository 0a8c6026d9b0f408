"""The pipeline on a CUDA device: uploads on a stream of their own, and one CUDA graph for each batch size."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.backends.cuda.half import HalvedPipeline
from inspectd.log import event
from inspectd.model.pipeline import ReferencePipeline
from inspectd.model.score import ImageScore

_UNDER_WAY: Final = 2
"""While one is computed the next one's frames are uploaded; a third would only hold more memory."""


class Launcher(Protocol):
    """A device that computes batches while the host goes on."""

    most: int
    """Most frames in a batch."""

    def launch(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], Sequence[ImageScore]]:
        """Start a batch without waiting for it; the returned call waits for it and gives its answers."""

    def shrink(self, tried: int) -> None:
        """Make `most` smaller than `tried`, a number of frames that did not fit."""


def score_pipelined(
    device: Launcher, frames: Sequence[NDArray[np.uint8]], exhausted: type[Exception]
) -> list[ImageScore]:
    """Score frames by double buffering; halve the batch when device memory runs out. Answers in order.

    The next batch is launched before the last one is waited for.

    Args:
        device: computes the batches.
        frames: any number, each (H, W, 3) uint8 BGR.
        exhausted: raised by `launch` where the device's memory does not hold a batch.

    Raises:
        Exception: `exhausted`, where the memory does not hold a single frame.
    """
    answers: list[ImageScore] = []
    under_way: deque[Callable[[], Sequence[ImageScore]]] = deque()
    position = 0
    while position < len(frames):
        if len(under_way) == _UNDER_WAY:
            answers += under_way.popleft()()
        part = frames[position : position + device.most]
        try:
            under_way.append(device.launch(part))
        except exhausted:
            if under_way:  # what these hold comes free: the batch may fit then
                answers += [answer for collect in under_way for answer in collect()]
                under_way.clear()
            elif device.most == 1:
                raise
            else:
                device.shrink(len(part))
            continue
        position += len(part)
    return answers + [answer for collect in under_way for answer in collect()]


_log: Final = logging.getLogger("inspectd.scoring")


@dataclass(frozen=True)
class _Recorded:
    """A CUDA graph with the tensors it reads and writes.

    Attributes:
        frames: (N, 3, H, W) uint8 BGR.
        outputs: scores (N,) float32 and heatmaps (N, h', w') float16; where the search cannot be part of a
            graph, the features (N, h, w, D) float32 alone.
    """

    graph: Any
    frames: torch.Tensor
    outputs: tuple[torch.Tensor, ...]


class CudaPipeline:
    """Scores batches on a CUDA device with a backbone in half precision.

    A batch is filled up to the next of 1, 2, 4, ... frames, for which a graph was recorded. Where the memory
    of the device does not hold a batch, smaller ones are scored from then on (`device_out_of_memory`).

    Args:
        pipeline: the reference, on the device; its backbone and search are changed in place.
        max_batch: most frames in a graph.
        search: `auto`, `exact` or `flat`; see `HalfSearch`.

    Raises:
        InputError: there is no such search on the device.
    """

    overlaps: ClassVar[bool] = True
    is_one_by_one: ClassVar[bool] = False

    def __init__(self, pipeline: ReferencePipeline, max_batch: int = 32, search: str = "auto") -> None:
        self.steps = HalvedPipeline(pipeline, search)
        self.most = max_batch
        self._device = self.steps.device
        self._upload = _stream(self._device)
        self._recorded: dict[int, _Recorded] = {}

    def warm_up(self, max_batch: int) -> None:
        """Record the graphs of every batch size up to `max_batch`."""
        preprocess = self.steps.preprocess
        blank = np.zeros((preprocess.height, preprocess.width, 3), dtype=np.uint8)
        size = 1
        while size < min(max_batch, self.most):
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
        return score_pipelined(self, frames, torch.OutOfMemoryError)

    def begin(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """See `Scoring.begin`; frames that take more than one graph are scored before it returns."""
        if 0 < len(frames) <= self.most:
            try:
                return self.launch(frames)
            except torch.OutOfMemoryError:
                torch.cuda.synchronize(self._device)  # another batch in flight gives its memory back
        answers = self.score(frames)
        return lambda: answers

    def shrink(self, tried: int) -> None:
        """See `Launcher.shrink`."""
        self.most = max(1, min(self.most, tried) // 2)
        self._recorded.clear()
        # What was uploaded for the batch that did not fit is read no more once the device is done.
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()
        event(_log, logging.ERROR, "device_out_of_memory", device=str(self._device), max_batch=self.most)

    def launch(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """Start a batch of at most `most` frames without waiting for the device.

        The frames must stay as they are until the answers were collected.
        """
        start = time.perf_counter_ns()
        with torch.inference_mode(), torch.cuda.device(self._device):
            recorded = self._graph(1 << (len(frames) - 1).bit_length())
            self._fill(recorded.frames, frames)
            sent = time.perf_counter_ns()
            recorded.graph.replay()
            steps, outputs = self.steps, recorded.outputs
            scores, heatmaps = outputs if steps.recordable else steps.answers(*outputs)
            # Packed on the device, so that one copy brings all back, into page-locked memory: it does not
            # wait for the device, and the next replay, which overwrites the graph's tensors, waits for it.
            packed = torch.cat([scores[:, None], heatmaps.float().flatten(1)], dim=1)[: len(frames)]
            answers = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=True)
            answers.copy_(packed, non_blocking=True)
            done = _event()
            done.record()
        shape = heatmaps.shape[1:]

        def collect() -> list[ImageScore]:
            done.synchronize()
            device_ms = (time.perf_counter_ns() - sent) / 1e6
            stage_ms = {"preprocess": (sent - start) / 1e6, "device": device_ms}
            return [
                ImageScore(float(row[0]), row[1:].reshape(shape).astype(np.float16), stage_ms)
                for row in answers.numpy()
            ]

        return collect

    def _fill(self, target: torch.Tensor, frames: Sequence[NDArray[np.uint8]]) -> None:
        """Bring frames to the device and into a graph's input, in stream order after its last replay.

        Every frame's upload has device memory of its own, so it waits neither for a resize nor for a replay:
        while a batch is computed the next one is uploaded.
        """
        compute = torch.cuda.current_stream()
        for position, frame in enumerate(frames):
            with torch.cuda.stream(self._upload):
                pixels = self.steps.preprocess.uploaded(frame)
            compute.wait_stream(self._upload)
            pixels.record_stream(compute)
            target[position].copy_(self.steps.preprocess.fitted(pixels)[0])

    def _graph(self, size: int) -> _Recorded:
        if size not in self._recorded:
            self._recorded[size] = self._record(size)
        return self._recorded[size]

    def _record(self, size: int) -> _Recorded:
        preprocess = self.steps.preprocess
        shape = (size, 3, preprocess.height, preprocess.width)
        frames = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        side = _stream(self._device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their kernels and take their workspaces before recording
                self.steps.answers(self.steps.features(frames))
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            features = self.steps.features(frames)
            outputs = self.steps.answers(features) if self.steps.recordable else (features,)
        return _Recorded(graph, frames, outputs)


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]
