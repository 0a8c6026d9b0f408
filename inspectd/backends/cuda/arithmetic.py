"""The share of a card's arithmetic that scoring uses: operations of an image against the card's limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from inspectd.model.pipeline import ReferencePipeline

_HALF_FLOP_PER_CLOCK: Final = {
    (7, 0): 1024, (7, 5): 1024, (8, 0): 2048, (8, 6): 1024, (8, 9): 1024, (9, 0): 4096, (10, 0): 8192,
}  # fmt: skip
"""Of one multiprocessor's tensor cores, dense, by compute capability (NVIDIA's architecture papers)."""

_SIDE: Final = 8192
_PRODUCTS: Final = 20


def flop_of_image(reference: ReferencePipeline, frame: NDArray[np.uint8]) -> float:
    """Floating-point operations of convolutions and matrix products for one image, a multiply-add as two.

    Args:
        reference: the pipeline as torch computes it step by step; a compiled one hides its operations.
        frame: (H, W, 3) uint8 BGR.
    """
    with FlopCounterMode(display=False) as counter:
        reference.score([frame])
    return float(counter.get_total_flops())


def arithmetic(flop: float, images_per_second: Mapping[str, float], device: str) -> dict[str, Any]:
    """The share of the card's limit that each batch size reaches, as JSON values.

    Args:
        flop: operations of one image.
        images_per_second: by batch size.
        device: the CUDA device.
    """
    measured = product_rate(device)
    nominal = nominal_rate(torch.cuda.get_device_properties(device))
    limit = nominal or measured
    return {
        "gflop_per_image": round(flop / 1e9, 3),
        "limit_tflops": round(limit / 1e12, 1),
        "limit_basis": "half precision, multiprocessors x clock" if nominal else "measured matrix product",
        "product_tflops": round(measured / 1e12, 1),
        "share": {batch: round(rate * flop / limit, 4) for batch, rate in images_per_second.items()},
    }


def nominal_rate(properties: Any) -> float | None:
    """Half-precision operations a second at the highest clock; None for a card that is not in the table.

    Args:
        properties: of `torch.cuda.get_device_properties`.
    """
    per_clock = _HALF_FLOP_PER_CLOCK.get((properties.major, properties.minor))
    clock_khz = getattr(properties, "clock_rate", None)
    if per_clock is None or not clock_khz:
        return None
    return float(properties.multi_processor_count * per_clock * clock_khz * 1e3)


def product_rate(device: str) -> float:
    """Half-precision operations a second in large matrix products, measured on `device`."""
    with torch.cuda.device(device):  # events are recorded on the current one
        left = torch.randn(_SIDE, _SIDE, device=device, dtype=torch.float16)
        right = torch.randn(_SIDE, _SIDE, device=device, dtype=torch.float16)
        for _ in range(3):
            left @ right
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(_PRODUCTS):
            left @ right
        end.record()
        end.synchronize()
    return _PRODUCTS * 2.0 * _SIDE**3 / (float(start.elapsed_time(end)) / 1e3)
