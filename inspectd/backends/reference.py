"""A bank as the torch pipeline: the reference on any device, and the source of OpenVINO's models."""

from __future__ import annotations

from pathlib import Path

import torch

from inspectd.backends.base import Loaded, ScoringOptions, refuse_rounded
from inspectd.bank.file import BankFile, Manifest
from inspectd.bank.weights import weights_of
from inspectd.errors import BankError, InputError
from inspectd.model.backbones import load_backbone
from inspectd.model.detectors import Detector, restore
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head
from inspectd.model.pipeline import ReferencePipeline


def load(
    path: Path,
    bank: BankFile,
    device: torch.device,
    options: ScoringOptions,
    imported: FeatureExtractor | None = None,
) -> Loaded:
    """A bank's pipeline by torch in float32.

    Args:
        path: the bank file; weights may lie beside it.
        bank: its content.
        device: where to compute.
        options: only its threads matter.
        imported: see `reference_pipeline`.

    Raises:
        BankError: the bank or its weights cannot be used, or it was made in another precision.
    """
    if imported is None:
        refuse_rounded(path, bank, "torch computes in float32")
    if options.threads:
        torch.set_num_threads(options.threads)
    return Loaded(reference_pipeline(path, bank, device, imported), str(device), "torch", "float32", "exact")


def reference_pipeline(
    path: Path, bank: BankFile, device: torch.device, imported: FeatureExtractor | None = None
) -> ReferencePipeline:
    """Load the backbone a bank was built with and restore its detector.

    Args:
        path: the bank file; weights may lie beside it.
        bank: its content.
        device: where to compute.
        imported: what makes the features of an imported model; None: the backbone of the bank.

    Raises:
        BankError: the bank or its weights cannot be used.
    """
    extractor = imported or _extractor(path, bank.manifest, device)
    pipeline = ReferencePipeline(extractor, *_detector(path, bank, device))
    try:
        pipeline.warm_up(1)
    except (RuntimeError, IndexError) as error:
        if device.type == "cuda":  # may be the device's fault, not the bank's
            raise
        raise BankError(f"bank {path}: its parts do not match: {error}; build it again") from error
    return pipeline


def _extractor(path: Path, manifest: Manifest, device: torch.device) -> FeatureExtractor:
    try:
        backbone = load_backbone(
            manifest.backbone, manifest.layers, weights_of(path, manifest), device,
            size=(manifest.input_height, manifest.input_width), final_norm=manifest.patch_options.final_norm,
        )  # fmt: skip
    except InputError as error:
        raise BankError(f"bank {path}: {error}") from error
    if backbone.weights_sha256 != manifest.weights_sha256:
        raise BankError(
            f"bank {path}: was built with weights {manifest.weights_sha256[:12]}... of {manifest.backbone}, "
            f"here are {backbone.weights_sha256[:12]}...; use the same weights or build the bank again"
        )
    return FeatureExtractor(
        backbone, manifest.input_height, manifest.input_width, device, manifest.patch_options
    )


def _detector(path: Path, bank: BankFile, device: torch.device) -> tuple[Detector, Head]:
    try:
        tensors = tensors_of("detector", bank, device)
        detector = restore(bank.manifest.detector, tensors, bank.manifest.options)
        head = Head.restore(tensors_of("head", bank, device), bank.manifest.head)
    except InputError as error:
        raise BankError(f"bank {path}: {error}; build it again") from error
    if (detector.rows, detector.dims) != (bank.manifest.rows, bank.manifest.dims):
        raise BankError(f"bank {path}: manifest and tensors disagree on the bank's size; build it again")
    return detector, head


def tensors_of(part: str, bank: BankFile, device: torch.device) -> dict[str, torch.Tensor]:
    """Tensors of a bank's `detector` or `head`, by their names in it."""
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): torch.from_numpy(array).to(device)
        for name, array in bank.tensors.items()
        if name.startswith(prefix)
    }
