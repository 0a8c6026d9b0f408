"""Loads a bank on a CUDA device: half precision and recorded graphs where they run, else the reference."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import torch

from inspectd.backends import reference
from inspectd.backends.base import Loaded, ScoringOptions, refuse_rounded
from inspectd.backends.cuda import imported
from inspectd.backends.cuda.device import choose_device
from inspectd.backends.cuda.faults import answers, exhausted, lost
from inspectd.backends.cuda.pipeline import CudaPipeline
from inspectd.backends.cuda.search import refuse_on_cuda
from inspectd.bank.file import BankFile
from inspectd.errors import InspectdError, UnavailableError
from inspectd.log import event
from inspectd.model.options import IMPORTED

_log: Final = logging.getLogger("inspectd.bank")


def load(path: Path, bank: BankFile, device: str, options: ScoringOptions) -> Loaded:
    """A bank's pipeline on the device named `auto`, `cuda` or `cuda:N`.

    Raises:
        BankError: the bank or its weights cannot be used.
        InputError: the device has no such search.
        UnavailableError: the device cannot be used, its memory is taken, or it was lost meanwhile.
    """
    if bank.manifest.detector == IMPORTED:
        return imported.load(path, bank, choose_device(device))
    refuse_rounded(path, bank, "a CUDA device has half precision and float32 alone")
    target = choose_device(device)
    if options.threads:
        torch.set_num_threads(options.threads)
    refuse_on_cuda(options.search, options.backend)
    try:
        loaded = _recorded(path, bank, target, options) if options.backend == "auto" else None
        return loaded or reference.load(path, bank, target, options)
    except RuntimeError as error:
        if not exhausted(error):
            raise
        detail = str(error)
    # The error is gone by now, and with it the tensors that its traceback holds. Whatever else is on the
    # device may be gone in a minute; what never fits was refused before.
    raise UnavailableError(f"bank {path}: does not fit in the memory of {target} now: {detail}")


def _recorded(path: Path, bank: BankFile, device: torch.device, options: ScoringOptions) -> Loaded | None:
    """The pipeline in half precision; None, and the reason logged, where graphs cannot be recorded.

    Raises:
        RuntimeError: the memory of the device is full; see `faults.exhausted`.
        UnavailableError: the device is lost: the reference, in this process, could not run either.
    """
    exact = reference.reference_pipeline(path, bank, device)
    try:
        pipeline = CudaPipeline(exact, search=options.search)
        pipeline.warm_up(1)
    except InspectdError:
        raise
    except Exception as error:  # torch, Triton and faiss that do not fit each other raise any
        if exhausted(error):
            raise
        if not answers():
            raise lost(error) from error
        event(
            _log, logging.WARNING, "cuda_graphs_unavailable", device=str(device),
            detail=f"{type(error).__name__}: {error}",
        )  # fmt: skip
        return None
    return Loaded(pipeline, str(device), "cuda", "float16", pipeline.steps.search)
