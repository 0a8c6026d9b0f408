"""Locally aware patch features from a backbone's feature maps (Roth et al., CVPR 2022, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional


def patch_features(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Average every map over a 3x3 neighbourhood, bring all to the first one's grid and concatenate.

    Args:
        maps: one (N, C_l, h_l, w_l) float per layer; the first one's grid is the result's.

    Returns:
        (N, h, w, D) float, D the sum of all C_l; contiguous.
    """
    grid = maps[0].shape[2:]
    levels = []
    for level in maps:
        smoothed = functional.avg_pool2d(level, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        if smoothed.shape[2:] != grid:
            smoothed = functional.interpolate(smoothed, grid, mode="bilinear", align_corners=False)
        levels.append(smoothed)
    return torch.cat([level.permute(0, 2, 3, 1) for level in levels], dim=3).contiguous()
