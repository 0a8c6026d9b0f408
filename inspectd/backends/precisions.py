"""Brings the backbone of a bank that is built to the precision it will be scored in."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.build import Prepared
from inspectd.errors import InputError
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import WantedPrecision


def prepare(
    extractor: FeatureExtractor, wanted: WantedPrecision, frames: Sequence[NDArray[np.uint8]]
) -> Prepared:
    """An extractor in a precision; see `bank.build.Prepare`.

    Args:
        extractor: in float32.
        wanted: `auto`: the fastest, if it is much faster than float32.
        frames: (H, W, 3) uint8 BGR, good images that tell which values occur.

    Raises:
        InputError: the device or the backbone cannot be had in that precision.
        UnavailableError: this processor does not compute in it, or a package for it is missing.
    """
    if wanted == "float32":
        return Prepared(extractor)
    on_cpu, there = extractor.device.type == "cpu", importlib.util.find_spec("openvino") is not None
    if on_cpu and there and frames:
        from inspectd.backends.openvino import precisions  # noqa: PLC0415 - may be missing

        return precisions.prepared(extractor, None if wanted == "auto" else wanted, frames)
    if wanted == "auto":
        return Prepared(extractor)
    why = f"device {extractor.device} has float32 alone" if there else "the package openvino is not installed"
    raise InputError(f"--precision {wanted}: {why}; use float32")
