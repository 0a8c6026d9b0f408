"""An imported network on a CUDA device, by ONNX Runtime; detector and head by torch, as in the reference."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from inspectd.backends.base import Loaded
from inspectd.backends.reference import tensors_of
from inspectd.bank.file import ONNX, BankFile
from inspectd.errors import BankError, InputError, InspectdError, UnavailableError
from inspectd.model.backbones import Backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head
from inspectd.model.imported import Imported
from inspectd.model.options import ImportedOptions, PatchOptions, options_of
from inspectd.model.pipeline import ReferencePipeline
from inspectd.text import installing, printable

_MOST_PLACES: Final = 64
"""As in `backends.openvino.imported`, whose features these are."""
_GREY: Final = (0.299, 0.587, 0.114)
"""Of red, green and blue; ITU-R BT.601, as OpenCV has it."""


class OnnxExtractor(FeatureExtractor):
    """Features by a session of ONNX Runtime, one frame after another.

    Args:
        session: an `onnxruntime.InferenceSession` of the bank's model.
        bank: the bank.
        device: where detector and head compute.
    """

    def __init__(self, session: Any, bank: BankFile, device: torch.device) -> None:
        manifest = bank.manifest
        options = options_of(manifest.detector, manifest.options)
        assert isinstance(options, ImportedOptions)
        share = options.scale / 255
        # Of one value all channels: (x / scale - mean) / deviation, as Preprocess writes it.
        mean, deviation = (
            np.broadcast_to(each, 3).astype(float) * share for each in (options.mean, options.deviation)
        )
        backbone = Backbone(
            manifest.backbone, manifest.layers, manifest.weights, manifest.weights_sha256,
            (mean[0], mean[1], mean[2]), (deviation[0], deviation[1], deviation[2]), nn.Identity(),
        )  # fmt: skip
        patches = PatchOptions(region=manifest.patch_options.region, compression=1.0)
        super().__init__(backbone, manifest.input_height, manifest.input_width, device, patches)
        self._session, self.imported = session, options
        if options.colours == "bgr":  # the values of each channel go with the channel
            self.preprocess.scale, self.preprocess.shift = (
                each.flip(1) for each in (self.preprocess.scale, self.preprocess.shift)
            )

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (N, h, w, 1 or 2) float32 of preprocessed images (N, 3, H, W) float32 RGB."""
        return torch.cat([self._features(image) for image in images[:, None]])

    def _features(self, image: torch.Tensor) -> torch.Tensor:
        options = self.imported
        if options.colours == "bgr":
            image = image.flip(1)
        elif options.colours == "grey":
            weights = torch.tensor(_GREY, device=image.device).view(1, 3, 1, 1)
            image = (image * weights).sum(dim=1, keepdim=True)
        taken = image if options.channels == "first" else image.permute(0, 2, 3, 1)
        name = self._session.get_inputs()[0].name
        picture = {name: taken.contiguous().cpu().numpy()}
        try:
            answers = self._session.run(list(options.outputs), picture)
        except Exception as error:  # its kinds share no base
            said = printable(" ".join(str(error).split())[:300])
            raise InspectdError(
                f"the bank's model fails at this picture: {said}; a part that shows such a picture is never "
                "judged: take another model"
            ) from error
        sign = -1 if options.is_lower_worse else 1
        levels = [_level(sign * values) for values in answers]
        whole = all(np.isfinite(values).all() for values in answers)
        both = torch.cat([level.expand_as(levels[0]) for level in levels], dim=1).permute(0, 2, 3, 1)
        return (both if whole else torch.full_like(both, torch.nan)).to(self.device)


def load(path: Path, bank: BankFile, device: torch.device) -> Loaded:
    """The pipeline of an imported bank on a CUDA device.

    Raises:
        BankError: the bank holds no ONNX, or its model cannot be used.
        UnavailableError: ONNX Runtime is missing, or does not compute on the device.
    """
    if ONNX not in bank.tensors:
        raise BankError(
            f"bank {path}: was imported without its ONNX model, by which CUDA devices compute: import it "
            "with "
            '--keep-onnx, or score it on the CPU (scoring.device = "cpu")'
        )
    if importlib.util.find_spec("onnxruntime") is None:
        raise UnavailableError(
            f"bank {path}: holds an imported model: needs the package onnxruntime on {device}, which is "
            f"not installed ({installing('onnx-cuda')})"
        )
    cuda = ("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": "0"})
    pipeline = pipeline_of(path, bank, device, [cuda])
    pipeline.warm_up(1)
    return Loaded(pipeline, str(device), "onnxruntime", "float32", "")


def pipeline_of(
    path: Path, bank: BankFile, device: torch.device, providers: Sequence[Any]
) -> ReferencePipeline:
    """The same by providers of ONNX Runtime; raises as `load`."""
    import onnxruntime  # noqa: PLC0415 - may be missing

    try:
        session = onnxruntime.InferenceSession(bank.tensors[ONNX].tobytes(), providers=list(providers))
    except Exception as error:  # its kinds share no base
        said = str(error).strip().partition("\n")[0][:300]
        raise BankError(f"bank {path}: ONNX Runtime cannot run its model: {said}; import it again") from error
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if wanted not in session.get_providers():
        raise UnavailableError(
            f"bank {path}: ONNX Runtime does not compute on {device} here, it has "
            f"{session.get_providers()}: install onnxruntime-gpu in place of onnxruntime"
        )
    extractor = OnnxExtractor(session, bank, device)
    try:
        head = Head.restore(tensors_of("head", bank, device), bank.manifest.head)
    except InputError as error:
        raise BankError(f"bank {path}: {error}; import it again") from error
    return ReferencePipeline(extractor, Imported(extractor.imported), head)


def _level(values: NDArray[Any]) -> torch.Tensor:
    """An output as (1, 1, h, w) float32 with at most `_MOST_PLACES` along a side, each the highest there."""
    sides = [side for side in values.shape if side != 1] or [1, 1]
    level = torch.from_numpy(values.astype(np.float32)).reshape(1, 1, *sides)
    step = -(-max(sides) // _MOST_PLACES)
    return level if step == 1 else functional.max_pool2d(level, step, ceil_mode=True)
