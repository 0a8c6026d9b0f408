"""Builds a bank from images of good parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from numpy.typing import NDArray

from inspectd.bank.fit import CrossFit, FitSpec, cross_fit, fit_detector
from inspectd.bank.images import read_image
from inspectd.bank.manifest import GOOD_SCORES, Manifest
from inspectd.bank.store import write_bank
from inspectd.bank.threshold import conformal_threshold
from inspectd.detectors.base import Detector
from inspectd.detectors.options import HeadOptions, options_of
from inspectd.errors import InputError
from inspectd.features.backbones import DEFAULT_BACKBONE, load_backbone
from inspectd.features.device import choose_device
from inspectd.features.extractor import FeatureExtractor

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, how much of it is done, and how much there is."""

FEWEST_IMAGES: Final = 10
FALSE_REJECT_RATE: Final = 0.01
_BATCH: Final = 8


@dataclass(frozen=True)
class BuildSpec:
    """What to build.

    Attributes:
        coreset: share of all patches to keep (0 < share <= 1), or how many of them (an int).
        options: the detector's own settings; what is left out has its default.
    """

    detector: str = "patchcore"
    options: dict[str, Any] = field(default_factory=dict)
    head: HeadOptions = field(default_factory=HeadOptions)
    backbone: str = DEFAULT_BACKBONE
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    height: int = 256
    width: int = 256
    coreset: float | int = 0.01
    seed: int = 0
    device: str = "auto"


class BuildReport(msgspec.Struct, frozen=True):
    """What was built and how long each step took."""

    images: int
    skipped: list[str]
    patches: int
    rows: int
    dims: int
    threshold: float
    extract_s: float
    coreset_s: float
    threshold_s: float
    sha256: str


def build_bank(paths: Sequence[Path], out: Path, spec: BuildSpec, progress: Progress) -> BuildReport:
    """Fit a detector on images of good parts, find its threshold and write the bank file.

    Args:
        paths: image files of good parts.
        out: the bank file to write.
        spec: what to build.
        progress: told of every step's progress.

    Raises:
        InputError: too few images can be read, or the specification cannot be met.
        UnavailableError: the device is not there, or the file cannot be written.
    """
    fit = FitSpec(options_of(spec.detector, spec.options), spec.head, spec.coreset, spec.seed)
    device = choose_device(spec.device)
    backbone = load_backbone(spec.backbone, spec.layers, spec.weights, device)
    extractor = FeatureExtractor(backbone, spec.height, spec.width, device)
    start = time.perf_counter()
    features, skipped = _extract(extractor, paths, progress)
    extracted = time.perf_counter()
    with torch.inference_mode():
        detector = fit_detector(features, fit, lambda done, total: progress("bank", done, total))
        fitted = time.perf_counter()
        held_out = cross_fit(features, fit, lambda done, total: progress("threshold", done, total))
    finished = time.perf_counter()
    threshold = conformal_threshold(held_out.scores, FALSE_REJECT_RATE)
    manifest = Manifest(
        detector=spec.detector,
        options=msgspec.to_builtins(fit.options),
        head=spec.head,
        backbone=backbone.name,
        weights=backbone.weights,
        weights_sha256=backbone.weights_sha256,
        layers=backbone.layers,
        input_height=spec.height,
        input_width=spec.width,
        images=features.shape[0],
        patches=features.shape[0] * features.shape[1] * features.shape[2],
        rows=detector.rows,
        dims=detector.dims,
        coreset_ratio=spec.coreset if isinstance(spec.coreset, float) else None,
        seed=spec.seed,
        threshold=threshold,
        threshold_basis=f"{FALSE_REJECT_RATE:.1%} of {len(held_out.scores)} cross-fitted good scores above",
    )
    sha256 = write_bank(out, manifest, _arrays(detector, held_out))
    return BuildReport(
        images=manifest.images,
        skipped=skipped,
        patches=manifest.patches,
        rows=manifest.rows,
        dims=manifest.dims,
        threshold=threshold,
        extract_s=round(extracted - start, 3),
        coreset_s=round(fitted - extracted, 3),
        threshold_s=round(finished - fitted, 3),
        sha256=sha256,
    )


def _arrays(detector: Detector, held_out: CrossFit) -> dict[str, NDArray[Any]]:
    """Everything the bank file holds, by name."""
    tensors = {f"detector.{name}": tensor for name, tensor in detector.tensors().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in held_out.head.tensors().items()}
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()} | {GOOD_SCORES: held_out.scores}


def _extract(
    extractor: FeatureExtractor, paths: Sequence[Path], progress: Progress
) -> tuple[torch.Tensor, list[str]]:
    """Features (N, h, w, D) float32 of all readable images, and the paths of the others."""
    parts: list[torch.Tensor] = []
    skipped: list[str] = []
    progress("features", 0, len(paths))
    for start in range(0, len(paths), _BATCH):
        chunk = paths[start : start + _BATCH]
        frames = []
        for path in chunk:
            frame = read_image(path)
            if frame is None:
                skipped.append(str(path))
            else:
                frames.append(frame)
        if frames:
            parts.append(extractor(frames))
        progress("features", start + len(chunk), len(paths))
    readable = len(paths) - len(skipped)
    if readable < FEWEST_IMAGES:
        raise InputError(
            f"{readable} readable images, expected at least {FEWEST_IMAGES}; 100 to 500 serve well"
        )
    return torch.cat(parts), skipped
