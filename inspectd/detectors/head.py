"""From a detector's map to the image's score: what the detectors share after their own mathematics."""

from __future__ import annotations

from typing import Final

import torch
from torch.nn import functional

from inspectd.detectors.options import HeadOptions

_SMALLEST_DEVIATION: Final = 1e-6


class Head:
    """Standardises maps by what good images score at each place, smooths them, and pools them.

    Places differ: an edge or a fixture varies more between good parts than a plain surface does, and
    without this one threshold would have to serve both.

    Args:
        options: how to score.
        mean: (h, w) float32, what held-out good images score at each place.
        deviation: (h, w) float32, standard deviation of the same.
        mask: (h, w) bool, the places that are judged; None: all.
    """

    def __init__(
        self,
        options: HeadOptions,
        mean: torch.Tensor,
        deviation: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> None:
        self.options = options
        self._mean = mean
        self._deviation = deviation
        self._mask = None if mask is None else mask.bool()
        places = mean.numel() if mask is None else int(mask.sum())
        self._top = min(options.top, places)
        self._kernel = _gaussian(options.smoothing, mean.device)

    @classmethod
    def fit(cls, options: HeadOptions, maps: torch.Tensor, mask: torch.Tensor | None = None) -> Head:
        """Learn what good images score at each place.

        Args:
            options: how to score.
            maps: (N, h, w) float32 of good images that the detector has not seen.
            mask: (h, w) bool, the places that are judged; None: all.
        """
        neighbourhood = _gaussian(1.0 if min(maps.shape[1:]) > 1 else 0.0, maps.device)
        mean = smooth(maps.mean(dim=0, keepdim=True), neighbourhood)[0]
        variance = smooth(maps.var(dim=0, keepdim=True), neighbourhood)[0]
        return cls(options, mean, variance.sqrt().clamp_min(_SMALLEST_DEVIATION), mask)

    def __call__(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image scores (N,) and heatmaps (N, h, w), float32, of a detector's maps (N, h, w) float32."""
        if self.options.standardise:
            maps = (maps - self._mean) / self._deviation
        if self._mask is not None:
            maps = maps * self._mask
        if min(maps.shape[1:]) > 1:
            maps = smooth(maps, self._kernel)
        if self._mask is not None:
            maps = maps * self._mask
        flat = maps.flatten(1) if self._mask is None else maps[:, self._mask]
        if self.options.pool == "mean":
            return flat.mean(dim=1), maps
        return flat.topk(self._top, dim=1).values.mean(dim=1), maps

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `Head` needs beside its options, by argument name."""
        mask = {} if self._mask is None else {"mask": self._mask.float()}
        return {"mean": self._mean, "deviation": self._deviation} | mask


def smooth(maps: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Convolve maps (N, h, w) with a symmetric kernel (length,) along both axes, borders repeated."""
    reach = len(kernel) // 2
    if reach == 0:
        return maps
    padded = functional.pad(maps.unsqueeze(1), (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1)).squeeze(1)


def _gaussian(sigma: float, device: torch.device) -> torch.Tensor:
    reach = int(3.0 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32, device=device)
    weights = torch.exp(-offsets.square() / (2.0 * sigma * sigma)) if sigma else torch.ones_like(offsets)
    return weights / weights.sum()
