"""Precisions of the CPU as OpenVINO sees it, and models compiled for it."""

from __future__ import annotations

import os
from functools import cache
from typing import Any, Literal

import numpy as np
import openvino
from numpy.typing import NDArray

Precision = Literal["float32", "bfloat16"]


Representation = tuple[bytes, bytes]
"""An OpenVINO model: its XML and its weights."""


@cache
def core() -> Any:
    """The `openvino.Core` of this process; it owns the threads."""
    return openvino.Core()


def compiled(model: Any, precision: Precision, threads: int) -> Any:
    """A model compiled for one image at a time.

    Args:
        model: an `openvino.Model`.
        precision: of its matrix products and convolutions.
        threads: CPU threads; 0: one per core.
    """
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": cpu_threads(threads),
    }
    return core().compile_model(model, "CPU", settings)


def read_model(model: Representation) -> Any:
    """An `openvino.Model` from its XML and its weights."""
    xml, weights = model
    return core().read_model(xml, openvino.Tensor(np.frombuffer(weights, dtype=np.uint8).copy()))


def shared(array: NDArray[Any]) -> Any:
    """A tensor on an array's memory, which must outlive it."""
    return openvino.Tensor(array, shared_memory=True)


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 natively."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_threads(threads: int) -> int:
    """Threads to use: as many as asked for, or one for each core this process may run on."""
    return threads or len(os.sched_getaffinity(0))
