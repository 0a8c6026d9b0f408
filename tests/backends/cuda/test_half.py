"""The steps in half precision against the reference, on the CPU."""

import numpy as np
import pytest
import torch

from inspectd.backends.cuda.half import STAGES, HalvedPipeline
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline
from inspectd.errors import InputError
from inspectd.pictures.channels import as_bgr

SPEC = Synthetic("resnet18", ("layer2", "layer3"), "random", "coarse", 64, 64, rows=200)


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (70 + number, 80, 3), dtype=np.uint8) for number in range(count)]


def test_they_score_as_the_reference_and_are_marked_one_by_one() -> None:
    expected = synthetic_pipeline(SPEC, "cpu").score(frames(3))
    marks: list[None] = []
    scores, heatmaps = HalvedPipeline(synthetic_pipeline(SPEC, "cpu")).step_by_step(
        frames(3), lambda: marks.append(None)
    )
    assert len(marks) == len(STAGES) + 1
    np.testing.assert_allclose(scores, [one.image_score for one in expected], rtol=0.03)
    np.testing.assert_allclose(heatmaps, [one.heatmap for one in expected], rtol=0.2, atol=0.5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_grey_frame_is_seen_as_one_of_three_equal_channels(device: str) -> None:
    grey = [frame[:, :, :1].copy() for frame in frames(2)]
    steps = HalvedPipeline(synthetic_pipeline(SPEC, device))
    assert torch.equal(steps.images([*grey, *frames(1)]), steps.images([*map(as_bgr, grey), *frames(1)]))


def test_it_says_what_searches() -> None:
    steps = HalvedPipeline(synthetic_pipeline(SPEC, "cpu"), "exact")
    assert (steps.search, steps.recordable) == ("exact-float16", True)
    assert steps.memory is not None
    assert steps.memory.rows == 200


def test_a_search_that_cuda_has_not_is_refused() -> None:
    with pytest.raises(InputError, match="'lsh'"):
        HalvedPipeline(synthetic_pipeline(SPEC, "cpu"), "lsh")
