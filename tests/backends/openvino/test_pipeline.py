"""The fast path against the reference, detector by detector."""

from typing import Any

import numpy as np
import pytest
import torch
from support.cells import cells

from inspectd.backends.openvino.exact import ExactIndex, Expansion
from inspectd.backends.openvino.export import UnconvertibleError, export
from inspectd.backends.openvino.lazy import AT_ONCE, LazySearch, PlaceBounds, Windows
from inspectd.backends.openvino.pipeline import OpenVinoPipeline
from inspectd.bank.fit import FeaturesHere, FitSpec, cross_fit, fit_detector
from inspectd.bank.images import read_image
from inspectd.bank.lists import nearest_rows, place_lists
from inspectd.model.backbones import load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import HeadOptions, PatchOptions, options_of
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import ReferencePipeline
from inspectd.records import NAN_SCORE

pytestmark = pytest.mark.system

LAZY: tuple[str, dict[str, Any], dict[str, Any]] = ("patchcore", {"neighbours": 2}, {"top": 5})
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    LAZY,
    ("patchcore", {}, {}),
    ("patchcore", {"neighbours": 3, "position_weight": 0.0, "local_scale": False}, {"similar_images": 0}),
    ("patchcore", {"position_weight": 0.0}, {"pool": "mean"}),
    ("patchcore", {"neighbours": 2, "reweight": True, "position_weight": 0.5}, {}),
    ("padim", {"dimensions": 20}, {"smoothing": 0.0}),
    ("dfkde", {"components": 4}, {}),
]
GRID = (6, 5)
CPU = torch.device("cpu")


def compiled(pipeline: ReferencePipeline) -> OpenVinoPipeline:
    exported, detector, search, whitening = export(pipeline), pipeline.detector, None, None
    if isinstance(detector, PatchCore):
        whitening = None if detector.positions is None else detector.positions.whitening.numpy()
        spacing = None if detector.scale is None else detector.scale.numpy()
        patches = AT_ONCE if detector.lists is not None else pipeline.head.tensors()["mean"].numel()
        expansion = Expansion(detector.bank.numpy(), spacing)
        search = exact = ExactIndex(expansion, detector.neighbours, "float32", patches, 1)
        if detector.lists is not None:
            bounds = PlaceBounds(expansion, detector.lists.numpy(), GRID, detector.neighbours, 1)
            search = LazySearch(bounds, exact, Windows(GRID, 2, np.repeat(np.arange(6) > 0, 5), 5))
    region = pipeline.extractor.region
    return OpenVinoPipeline(exported, search, whitening, region=region, precision="float32", threads=1)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    found = [read_image(path) for path in cells(defective=False)[:14]]
    return [frame for frame in found if frame is not None]


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    """Small images and early layers: conversion takes as long as a network is deep."""
    backbone = load_backbone("efficientnet_lite0", ("blocks.1", "blocks.2"), None, CPU)
    return FeatureExtractor(backbone, 48, 40, CPU, PatchOptions(region=(0.0, 0.1, 1.0, 0.8)))


@pytest.fixture(scope="module")
def features(extractor: FeatureExtractor, frames: list[np.ndarray]) -> torch.Tensor:
    return torch.cat([extractor([frame]) for frame in frames])


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{len(case[1])}")
def both(
    request: pytest.FixtureRequest, extractor: FeatureExtractor, features: torch.Tensor
) -> tuple[ReferencePipeline, OpenVinoPipeline]:
    kind, values, head = request.param
    mask = torch.ones(features.shape[1:3], dtype=torch.bool)
    mask[0] = False
    spec = FitSpec(options_of(kind, values), HeadOptions(**head), 0.3, 0, mask if kind != "dfkde" else None)
    with torch.inference_mode():
        detector = fit_detector(features, spec, lambda *_: None).detector
        if request.param is LAZY:
            assert isinstance(detector, PatchCore)
            assert features.shape[1:3] == GRID
            detector.lists = place_lists(nearest_rows(detector, features), detector.rows)
        head_fitted = cross_fit(FeaturesHere(features), spec, lambda *_: None).head
    reference = ReferencePipeline(extractor, detector, head_fitted)
    return reference, compiled(reference)


def test_scores_and_heatmaps_are_the_reference_s(
    both: tuple[ReferencePipeline, OpenVinoPipeline], frames: list[np.ndarray]
) -> None:
    reference, fast = both
    lazily = getattr(reference.detector, "lists", None) is not None
    broken = frames[0].copy()
    broken[100:140, 100:200] = 255
    tried = [*frames[:6], broken, np.zeros((40, 60, 3), np.uint8)]
    expected, answers = reference.score(tried), fast.score(tried)
    for want, got in zip(expected, answers, strict=True):
        assert got.image_score == pytest.approx(want.image_score, rel=0.01, abs=0.05)
        assert got.heatmap.shape == want.heatmap.shape
        assert got.heatmap.dtype == np.float16
        low = want.heatmap - 0.2 - 0.05 * np.abs(want.heatmap)
        assert (got.heatmap >= low).all()
        if not lazily:
            np.testing.assert_allclose(got.heatmap, want.heatmap, rtol=0.05, atol=0.2)
        assert set(got.stage_ms) == set(want.stage_ms)


def test_an_empty_batch_has_no_answers(both: tuple[ReferencePipeline, OpenVinoPipeline]) -> None:
    assert both[1].score([]) == []


def test_an_overflow_never_passes(
    both: tuple[ReferencePipeline, OpenVinoPipeline], frames: list[np.ndarray]
) -> None:
    reference, _ = both
    *_, weight = (p for p in reference.extractor.backbone.network.parameters() if p.dim() == 4)
    kept = weight.clone()
    try:
        weight.mul_(1e38)
        (answer,) = compiled(reference).score(frames[:1])
    finally:
        weight.copy_(kept)
    assert answer.image_score == NAN_SCORE
    assert np.isfinite(answer.heatmap).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_left_to_the_reference(
    both: tuple[ReferencePipeline, OpenVinoPipeline], value: float
) -> None:
    reference, _ = both
    weight = next(reference.extractor.backbone.network.parameters())
    kept = weight.clone()
    try:
        weight[0] = value
        with pytest.raises(UnconvertibleError, match="not finite"):
            compiled(reference)
    finally:
        weight.copy_(kept)
