"""Converts the torch pipeline to OpenVINO models: the same numerics, written down once, in torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13 as op
from openvino.frontend.pytorch import ConversionExtension
from torch import nn

from inspectd.backends.openvino.pipeline import Exported
from inspectd.backends.openvino.runtime import Representation, read_model
from inspectd.errors import InspectdError
from inspectd.files import temporary_folder
from inspectd.model.detectors import Detector
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head
from inspectd.model.imported import Imported
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import ReferencePipeline, finish


class UnconvertibleError(InspectdError):
    """OpenVINO has no rule for something in a pipeline."""


class _Extract(nn.Module):
    def __init__(self, extractor: FeatureExtractor, detector: Detector | None) -> None:
        super().__init__()
        self.network = extractor.backbone.network
        self._extractor = extractor
        self._positions = detector.positions if isinstance(detector, PatchCore) else None

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        images = self._extractor.preprocess.normalised(frames.permute(0, 3, 1, 2))
        features = self._extractor.features(images)
        if self._positions is None:
            return (features,)
        return features, self._positions.offsets(features).flatten(0, 2)


class _Judge(nn.Module):
    def __init__(self, detector: Detector, head: Head) -> None:
        super().__init__()
        self._detector = detector
        self._head = head

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _finish(self._head, self._detector.score_maps(features), features)


class _JudgePatchCore(nn.Module):
    def __init__(self, detector: PatchCore, head: Head) -> None:
        super().__init__()
        self._detector = detector
        self._head = head

    def forward(
        self, features: torch.Tensor, distances: torch.Tensor, rows: torch.Tensor, *positions: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        _, height, width, _ = features.shape
        position_scores = positions[0].reshape(1, height, width) if positions else None
        maps = self._detector.score_maps_of(features, distances, rows.long(), position_scores)
        return _finish(self._head, maps, features)


def _finish(head: Head, maps: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
    scores, heatmaps = finish(head, maps, features)
    return scores, heatmaps.float()


class _Offsets(nn.Module):
    def __init__(self, positions: PaDiM) -> None:
        super().__init__()
        self._positions = positions

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self._positions.offsets(features).flatten(0, 2)


def export_features(extractor: FeatureExtractor) -> Representation:
    """The model of a backbone on the CPU: (1, H, W, 3) uint8 BGR -> features (1, h, w, D) float32.

    Raises:
        UnconvertibleError: OpenVINO has no rule for something in it, or its weights are not finite.
    """
    _refuse_endless(extractor)
    with torch.no_grad():
        return _converted(_Extract(extractor, None).eval(), (_blank(extractor),))


def export(pipeline: ReferencePipeline, network: Representation | None = None) -> Exported:
    """Convert a pipeline that is on the CPU.

    Args:
        pipeline: the reference.
        network: its backbone as `export_features` makes it, and in another precision, or an imported one
            with its
            preprocessing; None: the pipeline's.

    Raises:
        UnconvertibleError: OpenVINO has no rule for something in it, or its weights are not finite.
    """
    _refuse_endless(pipeline.extractor)
    frames, detector = _blank(pipeline.extractor), pipeline.detector
    if isinstance(detector, Imported):
        assert network is not None
        with torch.no_grad():
            features = pipeline.extractor.features(frames)
            return Exported(network, _converted(_Judge(detector, pipeline.head).eval(), (features,)))
    with torch.no_grad():
        extract = _Extract(pipeline.extractor, detector).eval()
        features = extract(frames)[0]
        inputs: tuple[torch.Tensor, ...] = (features,)
        judge: nn.Module = _Judge(detector, pipeline.head)
        if isinstance(detector, PatchCore):
            judge = _JudgePatchCore(detector, pipeline.head)
            patches = features.shape[1] * features.shape[2]
            distances = torch.ones(patches, detector.neighbours)
            positions = () if detector.positions is None else (torch.ones(patches),)
            inputs = (features, distances, torch.zeros_like(distances, dtype=torch.int32), *positions)
        made = _converted(extract, (frames,)) if network is None else _extended(network, detector, features)
        return Exported(made, _converted(judge.eval(), inputs))


def _refuse_endless(extractor: FeatureExtractor) -> None:
    # OpenVINO's activations swallow NaN, and such an image could pass; torch passes it on.
    if not all(torch.isfinite(value).all() for value in extractor.backbone.network.state_dict().values()):
        raise UnconvertibleError("the backbone's weights hold values that are not finite")


def _blank(extractor: FeatureExtractor) -> torch.Tensor:
    preprocess = extractor.preprocess
    return torch.zeros((1, preprocess.height, preprocess.width, 3), dtype=torch.uint8)


def _extended(network: Representation, detector: Detector, features: torch.Tensor) -> Representation:
    """A network that also gives the offsets of its features from each position's mean, where they count."""
    if not isinstance(detector, PatchCore) or detector.positions is None:
        return network
    whole, added = read_model(network), read_model(_converted(_Offsets(detector.positions), (features,)))
    of_features, of_offsets = (model.output(0).get_node().input_value(0) for model in (whole, added))
    for target in added.get_parameters()[0].output(0).get_target_inputs():
        target.replace_source_output(of_features)
    return saved(openvino.Model([of_features, of_offsets], whole.get_parameters(), "extract"))


def _converted(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Representation:
    with warnings.catch_warnings():
        # Tracing warns of every shape that becomes a constant, which is meant here.
        warnings.simplefilter("ignore")
        try:
            # Not traced once more to compare the two, a fifth of the whole: nothing here is drawn by lot.
            traced = torch.jit.trace(module, inputs, check_trace=False)  # type: ignore[no-untyped-call]
            model: Any = openvino.convert_model(traced, example_input=inputs, extension=[_nan_to_num()])
        except RuntimeError as error:
            raise UnconvertibleError(f"OpenVINO cannot convert this pipeline: {error}") from error
    model.reshape({position: list(tensor.shape) for position, tensor in enumerate(inputs)})
    return saved(model)


def saved(model: Any) -> Representation:
    """The bytes of an `openvino.Model`."""
    with temporary_folder() as folder:
        xml = Path(folder) / "model.xml"
        openvino.save_model(model, xml, compress_to_fp16=False)
        return xml.read_bytes(), xml.with_suffix(".bin").read_bytes()


def _nan_to_num() -> Any:
    """A rule that OpenVINO's converter lacks; without it NaN could pass."""
    largest = torch.finfo(torch.float32).max

    def convert(node: Any) -> Any:
        values = node.get_input(0)
        given = [node.get_values_from_const_input(position) for position in (1, 2, 3)]
        nan, high, low = (
            default if value is None else value
            for value, default in zip(given, (0.0, largest, -largest), strict=True)
        )
        # What is finite stays as it is, however large: cut off, a defect would score as a good part does.
        for endless, value in ((np.inf, high), (-np.inf, low)):
            values = op.select(op.equal(values, np.float32(endless)), np.float32(value), values).output(0)
        return op.select(op.is_nan(values), np.float32(nan), values).outputs()

    return ConversionExtension("aten::nan_to_num", convert)
