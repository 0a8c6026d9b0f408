"""Brings the backbone of a bank that is built to the precision it will be scored in."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.build_spec import Prepared
from inspectd.errors import InputError
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import WantedPrecision


def prepare(
    extractor: FeatureExtractor, wanted: WantedPrecision, frames: Sequence[NDArray[np.uint8]]
) -> Prepared:
    """An extractor in a precision; see `bank.build_spec.Prepare`.

    Args:
        extractor: in float32.
        wanted: `auto`: the fastest, if it is much faster than float32.
        frames: (H, W, 3) uint8 BGR, good images that tell which values occur.

    Raises:
        InputError: the device or the backbone cannot be had in that precision.
        UnavailableError: this processor does not compute in it, or a package for it is missing.
    """
    refuse_unavailable(wanted, extractor.device)
    if wanted == "float32" or not frames or _lacks(extractor.device) is not None:
        return Prepared(extractor)
    from inspectd.backends.openvino import precisions  # noqa: PLC0415 - may be missing

    return precisions.prepared(extractor, None if wanted == "auto" else wanted, frames)


def refuse_unavailable(wanted: WantedPrecision, device: torch.device) -> None:
    """Refuse a precision that cannot be had, before anybody waits for features.

    Raises:
        InputError: the device has float32 alone.
        UnavailableError: this processor does not compute in it, or a package for it is missing.
    """
    if wanted == "auto" or wanted == "float32":  # noqa: PLR1714 - what is left is a precision to mypy
        return
    lacks = _lacks(device)
    if lacks is not None:
        raise InputError(f"--precision {wanted}: {lacks}; use float32")
    from inspectd.backends.openvino import precisions  # noqa: PLC0415 - may be missing

    precisions.refuse_missing(wanted)


def _lacks(device: torch.device) -> str | None:
    """Why a device has no other precision than float32; None: it may have."""
    if importlib.util.find_spec("openvino") is None:
        return "the package openvino is not installed"
    return None if device.type == "cpu" else f"device {device} has float32 alone"
