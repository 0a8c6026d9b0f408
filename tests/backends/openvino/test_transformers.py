"""Transformers and hybrids on the fast path, with random weights, against the reference."""

import numpy as np
import pytest
import torch

from inspectd.backends.openvino.export import export_features
from inspectd.backends.openvino.precisions import prepared
from inspectd.bank.fit import FeaturesHere, FitSpec, cross_fit, fit_detector
from inspectd.errors import InputError
from inspectd.model.backbones import load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import HeadOptions, PatchOptions, options_of
from inspectd.model.pipeline import ReferencePipeline
from tests.backends.openvino.test_pipeline import compiled

pytestmark = pytest.mark.system

CPU = torch.device("cpu")
CASES = [  # early layers: conversion takes as long as a network is deep
    ("vit_tiny_patch16_224", (48, 64), ("blocks.1",), "patchcore"),
    ("vit_small_patch14_reg4_dinov2", (42, 56), ("blocks.0",), "padim"),
    ("vit_tiny_patch16_dinov3_qkvb", (48, 64), ("blocks.0", "blocks.1"), "patchcore"),
    ("swin_tiny_patch4_window7_224", (64, 64), ("layers.0", "layers.1"), "dfkde"),
    ("vit_tiny_r_s16_p8_224", (64, 96), ("blocks.1",), "patchcore"),
]


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    part = rng.integers(60, 180, (70, 90, 3))
    return [(part + rng.integers(-20, 20, part.shape)).astype(np.uint8) for _ in range(count)]


def extractor_of(name: str, size: tuple[int, int], layers: tuple[str, ...]) -> FeatureExtractor:
    backbone = load_backbone(name, layers, "random", CPU, size=size)
    return FeatureExtractor(backbone, *size, CPU, PatchOptions())


def pipeline_of(extractor: FeatureExtractor, kind: str) -> ReferencePipeline:
    spec = FitSpec(options_of(kind, {}), HeadOptions(), 0.3, 0)
    with torch.inference_mode():
        features = extractor(frames(14))
        detector = fit_detector(features, spec, lambda *_: None).detector
        head = cross_fit(FeaturesHere(features), spec, lambda *_: None).head
    return ReferencePipeline(extractor, detector, head)


@pytest.mark.parametrize(("name", "size", "layers", "kind"), CASES, ids=[case[0] for case in CASES])
def test_scores_are_the_reference_s(
    name: str, size: tuple[int, int], layers: tuple[str, ...], kind: str
) -> None:
    reference = pipeline_of(extractor_of(name, size, layers), kind)
    broken = frames(1)[0]
    broken[20:40, 20:60] = 255
    tried = [*frames(3), broken]
    expected, answers = reference.score(tried), compiled(reference).score(tried)
    for want, got in zip(expected, answers, strict=True):
        assert got.image_score == pytest.approx(want.image_score, rel=0.01, abs=0.05)
        np.testing.assert_allclose(got.heatmap, want.heatmap, rtol=0.05, atol=0.2)


def test_tokens_are_not_rounded_to_eight_bits() -> None:
    extractor = extractor_of("vit_tiny_patch16_224", (32, 32), ("blocks.0",))
    with pytest.raises(InputError, match=r"--precision int8: .*vit_tiny_patch16_224.*bfloat16 or float32"):
        prepared(extractor, "int8", frames(2))
    assert export_features(extractor)
