"""Steps and searches timed; the clock of a CUDA device is the one thing that needs one."""

import itertools

import numpy as np
import pytest
import torch

from inspectd.backends.cuda.half import STAGES, HalvedPipeline
from inspectd.backends.cuda.pipeline import CudaPipeline
from inspectd.backends.cuda.stages import by_events, inside, searches_ms, stages_ms
from inspectd.bench.report import scoring_text
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline

SPEC = Synthetic("resnet18", ("layer3",), "random", "coarse", 64, 64, rows=50)
FRAMES = [np.zeros((64, 64, 3), np.uint8)] * 2


def growing(work):
    """A timer whose every step takes 1 ms more than the one before."""
    marks = []
    work(lambda: marks.append(None))
    return [float(number) for number in range(1, len(marks))]


@pytest.fixture(scope="module")
def steps():
    return HalvedPipeline(synthetic_pipeline(SPEC, "cpu"))


def test_each_step_has_its_own_time(steps):
    assert stages_ms(steps, FRAMES, growing) == {name: 1.0 + i for i, name in enumerate(STAGES)}


def test_the_median_of_several_rounds_counts(steps):
    calls = itertools.count()

    def disturbed(work):
        return [spent + (1000.0 if next(calls) % 7 == 0 else 0.0) for spent in growing(work)]

    assert max(stages_ms(steps, FRAMES, disturbed).values()) < 1000


def test_a_search_that_cannot_be_had_says_why(steps):
    found = searches_ms(steps, FRAMES, growing)
    assert found["exact-float16"] == 1.0
    assert "not_on_cuda" in found["exact-fused"]
    assert "search 'flat'" in found["flat"]


def test_a_search_the_device_has_no_memory_for_leaves_the_others_their_figures(steps):
    calls = itertools.count()

    def full_at_first(work):
        if next(calls) == 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nGPU 0 has less")
        return growing(work)

    found = searches_ms(steps, FRAMES, full_at_first, ["exact-float16", "auto"])
    assert found == {
        "exact-float16": "out of memory: CUDA out of memory. Tried to allocate 2 GiB.",
        "auto": 1.0,
    }


def test_a_pipeline_off_the_device_has_no_inside():
    assert inside(synthetic_pipeline(SPEC, "cpu"), FRAMES) == {}


def test_the_text_tells_steps_and_searches():
    result = {
        "machine": {"card": "card", "torch": "2", "python": "3", "date": "today"},
        "subject": {
            "detector": "patchcore", "rows": 1, "dims": 2, "bank": "b", "backbone": "r", "layers": ["l"],
            "weights": "random", "input": [64, 64], "backend": "cuda", "precision": "float16",
            "search": "exact-fused",
        },
        "frames": {"count": 1, "source": "noise", "height": 1, "width": 1},
        "stages_ms_by_batch": {"1": {"device": 1.0}},
        "latency_ms_by_batch": {"1": {"p50": 1.0, "p99": 2.0}},
        "images_per_second": {"1": 10.0},
        "stages_ms": {"upload": 0.125, "copy back": 0.5},
        "search_ms": {"exact-float16": 0.25, "flat": "the package faiss is missing"},
        "peak_rss_mb": 1.0,
        "missing": {},
    }  # fmt: skip
    lines = scoring_text(result).splitlines()
    assert "  upload 0.125 ms, copy back 0.500 ms" in lines
    assert "  search exact-float16: 0.250 ms" in lines
    assert "  search flat: the package faiss is missing" in lines
    del result["search_ms"]
    assert "upload" not in scoring_text(result)


@pytest.mark.gpu
def test_a_card_s_own_clock():
    pipeline = CudaPipeline(synthetic_pipeline(SPEC, "cuda"), 4)
    found = inside(pipeline, FRAMES)
    assert list(found["stages_ms"]) == list(STAGES)
    assert min(found["stages_ms"].values()) > 0
    assert found["search_ms"]["exact-float16"] > 0
    (slept,) = by_events(lambda mark: (mark(), torch.cuda._sleep(10_000_000), mark()))
    assert 1 < slept < 1000
