"""Loads a bank by OpenVINO: models from the cache or converted, and a search that fits its size."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.base import Loaded, ScoringOptions, refuse_rounded
from inspectd.backends.openvino.cache import ModelCache
from inspectd.backends.openvino.convert import converted
from inspectd.backends.openvino.exact import ExactIndex, Expansion
from inspectd.backends.openvino.lazy import AT_ONCE, LazySearch, PlaceBounds, Windows
from inspectd.backends.openvino.pipeline import OpenVinoPipeline
from inspectd.backends.openvino.runtime import Precision, computes_in, cpu_threads, has_bfloat16
from inspectd.bank.file import LISTS, BankFile
from inspectd.errors import BankError
from inspectd.log import event
from inspectd.model.lists import blocks, pays
from inspectd.model.options import PatchCoreOptions, options_of, smoothing_reach

_log: Final = logging.getLogger("inspectd.bank")


def load(path: Path, bank: BankFile, options: ScoringOptions) -> Loaded | None:
    """A bank's pipeline by OpenVINO on the CPU; None where it cannot be converted and torch has to serve.

    Raises:
        BankError: the bank or its weights cannot be used, this processor lacks its precision, or backend
            `openvino` was asked for and cannot be.
    """
    precision = bank.manifest.precision
    if not computes_in(precision):
        refuse_rounded(path, bank, f"this processor does not compute in {precision}")
    cache = ModelCache()
    models = cache.models(bank.scoring_sha256) or converted(path, bank, cache)
    if models is None:
        if options.backend == "openvino":
            raise BankError(f"bank {path}: OpenVINO cannot run it; use backend auto or torch")
        event(_log, logging.WARNING, "bank_not_convertible", bank=str(path), detail="torch scores it instead")
        return None
    search, whitening = None, None
    detector = options_of(bank.manifest.detector, bank.manifest.options)
    if isinstance(detector, PatchCoreOptions):
        search = _search(path, bank, detector, models.grid(), options)
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
    path: Path, bank: BankFile, detector: PatchCoreOptions, grid: tuple[int, int], options: ScoringOptions
) -> ExactIndex | LazySearch:
    """Of all distances where they are few or the score depends on all, else of no more than are needed."""
    head, threads = bank.manifest.head, cpu_threads(options.threads)
    memory, lists = bank.tensors["detector.bank"], bank.tensors.get(LISTS)
    spacing = bank.tensors["detector.spacing"] if detector.local_scale else None
    expansion = Expansion(memory, spacing)
    neighbours, patches = min(detector.neighbours, len(memory)), grid[0] * grid[1]
    of_all = options.search == "exact" or detector.reweight or head.pool != "max"
    if of_all or lists is None or lists.shape[1] < neighbours or not pays(patches, len(memory)):
        precision: Precision = "bfloat16" if has_bfloat16() else "float32"
        return ExactIndex(expansion, neighbours, precision, patches, threads)
    if len(lists) != len(blocks(*grid)):
        raise BankError(f"bank {path}: its lists of rows do not fit the bank; build it again")
    # In bfloat16 a row may be missed, and a score would differ from the reference's in the third digit.
    exact = ExactIndex(expansion, neighbours, "float32", AT_ONCE, threads)
    bounds = PlaceBounds(expansion, lists, grid, neighbours, threads)
    mask = bank.tensors.get("head.mask")
    scored = np.ones(patches, dtype=bool) if mask is None else mask.reshape(-1) > 0
    reach = smoothing_reach(head.smoothing) if min(grid) > 1 else 0
    return LazySearch(bounds, exact, Windows(grid, reach, scored, head.top))
