"""Run by test_patch_kernel.py with TRITON_INTERPRET=1: the kernel on the CPU, its findings as JSON."""

import json
import math

import torch

from inspectd.backends.cuda.patch_kernel import PatchKernel, trial_maps, wrong
from inspectd.model.features import patch_features
from inspectd.model.options import PatchOptions

FINE = PatchOptions(grid="fine")
CASES = {
    "one layer of one pixel": ([(12, 1, 1)], PatchOptions()),
    "a pyramid to its coarsest": ([(24, 6, 6), (40, 3, 3), (16, 2, 2)], PatchOptions()),
    "a pyramid to its finest": ([(24, 6, 6), (40, 3, 3)], FINE),
    "layers of one size": ([(16, 5, 5), (16, 5, 5)], PatchOptions(compression=1.0)),
    "four layers, averaged across their borders": (
        [(24, 5, 4), (40, 3, 4), (16, 2, 2), (3, 2, 2)], PatchOptions(grid="fine", dimensions=70)
    ),
    "odd sizes and channels": ([(7, 9, 6), (5, 4, 3)], PatchOptions(grid="fine", compression=0.5)),
    "odd sizes and channels, averaged": ([(7, 9, 6), (5, 4, 3)], PatchOptions(dimensions=9)),
    "one layer higher, one wider": ([(8, 5, 9), (8, 9, 5)], PatchOptions(grid="fine")),
    "three channels to two": ([(64, 4, 4), (128, 2, 2)], PatchOptions(grid="fine", dimensions=128)),
    "a patch of many pixels": ([(9, 16, 16), (3, 2, 2)], PatchOptions()),
    "thirty channels to one": ([(600, 2, 2)], PatchOptions(dimensions=20)),
    "more dimensions than channels": ([(20, 3, 3)], PatchOptions(dimensions=21, compression=0.9)),
}  # fmt: skip
SPOILT = ("a pyramid to its coarsest", "a pyramid to its finest", "odd sizes and channels, averaged")
"""Cases that are tried with values that are no numbers, too."""

generator = torch.Generator().manual_seed(0)


def random_maps(shapes: list[tuple[int, int, int]], images: int) -> list[torch.Tensor]:
    return [torch.randn((images, *shape), generator=generator).half() for shape in shapes]


def spread_rightly(kernel: PatchKernel, options: PatchOptions, shapes: list[tuple[int, int, int]]) -> bool:
    """Whether a value that is no finite number reaches what its pixel has weight in, and nothing else.

    Image by image another pixel of another layer holds it.
    """
    places = [
        (layer, channel, row, column)
        for layer, (channels, height, width) in enumerate(shapes)
        for channel, row, column in [
            (0, 0, 0), (channels - 1, height - 1, width // 2), (channels // 2, height // 2, min(1, width - 1))
        ]
    ]  # fmt: skip
    maps = random_maps(shapes, len(places))
    lights = [torch.zeros(level.shape) for level in maps]
    bad = torch.tensor([math.nan, math.inf, -math.inf]).repeat(len(shapes))
    for image, (layer, *place) in enumerate(places):
        maps[layer][image, *place] = bad[image]
        lights[layer][image, *place] = 1.0
    reached = patch_features(lights, options) > 0
    found = kernel(maps)
    same = torch.where(reached, bad.view(-1, 1, 1, 1), 0.0)
    found = torch.where(found.isfinite(), 0.0, found)
    return bool(reached.flatten(1).any(dim=1).all()) and torch.equal(
        found.nan_to_num(7.0), same.nan_to_num(7.0)
    )


found = {}
for name, (shapes, options) in CASES.items():
    maps = random_maps(shapes, 2)
    kernel = PatchKernel(options, maps)
    wanted = patch_features([level.float() for level in maps], options)
    got = kernel(maps)
    alone = kernel([level[1:2] for level in maps])
    found[name] = {
        "alike": got.shape == wanted.shape and got.dtype == wanted.dtype and got.is_contiguous(),
        "apart": float((got - wanted).abs().max() / wanted.abs().max()),
        "trial": wrong(kernel, options, trial_maps(maps)),
        "alone": bool((alone == got[1:2]).all()),
        "spread": name not in SPOILT or spread_rightly(kernel, options, shapes),
    }

shapes, options = CASES["a pyramid to its finest"]
maps = random_maps(shapes, 1)
spoilt = PatchKernel(options, maps)
spoilt._weights[1][-1, -1] += 0.001
found["spoilt"] = wrong(spoilt, options, trial_maps(maps))
print(json.dumps(found))
