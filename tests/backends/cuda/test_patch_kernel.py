"""The kernel from maps to features: arithmetic by Triton's interpreter, compiled for cards, and on one."""

from pathlib import Path

import pytest
import torch
import triton
from support.interpreted import interpreted
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from inspectd.backends.cuda.half import HalvedPipeline
from inspectd.backends.cuda.patch_kernel import OPTIONS, PatchKernel, features_of_maps, trial_maps
from inspectd.bench.subject import Synthetic
from inspectd.bench.synthetic import synthetic_pipeline
from inspectd.model.features import patch_features
from inspectd.model.options import PatchOptions

WIDE_RESNET = ([(512, 28, 28), (1024, 14, 14)], PatchOptions(grid="fine", dimensions=1024))
LITE = ([(24, 64, 64), (40, 32, 32), (112, 16, 16)], PatchOptions())
LITE_FINE = ([(40, 32, 32), (112, 16, 16)], PatchOptions(grid="fine", compression=0.6))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return interpreted(Path(__file__).with_name("patch_kernel_on_cpu.py"), tmp_path_factory)


def of_cases(found, what):
    return {name: case[what] for name, case in found.items() if name != "spoilt"}


def test_the_features_are_torch_s(found):
    assert all(of_cases(found, "alike").values())
    assert {name: apart for name, apart in of_cases(found, "apart").items() if apart > 1e-5} == {}


def test_a_frame_s_features_do_not_depend_on_those_beside_it(found):
    assert all(of_cases(found, "alone").values())


def test_what_is_no_number_reaches_what_its_pixel_counts_for_and_nothing_else(found):
    assert all(of_cases(found, "spread").values())


def test_a_trial_finds_one_wrong_weight_of_a_thousandth(found):
    assert set(of_cases(found, "trial").values()) == {None}
    assert "of the largest feature apart" in found["spoilt"]


def blank(shapes, device="cpu"):
    return [torch.zeros(1, *shape, dtype=torch.half, device=device) for shape in shapes]


@pytest.mark.parametrize(
    ("maps", "options", "reason"),
    [
        (blank([(8, 4, 4)] * 5), PatchOptions(), "5 layers, expected 1 to 4"),
        ([torch.zeros(1, 8, 4, 4)], PatchOptions(), "maps of torch.float32, expected torch.float16"),
        (blank([(8, 300, 4)]), PatchOptions(), "a map of 300 rows or columns, expected at most 256"),
        (blank([(9000, 2, 2), (9000, 1, 1)]), PatchOptions(), "18000 channels, expected at most 16384"),
        (blank([(8, 64, 64), (8, 1, 1)]), PatchOptions(), "a patch of 4096 pixels, expected at most 1024"),
        (blank([(4096, 2, 2)]), PatchOptions(dimensions=2), "4096 channels averaged to 2, "),
    ],
)  # fmt: skip
def test_maps_that_it_has_no_form_for_are_refused(maps, options, reason):
    with pytest.raises(ValueError, match=reason):
        PatchKernel(options, maps)


def test_maps_of_other_shapes_than_the_example_s_are_refused():
    kernel = PatchKernel(PatchOptions(), blank([(8, 4, 4), (8, 2, 2)]))
    with pytest.raises(ValueError, match=r"expected float16 of .*\[8, 2, 2\]"):
        kernel(blank([(8, 4, 4), (8, 4, 4)]))


def compiled_for(capability, shapes, options):
    """The kernel compiled for a compute capability such as 80, which needs no card."""
    constants = PatchKernel(options, blank(shapes)).constants
    pointers = {
        "features": "*fp32",
        **{f"{name}{layer}": kind for name, kind in POINTERS.items() for layer in range(4)},
    }
    signature = {**pointers, **dict.fromkeys(constants, "constexpr")}
    values = {(list(signature).index(name),): value for name, value in constants.items()}
    # Torch's memory begins at multiples of 16 bytes, which a launch would find out.
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(len(pointers))}
    source = ASTSource(features_of_maps, signature, constexprs=values, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS)


POINTERS = {"map": "*fp16", "pixels": "*i32", "weights": "*fp32"}


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(("shapes", "options"), [WIDE_RESNET, LITE])
def test_it_compiles_to_wide_reads_and_spills_nothing(capability, shapes, options):
    compiled = compiled_for(capability, shapes, options)
    reads = sum(PatchKernel(options, blank(shapes)).constants[f"taps{layer}"] for layer in range(len(shapes)))
    assert compiled.asm["ptx"].count("ld.global.v4.b32") >= min(reads, 25)
    assert not {"STL", "LDL"} & set(compiled.asm["sass"].replace(".", " ").split())
    assert compiled.metadata.shared <= 99 << 10  # of the smallest card that is supported


@pytest.mark.gpu
@pytest.mark.parametrize("images", [1, 5, 32])
@pytest.mark.parametrize(("shapes", "options"), [WIDE_RESNET, LITE, LITE_FINE])
def test_on_a_card_the_features_are_torch_s_and_replay(shapes, options, images):
    # One sign an image: a power below 1 makes the rounding of sums near zero large.
    maps = [level.repeat(images, 1, 1, 1)[:images] for level in trial_maps(blank(shapes, "cuda"))]
    maps = [level.contiguous(memory_format=torch.channels_last) for level in maps]
    kernel = PatchKernel(options, maps)
    kernel(maps)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        features = kernel(maps)
    for level in maps:
        level.mul_(0.5)
    graph.replay()
    wanted = patch_features([level.float() for level in maps], options)
    torch.testing.assert_close(features, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.gpu
def test_on_a_card_it_is_chosen_after_a_trial():
    subject = Synthetic("resnet18", ("layer2", "layer3"), "random", "fine", 64, 64, rows=200)
    assert isinstance(HalvedPipeline(synthetic_pipeline(subject, "cuda"))._patch_kernel, PatchKernel)
