"""Scores frames with a bank: the one object behind the scoring process, evaluation and calibration."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.conformal import p_value
from inspectd.bank.manifest import GOOD_SCORES, Manifest
from inspectd.bank.store import BankFile, read_bank
from inspectd.detectors.base import Detector
from inspectd.detectors.head import Head
from inspectd.detectors.kinds import restore
from inspectd.errors import BankError, InputError
from inspectd.features.backbones import DOWNLOAD, PACKAGED, load_backbone
from inspectd.features.device import choose_device
from inspectd.features.extractor import FeatureExtractor

_FLOAT16_MAX: Final = 65504.0
_NO_NUMBER: Final = 1e9


@dataclass(frozen=True)
class BankInfo:
    """What is worth telling of a loaded bank."""

    sha256: str
    detector: str
    backbone: str
    rows: int
    dims: int
    input_height: int
    input_width: int
    threshold: float
    device: str


@dataclass(frozen=True)
class ImageScore:
    """The answer for one frame.

    Attributes:
        image_score: the larger, the less like a good part; finite.
        heatmap: (h, w) float16, at the detector's resolution.
        stage_ms: milliseconds each stage took for the whole call: preprocess, backbone, search.
    """

    image_score: float
    heatmap: NDArray[np.float16]
    stage_ms: dict[str, float]


class Scorer:
    """A bank, its backbone and its detector, ready on one device. `Scorer.load` makes one."""

    def __init__(
        self,
        extractor: FeatureExtractor,
        detector: Detector,
        head: Head,
        good_scores: NDArray[np.float64],
        info: BankInfo,
    ) -> None:
        self.info = info
        self._head = head
        self._good_scores = good_scores
        self._extractor = extractor
        self._detector = detector

    @classmethod
    def load(cls, path: Path, device: str, threads: int = 0) -> Scorer:
        """Read a bank and the backbone it was built with.

        Args:
            path: the bank file.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            threads: CPU threads of this process; 0 leaves torch's choice, one per core.

        Raises:
            BankError: the bank or its weights cannot be used.
            UnavailableError: the device is not there.
        """
        if threads:
            torch.set_num_threads(threads)
        target = choose_device(device)
        bank = read_bank(path)
        extractor = _extractor(path, bank.manifest, target)
        detector, head = _detector(path, bank, target)
        scorer = cls(extractor, detector, head, _good_scores(path, bank), _info(bank, target))
        try:
            scorer.warm_up(1)
        except (RuntimeError, IndexError) as error:
            if target.type == "cuda":  # may be the device's fault, not the bank's
                raise
            raise BankError(
                f"bank {path}: its parts do not fit each other: {error}; build it again"
            ) from error
        return scorer

    def p_value(self, image_score: float) -> float:
        """How often a good part scores at least this high, by the good images the bank was built from."""
        return p_value(image_score, self._good_scores)

    def warm_up(self, max_batch: int) -> None:
        """Score blank frames of the input's size, so that the first real ones are not slow."""
        blank = np.zeros((self.info.input_height, self.info.input_width, 3), dtype=np.uint8)
        for size in sorted({1, max_batch}):
            for _ in range(3):
                self.score([blank] * size)

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """Score frames together.

        Args:
            frames: each (H, W, 3) uint8 BGR; may be views into shared memory and differ in size.
        """
        if not frames:
            return []
        with torch.inference_mode():
            marks = [self._mark()]
            images = self._extractor.preprocess(frames)
            marks.append(self._mark())
            features = self._extractor.features(images)
            marks.append(self._mark())
            # A value that is no number would never be above a threshold, and so pass; make it fail.
            maps = self._detector.maps(features).nan_to_num(nan=_NO_NUMBER, posinf=_NO_NUMBER)
            image_scores, maps = self._head(maps)
            scores = image_scores.cpu().tolist()
            heatmaps = maps.clamp(-_FLOAT16_MAX, _FLOAT16_MAX).to(torch.float16).cpu().numpy()
            marks.append(self._mark())
        names = ("preprocess", "backbone", "search")
        stage_ms = {
            name: (end - start) / 1e6 for name, start, end in zip(names, marks, marks[1:], strict=False)
        }
        return [ImageScore(score, heatmap, stage_ms) for score, heatmap in zip(scores, heatmaps, strict=True)]

    def _mark(self) -> int:
        if self._extractor.device.type == "cuda":
            torch.cuda.synchronize(self._extractor.device)
        return time.perf_counter_ns()


def _extractor(path: Path, manifest: Manifest, device: torch.device) -> FeatureExtractor:
    weights = manifest.weights
    if weights not in (PACKAGED, DOWNLOAD):
        weights = str(_weights_file(path, weights))
    try:
        backbone = load_backbone(manifest.backbone, manifest.layers, weights, device)
    except InputError as error:
        raise BankError(f"bank {path}: {error}") from error
    if backbone.weights_sha256 != manifest.weights_sha256:
        raise BankError(
            f"bank {path}: was built with weights {manifest.weights_sha256[:12]}... of {manifest.backbone}, "
            f"here are {backbone.weights_sha256[:12]}...; use the same weights or build the bank again"
        )
    return FeatureExtractor(
        backbone, manifest.input_height, manifest.input_width, device, manifest.patches_of
    )


def _weights_file(bank: Path, recorded: str) -> Path:
    """The weights file where it was at build time, else of the same name beside the bank."""
    beside = bank.parent / Path(recorded).name
    return beside if beside.is_file() or not Path(recorded).is_file() else Path(recorded)


def _detector(path: Path, bank: BankFile, device: torch.device) -> tuple[Detector, Head]:
    tensors = {name: torch.from_numpy(array).to(device) for name, array in bank.tensors.items()}
    of = {part: _below(part, tensors) for part in ("detector", "head")}
    try:
        detector = restore(bank.manifest.detector, of["detector"], bank.manifest.options)
        head = Head(bank.manifest.head, **of["head"])
    except (InputError, TypeError) as error:
        raise BankError(f"bank {path}: {error}; build it again") from error
    if (detector.rows, detector.dims) != (bank.manifest.rows, bank.manifest.dims):
        raise BankError(f"bank {path}: manifest and tensors disagree on the bank's size; build it again")
    return detector, head


def _good_scores(path: Path, bank: BankFile) -> NDArray[np.float64]:
    scores = bank.tensors.get(GOOD_SCORES)
    if scores is None or scores.shape != (bank.manifest.images,):
        raise BankError(f"bank {path}: lacks the scores of its own images; build it again")
    return scores


def _below(part: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _info(bank: BankFile, device: torch.device) -> BankInfo:
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
        device=str(device),
    )
