"""The CUDA path against the reference."""

import numpy as np
import pytest
import torch

from inspectd.detectors.cuda import CudaPipeline
from inspectd.detectors.synthetic import Synthetic, synthetic_pipeline

pytestmark = pytest.mark.gpu
SPEC = Synthetic("resnet18", ("layer2", "layer3"), "random", "fine", 96, 96, rows=500)


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (100 + number, 120, 3), dtype=np.uint8) for number in range(count)]


def test_it_scores_as_the_reference() -> None:
    expected = synthetic_pipeline(SPEC, "cpu").score(frames(5))
    answers = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 8).score(frames(5))
    assert len(answers) == 5
    for want, got in zip(expected, answers, strict=True):
        assert got.image_score == pytest.approx(want.image_score, rel=0.03)
        np.testing.assert_allclose(got.heatmap, want.heatmap, rtol=0.2, atol=0.5)


def test_a_frame_scores_alike_in_every_batch_size() -> None:
    pipeline = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 8)
    together = pipeline.score(frames(20))
    for frame, answer in zip(frames(20), together, strict=True):
        (alone,) = pipeline.score([frame])
        assert alone.image_score == pytest.approx(answer.image_score, rel=0.01)


def test_memory_that_does_not_suffice_makes_smaller_batches(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 1024)
    pipeline.warm_up(1)
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (64 << 20)) / total)
    try:
        assert len(pipeline.score(frames(256))) == 256
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "device_out_of_memory" in caplog.text
