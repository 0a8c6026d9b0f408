"""The pipeline as OpenVINO models and a search, without torch in the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as op

from inspectd.backends.openvino.exact import ExactIndex, product
from inspectd.backends.openvino.lazy import LazySearch
from inspectd.backends.openvino.runtime import (
    Representation,
    compiled,
    infer,
    products_of,
    read_model,
    shared,
)
from inspectd.model.options import BackbonePrecision
from inspectd.model.resize import resized
from inspectd.model.score import FLOAT16_MAX, ImageScore
from inspectd.pictures.region import Region
from inspectd.records import NAN_SCORE

_STAGES: Final = ("preprocess", "backbone", "search", "head")


@dataclass(frozen=True)
class Exported:
    """A pipeline as models for one image; `backends.openvino.export` makes them.

    Attributes:
        extract: (1, H, W, 3) uint8 BGR -> features (1, h, w, D) float32 and, for PatchCore with positions,
            offsets (h * w, d) float32 from each position's mean.
        judge: features, for PatchCore also distances (h * w, k) to the nearest rows, those rows' numbers
            (h * w, k) int32, and distances of positions (h * w,) -> image score (1,), heatmap (1, h, w).
    """

    extract: Representation
    judge: Representation

    def grid(self) -> tuple[int, int]:
        """Height and width of an image's patches."""
        _, height, width, _ = read_model(self.extract).output(0).shape
        return int(height), int(width)


class OpenVinoPipeline:
    """Scores frames one after another; the same numbers as `ReferencePipeline` up to rounding.

    Args:
        exported: the models.
        search: of a PatchCore's bank; None: the models hold everything.
        whitening: (h * w, d, d) float32, lower triangular, of a PatchCore's positions; None: it has none.
        region: part of every frame that is scored.
        precision: of the backbone.
        threads: CPU threads; 0: one per core.
    """

    overlaps: ClassVar[bool] = False
    is_one_by_one: ClassVar[bool] = True

    def __init__(
        self,
        exported: Exported,
        search: ExactIndex | LazySearch | None,
        whitening: NDArray[np.float32] | None,
        *,
        region: Region | None,
        precision: BackbonePrecision,
        threads: int,
    ) -> None:
        self._region = region
        self._search = search
        self._judge_ns = 0
        extract = compiled(read_model(exported.extract), products_of(precision), threads)
        _, self.height, self.width, _ = extract.input(0).shape
        self._extract = extract.create_infer_request()
        self._judge = compiled(read_model(exported.judge), "float32", threads).create_infer_request()
        self._judge.set_input_tensor(0, self._extract.get_output_tensor(0))
        self._positions: Any = None
        if whitening is not None:
            distances = compiled(_position_distances(whitening), "bfloat16", threads)
            self._positions = distances.create_infer_request()
            self._positions.set_input_tensor(self._extract.get_output_tensor(1))
            self._judge.set_input_tensor(3, self._positions.get_output_tensor(0))

    def warm_up(self, max_batch: int) -> None:  # noqa: ARG002 - frames are scored one by one
        """See `Scoring.warm_up`; the frames have the input's size."""
        blank = np.zeros((self.height, self.width, 3), dtype=np.uint8)
        for _ in range(3):
            self.score([blank])

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """Score frames.

        Args:
            frames: each (H, W, 3) uint8 BGR or (H, W, 1); may be views into shared memory and differ in size.
        """
        answers, spent = [], np.zeros(len(_STAGES))
        for frame in frames:
            score, heatmap, of_stages = self._score(frame)
            answers.append((score, heatmap))
            spent += of_stages
        stage_ms = {name: float(value) / 1e6 for name, value in zip(_STAGES, spent, strict=True)}
        return [ImageScore(score, heatmap, stage_ms) for score, heatmap in answers]

    def begin(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """See `Scoring.begin`."""
        return partial(self.score, frames)

    def _score(self, frame: NDArray[np.uint8]) -> tuple[float, NDArray[np.float16], NDArray[np.int64]]:
        """Score, heatmap, and the nanoseconds of each stage."""
        self._judge_ns = 0
        marks = [time.perf_counter_ns()]
        pixels = resized(frame, self.height, self.width, self._region)
        marks.append(time.perf_counter_ns())
        infer(self._extract, pixels[None])
        features = self._extract.get_output_tensor(0).data
        patches = features.reshape(-1, features.shape[-1])
        marks.append(time.perf_counter_ns())
        if self._positions is not None:
            self._positions.infer()
        if self._search is None:
            self._heatmap()
        elif isinstance(self._search, LazySearch):
            self._search.search(patches, self._heatmap)
        else:
            self._heatmap(*self._search.search(patches))
        marks.append(time.perf_counter_ns())
        score, heatmap = self._answer(features)
        marks.append(time.perf_counter_ns())
        spent = np.diff(marks)
        return score, heatmap, spent + np.array([0, 0, -self._judge_ns, self._judge_ns])

    def _heatmap(
        self, distances: NDArray[np.float32] | None = None, rows: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        """The judge's heatmap (h, w) of a PatchCore's distances; valid until the next call."""
        start = time.perf_counter_ns()
        if distances is not None:
            self._judge.set_input_tensor(1, shared(distances))
        if rows is not None:
            self._judge.set_input_tensor(2, shared(rows))
        self._judge.infer()
        self._judge_ns += time.perf_counter_ns() - start
        heatmap: NDArray[np.float32] = self._judge.get_output_tensor(1).data[0]
        return heatmap

    def _answer(self, features: NDArray[np.float32]) -> tuple[float, NDArray[np.float16]]:
        score = float(self._judge.get_output_tensor(0).data[0])
        heatmap = self._judge.get_output_tensor(1).data[0]
        flat = features.reshape(-1)
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.dot(flat, flat)
        # Vectorised minima and sorts may lose NaN; such an image must not pass.
        if not np.isfinite(score) or not np.isfinite(norm) or not np.isfinite(heatmap).all():
            return NAN_SCORE, np.full(heatmap.shape, FLOAT16_MAX, dtype=np.float16)
        return score, heatmap.astype(np.float16)


def _position_distances(whitening: NDArray[np.float32]) -> Any:
    """Offsets (P, d) -> Mahalanobis distances (P,): the norm of W x, as in `PaDiM.score_maps`."""
    positions, dims, _ = whitening.shape
    offsets = op.parameter([positions, dims], np.float32, name="offsets")
    rows = op.reshape(
        offsets, op.constant(np.array([positions, 1, dims], dtype=np.int64)), special_zero=False
    )
    # Rows times a transposed matrix: products in bfloat16 for which OpenVINO has a kernel.
    matrices = op.constant(np.ascontiguousarray(whitening.transpose(0, 2, 1)))
    whitened = product(rows, matrices)
    squared = op.reduce_sum(op.multiply(whitened, whitened), op.constant(np.array([1, 2])), keep_dims=False)
    return openvino.Model([op.sqrt(squared)], [offsets], "places")
