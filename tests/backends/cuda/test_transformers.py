"""Transformers in half precision: the steps on the CPU, the whole path on a card."""

import numpy as np
import pytest
import torch

from inspectd.backends.cuda.half import HalvedPipeline
from inspectd.backends.cuda.pipeline import CudaPipeline
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline
from inspectd.records import NAN_SCORE

SPECS = [
    Synthetic("vit_tiny_patch16_224", ("blocks.1", "blocks.3"), "random", height=64, width=96, rows=200),
    Synthetic("vit_small_patch14_reg4_dinov2", ("blocks.1",), "random", height=56, width=56, rows=200),
    Synthetic("vit_tiny_patch16_dinov3_qkvb", ("blocks.1",), "random", height=64, width=64, rows=200),
    Synthetic("swin_tiny_patch4_window7_224", ("layers.0",), "random", height=64, width=64, rows=200),
]
NAMES = [str(spec.backbone) for spec in SPECS]


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (70 + number, 80, 3), dtype=np.uint8) for number in range(count)]


@pytest.mark.parametrize("spec", SPECS, ids=NAMES)
def test_they_score_as_the_reference_in_half_precision(spec: Synthetic) -> None:
    expected = synthetic_pipeline(spec, "cpu").score(frames(2))
    scores, heatmaps = HalvedPipeline(synthetic_pipeline(spec, "cpu")).step_by_step(frames(2), lambda: None)
    np.testing.assert_allclose(scores, [one.image_score for one in expected], rtol=0.03)
    np.testing.assert_allclose(heatmaps, [one.heatmap for one in expected], rtol=0.2, atol=0.5)


def test_tokens_beyond_half_precision_never_pass() -> None:
    reference = synthetic_pipeline(SPECS[0], "cpu")
    reference.extractor.backbone.network.get_parameter("network.patch_embed.proj.weight").mul_(1e6)
    scores, _ = HalvedPipeline(reference).step_by_step(frames(1), lambda: None)
    assert scores.tolist() == [NAN_SCORE]


@pytest.mark.gpu
@pytest.mark.parametrize("spec", SPECS, ids=NAMES)
def test_recorded_graphs_score_as_the_reference(spec: Synthetic) -> None:
    expected = synthetic_pipeline(spec, "cuda").score(frames(3))
    recorded = CudaPipeline(synthetic_pipeline(spec, "cuda"), max_batch=4)
    for _ in range(2):  # recorded, then replayed
        answers = recorded.score(frames(3))
        got = torch.tensor([answer.image_score for answer in answers])
        torch.testing.assert_close(
            got, torch.tensor([one.image_score for one in expected]), rtol=0.03, atol=0.0
        )
