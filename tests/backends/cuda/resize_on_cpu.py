"""Run by test_resize_kernel.py with TRITON_INTERPRET=1: the kernel on the CPU, its findings as JSON."""

import json

import torch

from inspectd.backends.cuda.resize_kernel import FrameFitter, wrong
from inspectd.model.features import Preprocess
from inspectd.pictures.region import pixels_of

CASES = [
    (2, (20, 26), (9, 12), None),
    (1, (10, 8), (14, 15), None),
    (1, (8, 8), (8, 8), None),
    (2, (30, 35), (8, 12), (0.1, 0.2, 0.5, 0.6)),
    (1, (30, 35), (8, 12), (0.99, 0.99, 0.01, 0.01)),
    (1, (1, 1), (4, 4), None),
    (1, (45, 7), (6, 6), None),
    (1, (30, 40), (32, 32), None),
    (1, (20, 24), (16, 16), None),
]
"""How many frames, their size and the input's, and the region; the last ones have many exact halves."""

generator = torch.Generator().manual_seed(0)
found = []
for count, size, target, region in CASES:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocess = Preprocess(*target, mean, std, torch.device("cpu"), region=region)
    frames = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator)
    want = preprocess([frame.numpy() for frame in frames])
    fitter = FrameFitter(*target, preprocess.scale, preprocess.shift)
    rows, columns = pixels_of(region, *size)
    images = torch.full((count, *target, 3), torch.nan, dtype=torch.half).permute(0, 3, 1, 2)
    fitter.fit(frames[:, rows].contiguous(), images, columns.start, columns.stop - columns.start)
    found.append(float((images.float() - want).abs().max() / preprocess.scale.max()))


class Idle(FrameFitter):
    def fit(self, frames, images, left, width):
        """Write nothing."""


class Askew(FrameFitter):
    def fit(self, frames, images, left, width):
        super().fit(frames, images, left + 1, width - 1)


right, idle, askew = (
    wrong(kind(6, 5, preprocess.scale, preprocess.shift)) for kind in (FrameFitter, Idle, Askew)
)
print(json.dumps({"levels_off": found, "right": right, "wrong": [idle, askew]}))
