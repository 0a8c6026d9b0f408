"""Rounds a backbone's weights to half precision."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

_PASSES: Final = 3


def halve(network: nn.Module) -> None:
    """Bring a network to half precision; each plane of a convolution's filters keeps its sum.

    Filters that find edges have weights that nearly cancel: rounded one by one they answer to plain surfaces,
    too, and a part's score moves by up to a tenth of the spread of good parts. The rounding error of each
    plane (kernel height x width) goes to its smallest weights, whose steps are finest; this takes no time at
    run time.

    Args:
        network: in float32; changed in place, its memory formats stay.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.shape[2:].numel() > 1:
                module.weight.copy_(_rounded(module.weight))
    network.half()


def _rounded(weight: torch.Tensor) -> torch.Tensor:
    """Weights (O, I, h, w) that half precision holds, (h, w) planes with the sums of those given."""
    exact = weight.double().flatten(2)
    rounded = exact.half().double()
    smallest = exact.abs().argsort(dim=2)
    for place in range(min(_PASSES, exact.shape[2])):
        at = smallest[..., place : place + 1]
        left = (exact - rounded).sum(dim=2, keepdim=True)
        rounded.scatter_(2, at, (rounded.gather(2, at) + left).half().double())
    return rounded.view_as(weight).to(weight.dtype)
