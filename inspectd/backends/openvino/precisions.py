"""A backbone in the precisions that OpenVINO has for it: while a bank is built, the way it will be scored.

In `int8` weights and activations are rounded to 8 bits, with the ranges that good images have: NNCF's
post-training quantisation, per channel, with biases corrected (Jacob et al., "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018; Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", 2019).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.backends.openvino.export import UnconvertibleError, export_features, saved
from inspectd.backends.openvino.runtime import (
    Representation,
    compiled,
    computes_in,
    infer,
    products_of,
    read_model,
)
from inspectd.bank.build_spec import Prepared
from inspectd.bank.file import NETWORK, BankFile
from inspectd.errors import InputError, UnavailableError
from inspectd.log import event
from inspectd.model.features import FeatureExtractor, Preprocess
from inspectd.model.intermediates import IntermediateMaps
from inspectd.model.options import BackbonePrecision
from inspectd.model.resize import resized
from inspectd.text import installing

_log: Final = logging.getLogger("inspectd.bank")

WORTH: Final = 1.5
"""Times as fast as float32 a backbone has to be in another precision to be worth what it costs."""
ROUNDED: Final[tuple[BackbonePrecision, ...]] = ("bfloat16", "int8")
_RUNS: Final = 30
_FLOAT32_LAYERS: Final = 3
"""Convolutions at the start that are not rounded: their few channels carry everything that follows."""


class OpenVinoExtractor(FeatureExtractor):
    """Patch features by the model that scoring compiles.

    Args:
        reference: the same in float32, by torch.
        network: of `export_features`, or rounded.
        precision: of its arithmetic.
    """

    def __init__(
        self, reference: FeatureExtractor, network: Representation, precision: BackbonePrecision
    ) -> None:
        given = reference.preprocess
        super().__init__(reference.backbone, given.height, given.width, reference.device, reference.options)
        self.preprocess = _Pixels(
            given.height, given.width, reference.backbone.mean, reference.backbone.std, reference.device,
            region=given.region,
        )  # fmt: skip
        model = compiled(read_model(network), products_of(precision), torch.get_num_threads())
        self._request = model.create_infer_request()

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Patch features (N, h, w, D) float32 of resized frames (N, H, W, 3) uint8 BGR."""
        return torch.cat([self._features(image) for image in images[:, None]])

    def _features(self, image: torch.Tensor) -> torch.Tensor:
        infer(self._request, image.numpy())
        return torch.from_numpy(self._request.get_output_tensor(0).data.copy())


