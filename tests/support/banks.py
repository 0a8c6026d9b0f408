"""Banks in memory, of given scores: for what needs no features."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inspectd.bank.file import (
    GOOD_SCORES,
    IMAGE_DIGESTS,
    BankFile,
    Manifest,
    Outlier,
    Tensors,
    bank_bytes,
)
from inspectd.bank.threshold import find_threshold, outliers
from inspectd.model.options import HeadOptions, PatchOptions

MANIFEST = Manifest(
    detector="patchcore",
    options={},
    head=HeadOptions(),
    patch_options=PatchOptions(),
    backbone="efficientnet_lite0",
    weights="packaged",
    weights_sha256="0" * 64,
    layers=("blocks.2",),
    input_height=256,
    input_width=256,
    images=1,
    patches=48,
    rows=6,
    dims=5,
    coreset_ratio=0.125,
    seed=0,
    threshold=0.0,
    threshold_basis="",
)


def write_as_it_is(path: Path, manifest: Manifest, tensors: Tensors) -> None:
    """Write a bank's file that `write_bank` refuses, as another version would or a fault."""
    path.write_bytes(bank_bytes(manifest, tensors)[1])


def sha256_of(row: int) -> str:
    """The digest that `bank_of` gives an image."""
    return hashlib.sha256(str(row).encode()).hexdigest()


def bank_of(scores: list[float] | np.ndarray, **changes: Any) -> BankFile:
    """A bank with these good scores and the default threshold, its outliers open and recorded."""
    values = np.asarray(scores, dtype=np.float64)
    unlike = outliers(values)
    found = find_threshold(values, unlike)
    manifest = msgspec.structs.replace(
        MANIFEST,
        images=len(values),
        threshold=found.value,
        threshold_basis=found.basis,
        threshold_with_outliers=found.with_outliers,
        outliers=tuple(
            Outlier(f"{row}.png", sha256_of(row), float(values[row])) for row in np.flatnonzero(unlike)
        ),
        calibrated=False,
    )
    digests = np.stack([np.frombuffer(bytes.fromhex(sha256_of(row)), np.uint8) for row in range(len(values))])
    tensors = {GOOD_SCORES: values, IMAGE_DIGESTS: digests}
    return BankFile(msgspec.structs.replace(manifest, **changes), tensors, "ab" * 32)
