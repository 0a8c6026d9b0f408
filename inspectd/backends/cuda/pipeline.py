"""The pipeline on a CUDA device: uploads on a stream of their own, and one CUDA graph for each batch size."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.backends.cuda.faults import exhausted
from inspectd.backends.cuda.half import HalvedPipeline
from inspectd.log import event
from inspectd.model.pipeline import ReferencePipeline
from inspectd.model.score import ImageScore

_UNDER_WAY: Final = 2
"""While one is computed the next one's frames are uploaded; a third would only hold more memory."""


class Launcher(Protocol):
    """A device that computes batches while the host goes on."""

    @property
    def most(self) -> int:
        """Most frames in a batch."""

    def launch(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], Sequence[ImageScore]]:
        """Start a batch without waiting for it; the returned call waits for it and gives its answers."""

    def shrink(self, tried: int) -> None:
        """Make `most` smaller than `tried`, a number of frames that did not fit."""


def score_pipelined(
    device: Launcher, frames: Sequence[NDArray[np.uint8]], is_full: Callable[[BaseException], bool]
) -> list[ImageScore]:
    """Score frames by double buffering; halve the batch when device memory runs out. Answers in order.

    The next batch is launched before the last one is waited for.

    Args:
        device: computes the batches.
        frames: any number, each (H, W, 3) uint8 BGR or (H, W, 1).
        is_full: whether an error of `launch` says that the device's memory does not hold the batch.

    Raises:
        Exception: of `launch`, where the memory does not hold a single frame, or for another reason.
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
        except Exception as error:
            if not is_full(error) or (device.most == 1 and not under_way):
                raise
        else:
            position += len(part)
            continue
        # Not inside `except`: until that ends, the error's traceback holds the tensors of what failed.
        if under_way:  # what these hold comes free: the batch may fit then
            answers += [answer for collect in under_way for answer in collect()]
            under_way.clear()
        else:
            device.shrink(len(part))
    return answers + [answer for collect in under_way for answer in collect()]


_log: Final = logging.getLogger("inspectd.scoring")


_GROW_AFTER_SECONDS: Final = 300.0
"""How long smaller batches are scored before larger ones are tried again: whatever else took the memory
may be gone, and a try costs the line a fraction of a second."""


class BatchLimit:
    """Most frames in a batch: fewer where the device's memory is full, and more again some minutes later.

    Args:
        max_batch: most of all.
        clock: seconds, monotonic.
    """

    def __init__(self, max_batch: int, clock: Callable[[], float]) -> None:
        self.most = max_batch
        self._max_batch = max_batch
        self._clock = clock
        self._grow_at = math.inf

    def shrink(self, tried: int) -> None:
        """Halve it, below a number of frames that did not fit."""
        self.most = max(1, min(self.most, tried) // 2)
        self._grow_at = self._clock() + _GROW_AFTER_SECONDS

    def grow(self) -> bool:
        """Double it if it is time to; whether it was."""
        if self._clock() < self._grow_at:
            return False
        self.most = min(self._max_batch, 2 * self.most)
        self._grow_at = math.inf if self.most == self._max_batch else self._clock() + _GROW_AFTER_SECONDS
        return True


@dataclass(frozen=True)
class _Recorded:
    """A CUDA graph with the tensors it reads and writes.

    Attributes:
        images: (N, 3, H, W) float16, channels_last.
        output: (N, 1 + h * w) float32, an image's score and its heatmap; where the search cannot be part of a
            graph, the features (N, h, w, D) float32.
        grid: h and w.
    """

    graph: Any
    images: torch.Tensor
    output: torch.Tensor
    grid: tuple[int, int]


class CudaPipeline:
    """Scores batches on a CUDA device with a backbone in half precision.

    A batch is filled up to the next of 1, 2, 4, ... frames, for which a graph was recorded. Where the memory
    of the device does not hold a batch, smaller ones are scored from then on (`device_out_of_memory`), and
    larger ones are tried again after some minutes.

    Args:
        pipeline: the reference, on the device; its backbone and search are changed in place.
        max_batch: most frames in a graph.
        search: `auto`, `exact` or `flat`; see `HalfSearch`.
        clock: seconds, monotonic.

    Raises:
        InputError: there is no such search on the device.
    """

    overlaps: ClassVar[bool] = True
    is_one_by_one: ClassVar[bool] = False

    def __init__(
        self,
        pipeline: ReferencePipeline,
        max_batch: int = 32,
        search: str = "auto",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps = HalvedPipeline(pipeline, search)
        self._limit = BatchLimit(max_batch, clock)
        self._device = self.steps.device
        self._upload = _stream(self._device)
        self._capture = _stream(self._device)
        """One for all graphs: libraries keep a workspace for each stream."""
        self._recorded: dict[int, _Recorded] = {}

    @property
    def most(self) -> int:
        """See `Launcher.most`."""
        return self._limit.most

    def warm_up(self, max_batch: int) -> None:
        """Record the graphs of every batch size up to `max_batch`, and fit frames of two sizes."""
        height, width = self.steps.preprocess.height, self.steps.preprocess.width
        blanks = [np.zeros((times * height, times * width, 3), dtype=np.uint8) for times in (1, 2)]
        size = 1
        while size < min(max_batch, self.most):
            self.score([blanks[size % 2]] * size)
            size *= 2
        self.score([blanks[0]] * max_batch)

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """Score frames together.

        Args:
            frames: each (H, W, 3) uint8 BGR or (H, W, 1); may be views into page-locked memory and differ in
                size.

        Raises:
            RuntimeError: the device failed, or its memory does not hold a single frame.
        """
        return score_pipelined(self, frames, exhausted)

    def begin(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """See `Scoring.begin`; frames that take more than one graph are scored before it returns."""
        if self._limit.grow():
            event(_log, logging.INFO, "batches_grow", device=str(self._device), max_batch=self.most)
        if 0 < len(frames) <= self.most:
            try:
                return self.launch(frames)
            except Exception as error:
                if not exhausted(error):
                    raise
            torch.cuda.synchronize(self._device)  # another batch in flight gives its memory back
        answers = self.score(frames)
        return lambda: answers

    def shrink(self, tried: int) -> None:
        """See `Launcher.shrink`."""
        self._limit.shrink(tried)
        self._recorded = {size: kept for size, kept in self._recorded.items() if size <= self.most}
        # What was uploaded for the batch that did not fit is read no more once the device is done.
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()
        event(_log, logging.ERROR, "device_out_of_memory", device=str(self._device), max_batch=self.most)

    def launch(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """Start a batch of at most `most` frames without waiting for the device.

        The frames must stay as they are until the answers were collected.
        """
        start = time.perf_counter_ns()
        count = len(frames)
        with torch.inference_mode(), torch.cuda.device(self._device):
            recorded = self._graph(1 << (count - 1).bit_length())
            compute = torch.cuda.current_stream()
            # On a stream of their own, and into memory of their own: while a batch is computed, the next
            # one's frames are uploaded and resized.
            with torch.cuda.stream(self._upload):
                images = self.steps.images(frames)
            compute.wait_stream(self._upload)
            images.record_stream(compute)
            recorded.images[:count].copy_(images)
            sent = time.perf_counter_ns()
            recorded.graph.replay()
            output = recorded.output
            packed = output if self.steps.recordable else _packed(*self.steps.answers(output))
            # One copy brings all back, into page-locked memory: it does not wait for the device, and the
            # next replay, which overwrites the graph's tensors, waits for it.
            answers = torch.empty((count, packed.shape[1]), dtype=packed.dtype, pin_memory=True)
            answers.copy_(packed[:count], non_blocking=True)
            done = _event()
            done.record()

        def collect() -> list[ImageScore]:
            done.synchronize()
            device_ms = (time.perf_counter_ns() - sent) / 1e6
            stage_ms = {"preprocess": (sent - start) / 1e6, "device": device_ms}
            values = answers.numpy()
            heatmaps = values[:, 1:].reshape(count, *recorded.grid).astype(np.float16)
            return [
                ImageScore(score, heatmap, stage_ms)
                for score, heatmap in zip(values[:, 0].tolist(), heatmaps, strict=True)
            ]

        return collect

    def _graph(self, size: int) -> _Recorded:
        if size not in self._recorded:
            self._recorded[size] = self._record(size)
        return self._recorded[size]

    def _record(self, size: int) -> _Recorded:
        preprocess = self.steps.preprocess
        shape = (size, 3, preprocess.height, preprocess.width)
        images = torch.empty(
            shape, dtype=torch.half, device=self._device, memory_format=torch.channels_last
        ).zero_()
        side = self._capture
        side.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        # The outer context puts the stream back where a recording fails.
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries choose their kernels and take their workspaces before recording
                self.steps.answers(self.steps.features(images))
            with torch.cuda.graph(graph, stream=side):
                features = self.steps.features(images)
                output = _packed(*self.steps.answers(features)) if self.steps.recordable else features
        torch.cuda.current_stream().wait_stream(side)
        return _Recorded(graph, images, output, (features.shape[1], features.shape[2]))


def _packed(scores: torch.Tensor, heatmaps: torch.Tensor) -> torch.Tensor:
    """Scores (N,) and heatmaps (N, h, w) as (N, 1 + h * w) float32."""
    return torch.cat([scores[:, None], heatmaps.float().flatten(1)], dim=1)


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]