class _Pixels(Preprocess):
    """Resizes as scoring does; what the pixels are normalised to is in the network."""

    def __call__(self, frames: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """(N, height, width, 3) uint8 BGR of frames, each (H, W, 3) uint8 BGR."""
        fitted = [resized(frame, self.height, self.width, self.region) for frame in frames]
        return torch.from_numpy(np.stack(fitted))


def prepared(
    extractor: FeatureExtractor, wanted: BackbonePrecision | None, frames: Sequence[NDArray[np.uint8]]
) -> Prepared:
    """An extractor in a precision of this processor.

    Args:
        extractor: in float32, on the CPU.
        wanted: the precision; None: the fastest, if it is `WORTH` it, else float32.
        frames: (H, W, 3) uint8 BGR, good images that tell which values occur.

    Raises:
        InputError: the backbone cannot be had in that precision.
        UnavailableError: this processor does not compute in it, or a package for it is missing.
    """
    choices = ROUNDED
    if isinstance(extractor.backbone.network, IntermediateMaps):
        # A few channels of tokens are hundreds of times as large as the others: they would take all 8 bits.
        choices = ("bfloat16",)
        if wanted == "int8":
            raise InputError(
                f"--precision int8: is for convolutions, backbone {extractor.backbone.name!r} is read by its "
                "blocks; use bfloat16 or float32"
            )
    try:
        network = export_features(extractor)
    except UnconvertibleError as error:
        if wanted is None:
            return Prepared(extractor)
        raise InputError(f"--precision {wanted}: {error}; use float32") from error
    if wanted is not None:
        return _in(wanted, extractor, network, frames)
    usual = _seconds(OpenVinoExtractor(extractor, network, "float32"))
    made = {
        precision: _in(precision, extractor, network, frames)
        for precision in choices
        if _missing(precision) is None
    }
    seconds = {precision: _seconds(one.extractor) for precision, one in made.items()}
    for precision, one in seconds.items():
        event(_log, logging.INFO, "precision_tried", precision=precision, times_as_fast=round(usual / one, 2))
    chosen = fastest(usual, seconds)
    return Prepared(extractor) if chosen == "float32" else made[chosen]


def fastest(float32: float, others: Mapping[BackbonePrecision, float]) -> BackbonePrecision:
    """The precision that takes the least time, if float32 takes `WORTH` times as long; else float32."""
    best = min(others, key=lambda precision: others[precision], default=None)
    return "float32" if best is None or float32 < WORTH * others[best] else best


def network_of(bank: BankFile) -> Representation | None:
    """The rounded backbone that a bank holds."""
    if bank.manifest.precision != "int8":
        return None
    model, weights = (bank.tensors[name].tobytes() for name in NETWORK)
    return model, weights


def _in(
    precision: BackbonePrecision,
    extractor: FeatureExtractor,
    network: Representation,
    frames: Sequence[NDArray[np.uint8]],
) -> Prepared:
    tensors = {}
    if precision == "int8":
        preprocess = extractor.preprocess
        pictures = [resized(one, preprocess.height, preprocess.width, preprocess.region) for one in frames]
        network = _rounded(network, pictures)
        tensors = {name: np.frombuffer(part, np.uint8) for name, part in zip(NETWORK, network, strict=True)}
    return Prepared(OpenVinoExtractor(extractor, network, precision), precision, tensors)


def _rounded(network: Representation, pictures: Sequence[NDArray[np.uint8]]) -> Representation:
    """A network (1, H, W, 3) -> features in 8 bits, by the values it has for pictures (H, W, 3)."""
    # Of its imports one looks for a CUDA compiler, and warns.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    made_by = logging.getLoggerClass()
    import nncf  # noqa: PLC0415 - takes seconds, and only this needs it

    logging.setLoggerClass(made_by)  # it has every logger of the process made by its own class
    # The logger alone: nncf.set_log_level turns down every handler it finds there, those of others too.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = read_model(network)
    kinds = {"Convolution", "GroupConvolution"}
    layers = [one.get_friendly_name() for one in model.get_ordered_ops() if one.get_type_name() in kinds]
    dataset = nncf.Dataset([picture[None] for picture in pictures])
    with contextlib.redirect_stdout(io.StringIO()):  # bars of its own
        rounded: Any = nncf.quantize(
            model,
            dataset,
            ignored_scope=nncf.IgnoredScope(names=layers[:_FLOAT32_LAYERS]),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(pictures),
        )
    return saved(rounded)


def _missing(precision: BackbonePrecision) -> str | None:
    """What this machine lacks for a precision; None: nothing."""
    if not computes_in(precision):
        return f"this processor does not compute in {precision}"
    if precision == "int8" and importlib.util.find_spec("nncf") is None:
        return f"the package nncf is not installed ({installing('int8')})"
    return None


def refuse_missing(precision: BackbonePrecision) -> None:
    """Refuse a precision that this machine lacks something for.

    Raises:
        UnavailableError: this processor does not compute in it, or a package for it is missing.
    """
    missing = _missing(precision)
    if missing is not None:
        raise UnavailableError(f"--precision {precision}: {missing}; use auto or float32")


def _seconds(extractor: FeatureExtractor) -> float:
    """Shortest time for one image; other programs only ever make it longer."""
    preprocess = extractor.preprocess
    image = torch.zeros((1, preprocess.height, preprocess.width, 3), dtype=torch.uint8)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        extractor.features(image)
        times.append(time.perf_counter() - start)
    return min(times)
