"""Locally aware patch features from a backbone's feature maps (Roth et al., CVPR 2022, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from inspectd.features.options import PatchOptions


def patch_features(maps: Sequence[torch.Tensor], options: PatchOptions) -> torch.Tensor:
    """Average every map over a 3x3 neighbourhood, bring all to one grid, concatenate and compress.

    Args:
        maps: one (N, C_l, h_l, w_l) float per layer.
        options: which layer's grid to use, and how much to compress.

    Returns:
        (N, h, w, D) float, D the sum of all C_l or what the options ask for; contiguous.
    """
    sizes = [(level.shape[2], level.shape[3]) for level in maps]
    grid = min(sizes) if options.grid == "coarse" else max(sizes)
    levels = [_on_grid(_smoothed(level), grid) for level in maps]
    features = torch.cat([level.permute(0, 2, 3, 1) for level in levels], dim=3)
    if options.dimensions is not None and options.dimensions < features.shape[3]:
        features = _averaged(features, options.dimensions)
    if options.compression == 1.0:
        return features.contiguous()
    return (features.sign() * _power(features.abs(), options.compression)).contiguous()


def _power(values: torch.Tensor, exponent: float) -> torch.Tensor:
    if exponent == 0.75:  # the default; two roots take a fraction of a power's time
        root = values.sqrt()
        return root * root.sqrt()
    return values.pow(exponent)


def _averaged(features: torch.Tensor, dimensions: int) -> torch.Tensor:
    """(N, h, w, dimensions), each the mean of neighbouring dimensions of (N, h, w, D)."""
    pooled = functional.adaptive_avg_pool1d(features.flatten(1, 2), dimensions)
    return pooled.reshape(*features.shape[:3], dimensions)


def _smoothed(level: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(level, kernel_size=3, stride=1, padding=1, count_include_pad=False)


def _on_grid(level: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    if level.shape[2:] == grid:
        return level
    if level.shape[2] >= grid[0]:
        return functional.adaptive_avg_pool2d(level, grid)
    return functional.interpolate(level, grid, mode="bilinear", align_corners=False)
