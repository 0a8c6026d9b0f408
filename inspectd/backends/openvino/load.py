"""Loads a bank by OpenVINO: models from the cache or converted, and a search that fits its size."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.base import Loaded, ScoringOptions
from inspectd.backends.openvino.cache import ModelCache
from inspectd.backends.openvino.convert import converted
from inspectd.backends.openvino.exact import ExactIndex
from inspectd.backends.openvino.pipeline import OpenVinoPipeline
from inspectd.backends.openvino.runtime import Precision, cpu_threads, has_bfloat16
from inspectd.bank.file import BankFile
from inspectd.errors import BankError
from inspectd.log import event
from inspectd.model.options import PatchCoreOptions, options_of

_log: Final = logging.getLogger("inspectd.bank")


def load(path: Path, bank: BankFile, options: ScoringOptions) -> Loaded | None:
    """A bank's pipeline by OpenVINO on the CPU; None where it cannot be converted and torch has to serve.

    Raises:
        BankError: the bank or its weights cannot be used, or backend `openvino` was asked for and cannot be.
    """
    cache = ModelCache()
    models = cache.models(bank.scoring_sha256) or converted(path, bank, cache)
    if models is None:
        if options.backend == "openvino":
            raise BankError(f"bank {path}: OpenVINO cannot run it; use backend auto or torch")
        event(_log, logging.WARNING, "bank_not_convertible", bank=str(path), detail="torch scores it instead")
        return None
    search, whitening = None, None
    precision: Precision = "bfloat16" if options.precision == "bfloat16" else "float32"
    detector = options_of(bank.manifest.detector, bank.manifest.options)
    if isinstance(detector, PatchCoreOptions):
        search = _search(bank, detector, models.grid(), options)
        if detector.position_weight:
            factors, means = (bank.tensors[f"detector.places.{name}"] for name in ("factors", "means"))
            whitening = _lower(factors, means.shape[2])
    pipeline = OpenVinoPipeline(
        models, search, whitening,
        region=bank.manifest.patch_options.region, precision=precision, threads=options.threads,
    )  # fmt: skip
    pipeline.warm_up(1)
    return Loaded(pipeline, "cpu", "openvino", precision, "" if search is None else search.kind)


def _lower(factors: NDArray[Any], dims: int) -> NDArray[np.float32]:
    """(P, d, d) lower triangular matrices of their entries (P, d (d + 1) / 2), row by row."""
    matrices = np.zeros((len(factors), dims, dims), dtype=np.float32)
    rows, columns = np.tril_indices(dims)
    matrices[:, rows, columns] = factors
    return matrices


def _search(
    bank: BankFile, detector: PatchCoreOptions, grid: tuple[int, int], options: ScoringOptions
) -> ExactIndex:
    memory = bank.tensors["detector.bank"]
    spacing = bank.tensors["detector.spacing"] if detector.local_scale else None
    neighbours = min(detector.neighbours, len(memory))
    precision: Precision = "bfloat16" if has_bfloat16() else "float32"
    threads = cpu_threads(options.threads)
    return ExactIndex(memory, spacing, neighbours, precision, threads, queries=grid[0] * grid[1])
