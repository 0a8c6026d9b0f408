"""Scores frames with a bank: used by the scoring process, evaluation and calibration."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inspectd.backends.base import Loaded, ScoringOptions
from inspectd.bank.file import BankFile, good_scores, read_bank
from inspectd.errors import InputError, UnavailableError
from inspectd.model.options import IMPORTED
from inspectd.model.score import ImageScore, Scoring
from inspectd.pictures.region import Region

if TYPE_CHECKING:
    from inspectd.model.features import FeatureExtractor
    from inspectd.quality.check import FrameCheck

_DEFAULT: Final = ScoringOptions()

__all__ = ["ImageScore", "Scorer", "ScorerInfo", "ScoringOptions"]


@dataclass(frozen=True)
class ScorerInfo:
    """Facts of a loaded bank.

    Attributes:
        backend: `torch`, `openvino` or `cuda`.
        precision: of the backbone.
        search: for neighbours, such as `exact-bfloat16`; empty where nothing is searched.
        image_sizes: every (height, width) of the images it was built from; empty: not recorded.
        bit_depth: bits a channel of those images.
        region: the part of every frame that is scored and that heatmaps lie over, as shares; None: all.
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
    image_sizes: tuple[tuple[int, int], ...] = ()
    bit_depth: int = 8
    region: Region | None = None


class Scorer:
    """A bank ready to score on one device. `Scorer.load` makes one.

    Args:
        pipeline: of any backend.
        info: of the bank and the pipeline.
        check: measures frames against what the bank learnt; None: it learnt nothing of how they are taken.
    """

    def __init__(self, pipeline: Scoring, info: ScorerInfo, check: FrameCheck | None = None) -> None:
        self.info = info
        self.check = check
        self.pipeline = pipeline
        self.overlaps = pipeline.overlaps
        self.is_one_by_one = pipeline.is_one_by_one
        self.warm_up = pipeline.warm_up
        self.score = pipeline.score
        self.begin = pipeline.begin

    @classmethod
    def load(cls, path: Path, device: str, options: ScoringOptions = _DEFAULT) -> Scorer:
        """Read a bank and the backbone it was built with.

        Args:
            path: the bank file.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            options: of scoring.

        Raises:
            BankError: the bank or its weights cannot be used.
            InputError: the device has no such search.
            UnavailableError: the device or the backend is not there, or the device's memory is taken.
        """
        return cls.of(path, read_bank(path), device, options)

    @classmethod
    def of(cls, path: Path, bank: BankFile, device: str, options: ScoringOptions = _DEFAULT) -> Scorer:
        """As `load`, by a bank that was read from its file: who needs both must not get two banks.

        Args:
            path: the bank file, for messages and for the weights beside it.
            bank: what it held.
            device: as of `load`.
            options: the same.

        Raises:
            BankError: as `load`, or the file is converted and was changed meanwhile.
            InputError: as `load`.
            UnavailableError: the same.
        """
        good_scores(path, bank)  # without them its threshold cannot be checked
        loaded = _load(path, bank, device, options)
        learnt = bank.manifest.quality
        if learnt is None:
            return cls(loaded.pipeline, _info(bank, loaded))
        from inspectd.quality.align import AligningPipeline  # noqa: PLC0415 - loads OpenCV, which may be missing
        from inspectd.quality.check import FrameCheck  # noqa: PLC0415 - as above

        check = FrameCheck(learnt, bank.tensors, bank.manifest.patch_options.region)
        pipeline = AligningPipeline(loaded.pipeline, check) if learnt.aligned else loaded.pipeline
        return cls(pipeline, _info(bank, loaded), check)


def _load(path: Path, bank: BankFile, device: str, options: ScoringOptions) -> Loaded:
    """Load by the backend for the device; each is imported only where it computes."""
    if options.backend == "openvino" and (device.startswith("cuda") or computes_on_cuda(device)):
        raise UnavailableError(f"backend openvino runs on the CPU, got device {device!r}; use cpu or torch")
    if computes_on_cuda(device):
        from inspectd.backends.cuda import load as cuda  # noqa: PLC0415 - loads torch: hundreds of megabytes

        return cuda.load(path, bank, device, options)
    if options.search == "flat":
        raise InputError("search 'flat' is faiss on CUDA, this bank is scored on the CPU; use auto or exact")
    if options.backend != "torch" and _has_openvino(options):
        from inspectd.backends.openvino import load as openvino  # noqa: PLC0415 - may be missing

        loaded = openvino.load(path, bank, options)
        if loaded is not None:
            return loaded
    import torch  # noqa: PLC0415 - as above

    from inspectd.backends import reference  # noqa: PLC0415 - as above

    return reference.load(path, bank, torch.device("cpu"), options, _imported(path, bank))


def _imported(path: Path, bank: BankFile) -> FeatureExtractor | None:
    """What makes the features of an imported model, which only OpenVINO computes; None: it is none."""
    if bank.manifest.detector != IMPORTED:
        return None
    if importlib.util.find_spec("openvino") is None:
        raise UnavailableError(f"bank {path}: needs the package openvino, which is not installed")
    from inspectd.backends.openvino.imported import extractor_of_bank  # noqa: PLC0415 - may be missing

    return extractor_of_bank(path, bank)


def computes_on_cuda(device: str) -> bool:
    """Whether a bank for that device (`auto`, `cpu`, `cuda`, `cuda:N`) goes to a CUDA device.

    Raises:
        InputError: the name is none of these.
        UnavailableError: torch cannot compute on the CUDA device asked for, or its memory is full now.
    """
    if device == "cpu":
        return False
    from inspectd.backends.cuda.driver import find_driver  # noqa: PLC0415 - nothing else needs it on a CPU

    if device == "auto" and not find_driver().cards:
        return False
    # A driver may show a card that torch cannot use: only torch itself can tell.
    from inspectd.backends.cuda.device import choose_device  # noqa: PLC0415 - loads torch

    return choose_device(device).type == "cuda"


def _has_openvino(options: ScoringOptions) -> bool:
    there = importlib.util.find_spec("openvino") is not None
    if options.backend == "openvino" and not there:
        raise UnavailableError("backend openvino: the package openvino is not installed; use auto or torch")
    return there


def _info(bank: BankFile, loaded: Loaded) -> ScorerInfo:
    manifest = bank.manifest
    return ScorerInfo(
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
        image_sizes=manifest.image_sizes,
        bit_depth=manifest.bit_depth,
        region=manifest.patch_options.region,
    )
