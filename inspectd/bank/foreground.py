"""Finds where the part is in good images, by the first principal component of their patch features.

Oquab et al. ("DINOv2", 2023) tell object from background by it, and Damm et al. ("AnomalyDINO", 2025) leave
the background of each tested image out of its score. Here it is learnt of good images alone, as a mask of
places: found anew in every frame, a part that is missing or black would be background, and pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch.nn import functional

from inspectd.errors import InputError

_LEARNT_BY: Final = 50
"""Images that give the direction."""
_BINS: Final = 256
LEAST_SEPARATION: Final = 0.8
"""Share of the variance that two groups explain. Values of one group, cut in the middle, have 0.64 of it if
they are normally distributed, and 0.75 if uniformly."""
LEAST_OF_BORDER: Final = 0.6
MOST_OF_CENTRE: Final = 0.8
"""What fills less than a fifth of it may be a reflection, and the part be taken for background."""
_MARGIN: Final = 0.2
"""Of the height and width, at each side of the centre."""


def learn_foreground(features: torch.Tensor, chosen: Sequence[int] | None = None) -> torch.Tensor:
    """The places (h, w) bool to judge: where any good image shows the part, and one place around.

    The patches of all images are two groups along their first principal component, divided by Otsu's
    threshold ("A Threshold Selection Method from Gray-Level Histograms", 1979). Background is the group that
    has more of the outermost places.

    Args:
        features: (N, h, w, D) float, patch features of good images.
        chosen: the images that count; None: all.

    Raises:
        InputError: these images do not show a part before a background: there are no two groups, or neither
            lies around the other.
    """
    values = _along_first_component(features, range(len(features)) if chosen is None else chosen)
    threshold, separation = _otsu(values.flatten())
    if separation < LEAST_SEPARATION:
        raise InputError(
            "--foreground: part and background cannot be told apart in these images: two groups of patches "
            f"explain {separation:.0%} of what they differ in, expected at least {LEAST_SEPARATION:.0%}; "
            "draw the area with --polygon or --mask"
        )
    is_background = values > threshold
    border = _border(values.shape[1], values.shape[2]).to(values.device)
    if is_background[:, border].float().mean() < 0.5:
        is_background = ~is_background
    of_border = float(is_background[:, border].float().mean())
    of_centre = float(_centre(is_background).float().mean())
    if of_border < LEAST_OF_BORDER or of_centre > MOST_OF_CENTRE:
        raise InputError(
            "--foreground: no part lies before a background in these images: the background would be "
            f"{of_border:.0%} of their border, expected at least {LEAST_OF_BORDER:.0%}, and {of_centre:.0%} "
            f"of their centre, expected at most {MOST_OF_CENTRE:.0%}; draw the area with --polygon or --mask"
        )
    shows_part = (~is_background).any(dim=0).float()[None, None]
    return functional.max_pool2d(shows_part, kernel_size=3, stride=1, padding=1)[0, 0] > 0


def _along_first_component(features: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
    """(n, h, w) float32: how far each patch lies from the mean along the first principal component."""
    sample = [features[image] for image in chosen[:: -(-len(chosen) // _LEARNT_BY)]]
    dims = features.shape[3]
    mean = torch.stack([image.double().mean(dim=(0, 1)) for image in sample]).mean(dim=0)
    covariance = torch.zeros((dims, dims), dtype=torch.float64, device=features.device)
    for image in sample:
        offsets = (image.double() - mean).flatten(0, 1).float()
        covariance += (offsets.T @ offsets).double()
    direction = torch.linalg.eigh(covariance).eigenvectors[:, -1]
    return torch.stack([((features[image].double() - mean) @ direction).float() for image in chosen])


def _otsu(values: torch.Tensor) -> tuple[float, float]:
    """The threshold that divides values (n,) best, and the share of their variance that it explains."""
    low, high = float(values.min()), float(values.max())
    if not low < high:
        return low, 0.0
    counts = torch.histc(values.float().cpu(), _BINS, low, high).double()
    centres = low + (torch.arange(_BINS, dtype=torch.float64) + 0.5) * (high - low) / _BINS
    below, total = counts.cumsum(0)[:-1], counts.sum()
    sums, mean = (counts * centres).cumsum(0)[:-1], (counts * centres).sum() / total
    between = (mean * below - sums).square() / (below * (total - below)).clamp_min(1)  # both ends are taken
    best = int(between.argmax())
    variance = (counts * (centres - mean).square()).sum() / total
    return low + (best + 1) * (high - low) / _BINS, float(between[best] / variance)


def _border(height: int, width: int) -> torch.Tensor:
    border = torch.ones(height, width, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    return border


def _centre(images: torch.Tensor) -> torch.Tensor:
    rows, columns = (int(length * _MARGIN) for length in images.shape[1:])
    return images[:, rows : images.shape[1] - rows, columns : images.shape[2] - columns]
