"""The kernel that makes the network's input: by Triton's interpreter, compiled for cards, and on a card."""

from pathlib import Path

import numpy as np
import pytest
import torch
import triton
from support.interpreted import interpreted
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler.compiler import make_backend
from triton.runtime.jit import create_function_from_signature

from inspectd.backends.cuda import resize_kernel
from inspectd.backends.cuda.half import HalvedPipeline
from inspectd.backends.cuda.resize_kernel import COLUMNS, OPTIONS, WEIGHTS, FrameFitter, fit_frames
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return interpreted(Path(__file__).with_name("resize_on_cpu.py"), tmp_path_factory)


def test_it_resizes_as_a_cpu_does(found):
    # Half precision holds a level to a twentieth.
    assert max(found["levels_off"]) < 0.1


def test_a_trial_finds_out_whether_it_is_right(found):
    assert found["right"] is None
    assert all("levels off" in said for said in found["wrong"])


@pytest.mark.parametrize("capability", [80, 89, 90, 120])
def test_it_compiles_for_cards(capability):
    pointers = {
        "frames": "*u8", "images": "*fp16", "first_rows": "*i32", "row_weights": "*i32",
        "first_columns": "*i32", "column_weights": "*i32", "scale": "*fp32", "shift": "*fp32",
    }  # fmt: skip
    numbers = ("frame_bytes", "row_bytes", "first_byte", "height", "width", "row_taps", "column_taps")
    constants = {"columns_tile": COLUMNS, **WEIGHTS}
    signature = {**pointers, **dict.fromkeys(numbers, "i32"), **dict.fromkeys(constants, "constexpr")}
    source = ASTSource(fit_frames, signature, constants)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS)
    assert "fit_frames" in made.asm["ptx"]


def test_the_weights_of_many_sizes_do_not_pile_up():
    one = torch.ones(1, 3, 1, 1)
    fitter = FrameFitter(8, 8, one, one)
    for size in range(1, 300):
        fitter._taps_of(size, 9, one.device)
    assert len(fitter._taps) == 128


def test_one_binary_serves_every_size_and_every_place_in_a_batch(monkeypatch):
    launches = []

    class Kernel:
        def __getitem__(self, _grid):
            return lambda *given, **named: launches.append((given, named))

    monkeypatch.setattr(resize_kernel, "fit_frames", Kernel())
    one = torch.ones(1, 3, 1, 1)
    fitter = FrameFitter(15, 13, one, one)
    images = torch.empty(4, 15, 13, 3, dtype=torch.half).permute(0, 3, 1, 2)
    for place, (height, width) in enumerate([(15, 13), (64, 48), (31, 1), (1, 16)]):
        fitter.fit(torch.zeros(1, height, width, 3, dtype=torch.uint8), images[place:], 0, width)
    for_card = make_backend(GPUTarget("cuda", 90, 32))
    binary_of = create_function_from_signature(fit_frames.signature, fit_frames.params, for_card)
    keys = [str(binary_of(*given, **named)[1]) for given, named in launches]
    assert keys == keys[:1] * 4


@pytest.mark.gpu
def test_frames_of_many_sizes_become_what_a_cpu_makes_of_them():
    spec = Synthetic("resnet18", ("layer2", "layer3"), "random", "coarse", 96, 80, rows=100)
    rng = np.random.default_rng(0)
    sizes = [(480, 640), (480, 640), (96, 80), (50, 300), (480, 640), (2048, 2448)]
    frames = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    frames[1] = frames[1][::-1]
    frames[2].flags.writeable = False
    want = synthetic_pipeline(spec, "cpu").extractor.preprocess(frames)
    steps = HalvedPipeline(synthetic_pipeline(spec, "cuda"))
    assert steps._fitter is not None
    off = (steps.images(frames).float().cpu() - want).abs() / float(steps.preprocess.scale.max())
    assert float(off.max()) < 0.1
