"""Weights in half precision whose filters keep their sums."""

import torch
from torch import nn

from inspectd.backends.cuda.rounding import halve


def test_filters_that_cancel_still_do_and_no_weight_moves_far() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    with torch.no_grad():
        for convolution in network[:2]:
            weight = convolution.weight * 40
            convolution.weight.copy_(weight - weight.mean(dim=(2, 3), keepdim=True))
    network = network.to(memory_format=torch.channels_last)
    before = [one.weight.detach().clone() for one in network.children()]
    halve(network)
    for convolution, exact in zip(network.children(), before, strict=True):
        got = convolution.weight.detach()
        assert got.dtype == torch.half
        assert got.stride() == exact.stride()
        assert float((got.float() - exact).abs().max()) < 0.03 * float(exact.abs().max())
    for convolution, exact in zip(network[:2], before, strict=False):
        plainly = exact.half().double().sum(dim=(2, 3)).abs().max()
        kept = convolution.weight.detach().double().sum(dim=(2, 3)).abs().max()
        assert float(kept) < 0.05 * float(plainly)
    assert torch.equal(network[2].weight, before[2].half())
