"""Run by test_one_pass.py with TRITON_INTERPRET=1: the kernel on the CPU, what it does otherwise as JSON."""

import itertools
import json

import torch
from torch.nn import functional

from inspectd.backends.cuda.one_pass import VECTOR, by_torch
from inspectd.backends.cuda.one_pass_kernel import launch, launch_padded

SHAPES = [(1, 8, 1, 1), (2, 24, 13, 11), (1, 16, 33, 5), (3, 144, 5, 3)]
"""Less than a program's share and more, and channels that do not divide it."""

generator = torch.Generator().manual_seed(0)


def drawn(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    values = 4.0 * torch.randn(shape, generator=generator)
    spread = torch.rand(shape, generator=generator)
    values[spread < 0.05] = torch.nan
    values[(spread >= 0.05) & (spread < 0.1)] = torch.inf
    values[(spread >= 0.1) & (spread < 0.15)] = -torch.inf
    values[(spread >= 0.15) & (spread < 0.2)] *= 1e4  # sums leave half precision
    values = values.to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if values.dim() == 4 else values


found = []
for shape, dtype, activation, added in itertools.product(
    SHAPES, (torch.half, torch.float32), ("none", "relu", "relu6"), (0, 1, 2)
):
    values, bias = drawn(shape, dtype), drawn(shape[1:2], dtype)
    other = drawn(shape, dtype) if added else None
    other_bias = drawn(shape[1:2], dtype) if added == 2 else None
    wanted = by_torch(values, bias, other, other_bias, activation)
    launch(values, bias, other, other_bias, activation, vector=VECTOR)
    same = (values == wanted) | (values.isnan() & wanted.isnan())
    found.append(
        {
            "case": f"{shape} {dtype} {activation} {added}",
            "different": int((~same).sum()),
            "no_numbers": int(wanted.isnan().sum()),
        }
    )
for shape, dtype, activation, padding in itertools.product(
    SHAPES, (torch.half, torch.float32), ("none", "relu6"), ((0, 1, 0, 1), (1, 2, 1, 1), (0, 0, 0, 0))
):
    values, bias = drawn(shape, dtype), drawn(shape[1:2], dtype)
    before = values.clone()
    wanted = functional.pad(by_torch(values, bias, None, None, activation), padding)
    padded = torch.full_like(wanted, torch.nan, memory_format=torch.channels_last)
    launch_padded(values, bias, padded, activation, (padding[0], padding[2]), vector=VECTOR)
    same = (padded == wanted) | (padded.isnan() & wanted.isnan())
    found.append(
        {
            "case": f"{shape} {dtype} {activation} {padding}",
            "different": int((~same).sum()) + int((values != before).logical_and(~values.isnan()).sum()),
            "no_numbers": int(wanted.isnan().sum()),
        }
    )
empty = torch.empty((0, 8, 3, 3)).contiguous(memory_format=torch.channels_last)
launch(empty, torch.ones(8), None, None, "relu", vector=VECTOR)
print(json.dumps(found))
