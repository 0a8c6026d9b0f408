"""Loads a bank by OpenVINO: models from the cache or converted, its search remembered or measured."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.base import Loaded, ScoringOptions
from inspectd.backends.openvino.cache import ModelCache
from inspectd.backends.openvino.candidates import CandidateIndex
from inspectd.backends.openvino.choose import (
    LEAST_RECALL,
    SearchChoice,
    is_installed,
    kinds_to_try,
    make_search,
    measure,
)
from inspectd.backends.openvino.convert import converted
from inspectd.backends.openvino.pipeline import Exported, Memory, OpenVinoPipeline
from inspectd.backends.openvino.runtime import Precision, cpu_threads
from inspectd.bank.file import BankFile
from inspectd.errors import BankError
from inspectd.log import event
from inspectd.model.options import PatchCoreOptions, options_of

_log: Final = logging.getLogger("inspectd.bank")


def load(path: Path, bank: BankFile, options: ScoringOptions) -> Loaded | None:
    """A bank's pipeline by OpenVINO on the CPU; None where it cannot be converted and torch has to serve.

    Raises:
        BankError: the bank or its weights cannot be used, or backend `openvino` was asked for and cannot be.
        InputError: the search needs a package that is not installed.
    """
    cache = ModelCache()
    models = cache.models(bank.scoring_sha256) or converted(path, bank, cache)
    if models is None:
        if options.backend == "openvino":
            raise BankError(f"bank {path}: OpenVINO cannot run it; use backend auto or torch")
        event(_log, logging.WARNING, "bank_not_convertible", bank=str(path), detail="torch scores it instead")
        return None
    memory, search, choice = _memory(bank), None, None
    precision: Precision = "bfloat16" if options.precision == "bfloat16" else "float32"
    if memory is not None:
        search, choice = _search(bank, memory, models, options, cache)
    pipeline = OpenVinoPipeline(
        models, memory, search,
        region=bank.manifest.patch_options.region, precision=precision, threads=options.threads,
    )  # fmt: skip
    pipeline.warm_up(1)
    found_by, recall = ("", None) if choice is None else (choice.kind, choice.recall)
    return Loaded(pipeline, "cpu", "openvino", precision, found_by, recall)


def _memory(bank: BankFile) -> Memory | None:
    options = options_of(bank.manifest.detector, bank.manifest.options)
    if not isinstance(options, PatchCoreOptions):
        return None
    factors = bank.tensors.get("detector.places.factors") if options.position_weight else None
    whitening = None if factors is None else _lower(factors, bank.tensors["detector.places.means"].shape[2])
    return Memory(bank.tensors["detector.bank"], whitening)


def _lower(factors: NDArray[Any], dims: int) -> NDArray[np.float32]:
    """(P, d, d) lower triangular matrices of their entries (P, d (d + 1) / 2), row by row."""
    matrices = np.zeros((len(factors), dims, dims), dtype=np.float32)
    rows, columns = np.tril_indices(dims)
    matrices[:, rows, columns] = factors
    return matrices


def _search(
    bank: BankFile, memory: Memory, models: Exported, options: ScoringOptions, cache: ModelCache
) -> tuple[CandidateIndex, SearchChoice]:
    detector = options_of(bank.manifest.detector, bank.manifest.options)
    assert isinstance(detector, PatchCoreOptions)
    threads = cpu_threads(options.threads)
    patches = models.patches()
    spacing = bank.tensors["detector.spacing"] if detector.local_scale else None
    if options.search != "auto":
        search, choice = measure(
            [options.search], memory.bank, patches, detector.neighbours, threads, spacing=spacing,
            any_recall=True,
        )  # fmt: skip
    else:
        kept = cache.search(bank.scoring_sha256, threads)
        if kept is None or not is_installed(kept.kind):  # faiss may be gone since it was chosen
            kinds = kinds_to_try(len(memory.bank))
            search, choice = measure(
                kinds, memory.bank, patches, detector.neighbours, threads, spacing=spacing
            )
            cache.keep_search(bank.scoring_sha256, threads, choice)
        else:
            choice = kept
            search = make_search(
                kept.kind, memory.bank, patches, detector.neighbours, threads, spacing=spacing
            )
    spent = {kind: round(spent_ms, 2) for kind, spent_ms in choice.search_ms.items()}
    # One that was asked for by name is used however much it misses; whoever reads the log should see it.
    level = logging.INFO if choice.recall >= LEAST_RECALL else logging.WARNING
    event(_log, level, "search_chosen", kind=choice.kind, recall=choice.recall, search_ms=spent)
    return search, choice
