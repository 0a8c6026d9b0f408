"""The order of uploads, graphs and copies back, on a stand-in for CUDA whose streams carry vector clocks."""

import random

import numpy as np
import pytest
from support.ordered_streams import UnorderedError, ordered_streams

from inspectd.backends.cuda.pipeline import CudaPipeline
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline

SPEC = Synthetic("resnet18", ("layer1",), "random", "coarse", 32, 32, rows=20)
FRAMES = [np.full((40, 36, 3), value, np.uint8) for value in range(8)]


def run(seed, monkeypatch, **faults):
    """Begin and collect batches in a random order; the memory that was not kept for whom it was used by."""
    reference = synthetic_pipeline(SPEC, "cpu")
    chosen = random.Random(seed)
    with ordered_streams(monkeypatch, **faults) as streams:
        pipeline = CudaPipeline(reference, 4)
        pipeline.warm_up(2)
        under_way = []
        for _ in range(12):
            if len(under_way) == 2 or (under_way and chosen.random() < 0.4):
                under_way.pop(0)()
            else:
                under_way.append(pipeline.begin(FRAMES[: chosen.randint(1, 6)]))
        for collect in under_way:
            collect()
        return streams.unkept(pipeline._upload.name)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_read_before_it_is_written_or_written_while_it_is_read(seed, monkeypatch):
    assert run(seed, monkeypatch) == 0


def test_a_wait_that_is_missing_is_found(monkeypatch):
    with pytest.raises(UnorderedError, match="not done with"):
        run(0, monkeypatch, waits=False)


def test_memory_that_goes_too_early_is_found(monkeypatch):
    assert run(0, monkeypatch, keeps=False) > 0
