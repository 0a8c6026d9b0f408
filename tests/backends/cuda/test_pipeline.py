"""The CUDA path against the reference."""

import numpy as np
import pytest
import torch

from inspectd.backends.cuda.pipeline import CudaPipeline
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline

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


@pytest.mark.parametrize("search", ["exact", "flat"])
def test_every_search_scores_as_the_reference(search: str) -> None:
    expected = synthetic_pipeline(SPEC, "cpu").score(frames(3))
    pipeline = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 4, search)
    assert pipeline.steps.recordable == (search != "flat")
    for want, got in zip(expected, pipeline.score(frames(3)), strict=True):
        assert got.image_score == pytest.approx(want.image_score, rel=0.03)


def test_a_graph_gives_what_its_steps_give_one_by_one() -> None:
    pipeline = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 4)
    scores, heatmaps = pipeline.steps.step_by_step(frames(4), lambda: None)
    answers = pipeline.score(frames(4))
    np.testing.assert_allclose([one.image_score for one in answers], scores, rtol=1e-3)
    np.testing.assert_allclose([one.heatmap for one in answers], heatmaps, rtol=0.01, atol=0.01)


def test_frames_are_uploaded_while_the_device_computes() -> None:
    pipeline = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 4)
    locked = [torch.from_numpy(frame).pin_memory().numpy() for frame in frames(4)]
    for _ in range(3):  # afterwards all memory it takes is there
        expected = pipeline.begin(locked)()
    torch.cuda._sleep(2_000_000_000)  # about a second, as if a batch were under way
    collect = pipeline.begin(locked)
    pipeline._upload.synchronize()
    assert not torch.cuda.current_stream().query()
    for want, got in zip(expected, collect(), strict=True):
        assert got.image_score == want.image_score


def test_batches_under_way_together_keep_their_answers_apart() -> None:
    pipeline = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 4)
    expected = [pipeline.score([frame])[0].image_score for frame in frames(6)]
    collects = [pipeline.begin([frame]) for frame in frames(6)]
    assert [collect()[0].image_score for collect in collects] == expected


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
