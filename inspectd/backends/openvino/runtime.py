"""Precisions of the CPU as OpenVINO sees it, and models compiled for it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import openvino

Precision = Literal["float32", "bfloat16"]


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


def has_bfloat16() -> bool:
    """Whether this processor computes in bfloat16 natively."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_threads(threads: int) -> int:
    """Threads to use: as many as asked for, or one for each core this process may run on."""
    return threads or len(os.sched_getaffinity(0))


def processor_name() -> str:
    """Model name and instruction sets of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return " ".join(value.strip() for key, value in facts.items() if key.strip() in ("model name", "flags"))
