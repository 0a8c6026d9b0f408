"""Scores frames with a bank: the one object behind the scoring process, evaluation and calibration."""

from __future__ import annotations

import ctypes
import importlib.util
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.base import DEFAULT, Loaded, ScoringPath
from inspectd.bank.file import GOOD_SCORES, BankFile, read_bank
from inspectd.bank.threshold import p_value
from inspectd.errors import BankError, UnavailableError
from inspectd.log import event
from inspectd.model.score import ImageScore, Overlapping, Scoring

_log: Final = logging.getLogger("inspectd.bank")

__all__ = ["BankInfo", "ImageScore", "Scorer", "ScoringPath"]


@dataclass(frozen=True)
class BankInfo:
    """What is worth telling of a loaded bank.

    Attributes:
        backend: `torch`, `openvino` or `cuda`.
        precision: of the backbone.
        search: what finds neighbours, such as `exact-bfloat16`; empty where nothing is searched.
        search_recall: share of neighbours that are the nearest or within 1 % of it; None: not measured.
        image_sizes: every (height, width) of the images it was built from; empty: not recorded.
        bit_depth: bits a channel of those images.
    """

    sha256: str
    detector: str
    backbone: str
    rows: int
    dims: int
    input_height: int
    input_width: int
    threshold: float
    device: str
    backend: str
    precision: str
    search: str
    search_recall: float | None
    image_sizes: tuple[tuple[int, int], ...] = ()
    bit_depth: int = 8


class Scorer:
    """A bank, its backbone and its detector, ready on one device. `Scorer.load` makes one."""

    def __init__(self, pipeline: Scoring, good_scores: NDArray[np.float64], info: BankInfo) -> None:
        self.info = info
        self.pipeline = pipeline
        self._good_scores = good_scores

    @classmethod
    def load(cls, path: Path, device: str, threads: int = 0, way: ScoringPath = DEFAULT) -> Scorer:
        """Read a bank and the backbone it was built with.

        Args:
            path: the bank file.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            threads: CPU threads of this process; 0: one per core.
            way: how to compute.

        Raises:
            BankError: the bank or its weights cannot be used.
            InputError: the device has no such search.
            UnavailableError: the device or the backend is not there, or the device's memory is taken.
        """
        bank = read_bank(path)
        good_scores = _good_scores(path, bank)
        loaded = _load(path, bank, device, threads, way)
        return cls(loaded.pipeline, good_scores, _info(bank, loaded))

    def p_value(self, image_score: float) -> float:
        """How often a good part scores at least this high, by the good images the bank was built from."""
        return p_value(image_score, self._good_scores)

    def warm_up(self, max_batch: int) -> None:
        """Score blank frames of the input's size, so that the first real ones are not slow."""
        self.pipeline.warm_up(max_batch)

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """Score frames together.

        Args:
            frames: each (H, W, 3) uint8 BGR; may be views into shared memory and differ in size.
        """
        return self.pipeline.score(frames)

    @property
    def overlaps(self) -> bool:
        """Whether `begin` returns while the device computes."""
        return isinstance(self.pipeline, Overlapping)

    @property
    def is_one_by_one(self) -> bool:
        """Whether frames are computed one after another, so that scoring them together gains nothing."""
        return getattr(self.pipeline, "is_one_by_one", False)

    def begin(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """Start scoring frames; what is returned waits, and gives the answers.

        Args:
            frames: as `score` takes them; they must stay as they are until the answers were taken.
        """
        if isinstance(self.pipeline, Overlapping):
            return self.pipeline.begin(frames)
        return partial(self.score, frames)


def _load(path: Path, bank: BankFile, device: str, threads: int, way: ScoringPath) -> Loaded:
    on_cpu = not computes_on_cuda(device)
    if way.backend == "openvino" and not on_cpu:
        raise UnavailableError(f"backend openvino runs on the CPU, got device {device!r}; use cpu or torch")
    if way.backend != "torch" and on_cpu and _has_openvino(way):
        from inspectd.backends.openvino.load import fast_pipeline  # noqa: PLC0415 - it needs OpenVINO

        loaded = fast_pipeline(path, bank, threads, way)
        if loaded is not None:
            return loaded
    return _by_torch(path, bank, device, threads, way)


def _by_torch(path: Path, bank: BankFile, device: str, threads: int, way: ScoringPath) -> Loaded:
    import torch  # noqa: PLC0415 - hundreds of megabytes, which the fast path does without

    from inspectd.backends.cuda.device import choose_device  # noqa: PLC0415 - as above
    from inspectd.backends.reference import reference_pipeline  # noqa: PLC0415 - as above

    if threads:
        torch.set_num_threads(threads)
    target = choose_device(device)
    if target.type == "cuda":
        from inspectd.backends.cuda.search import refuse_on_cuda  # noqa: PLC0415 - as above

        refuse_on_cuda(way.search, way.backend)
    try:
        pipeline = reference_pipeline(path, bank, target)
        if target.type == "cuda" and way.backend == "auto":
            from inspectd.backends.cuda.pipeline import CudaPipeline  # noqa: PLC0415 - as above

            try:
                fast = CudaPipeline(pipeline, search=way.search)
                fast.warm_up(1)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                event(_log, logging.WARNING, "cuda_graphs_unavailable", device=str(target), detail=str(error))
                pipeline = reference_pipeline(path, bank, target)
            else:
                return Loaded(fast, str(target), "cuda", "float16", fast.steps.search, None)
    except torch.OutOfMemoryError as error:
        # Whatever else is on the device may be gone in a minute; what never fits was refused before.
        raise UnavailableError(f"bank {path}: does not fit in the memory of {target} now: {error}") from error
    return Loaded(pipeline, str(target), "torch", "float32", "exact", 1.0)


def computes_on_cuda(device: str) -> bool:
    """Whether a bank for that device (`auto`, `cpu`, `cuda`, `cuda:N`) goes to a CUDA device."""
    return device != "cpu" and (device != "auto" or _has_cuda())


def _has_cuda() -> bool:
    """Whether this machine has a CUDA device; asked without torch, which takes a second to load."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _has_openvino(way: ScoringPath) -> bool:
    there = importlib.util.find_spec("openvino") is not None
    if way.backend == "openvino" and not there:
        raise UnavailableError("backend openvino: the package openvino is not installed; use auto or torch")
    return there


def _good_scores(path: Path, bank: BankFile) -> NDArray[np.float64]:
    scores = bank.tensors.get(GOOD_SCORES)
    if scores is None or scores.shape != (bank.manifest.images,):
        raise BankError(f"bank {path}: does not hold the scores of its own images; build it again")
    return scores


def _info(bank: BankFile, loaded: Loaded) -> BankInfo:
    manifest = bank.manifest
    return BankInfo(
        sha256=bank.sha256,
        detector=manifest.detector,
        backbone=manifest.backbone,
        rows=manifest.rows,
        dims=manifest.dims,
        input_height=manifest.input_height,
        input_width=manifest.input_width,
        threshold=manifest.threshold,
        device=loaded.device,
        backend=loaded.backend,
        precision=loaded.precision,
        search=loaded.search,
        search_recall=loaded.search_recall,
        image_sizes=manifest.image_sizes,
        bit_depth=manifest.bit_depth,
    )
