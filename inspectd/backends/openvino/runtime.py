"""Precisions of the CPU as OpenVINO sees it, and models compiled for it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import openvino
from numpy.typing import NDArray

from inspectd.errors import InspectdError
from inspectd.model.options import BackbonePrecision
from inspectd.text import printable

Precision = Literal["float32", "bfloat16"]

_EIGHT_BITS: Final = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}
"""Flags of processors that add products of 8 bits in 32 bits; others overflow 16, and scores are others."""

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


def products_of(precision: BackbonePrecision) -> Precision:
    """The precision to compile a backbone's model for: of `int8` the model itself holds what is rounded."""
    return "bfloat16" if precision == "bfloat16" else "float32"


def read_model(model: Representation) -> Any:
    """An `openvino.Model` from its XML and its weights."""
    xml, weights = model
    return core().read_model(xml, openvino.Tensor(np.frombuffer(weights, dtype=np.uint8).copy()))


def infer(request: Any, picture: NDArray[Any]) -> None:
    """Have a compiled model compute a picture, which is not copied.

    Args:
        request: of the model.
        picture: as the model takes it.

    Raises:
        InspectdError: it cannot; an operator may fail at what one picture in many shows.
    """
    try:
        request.infer([picture], share_inputs=True)
    except RuntimeError as error:
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InspectdError(
            f"the bank's model fails at this picture: {printable(said[-1][:300])}; a part that shows such a "
            "picture is never judged: take another model"
        ) from error


def shared(array: NDArray[Any]) -> Any:
    """A tensor on an array's memory, which must outlive it."""
    return openvino.Tensor(array, shared_memory=True)


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 natively."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def computes_in(precision: BackbonePrecision) -> bool:
    """Whether this processor computes in a precision natively."""
    if precision == "int8":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return any(not _EIGHT_BITS.isdisjoint(line.split()) for line in lines)
    return precision == "float32" or has_bfloat16()


def cpu_threads(threads: int) -> int:
    """Threads to use: as many as asked for, or one for each core this process may run on."""
    return threads or len(os.sched_getaffinity(0))
