"""From a detector's map to the image's score: what the detectors share after their own mathematics."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch.nn import functional

from inspectd.detectors.alike import Alike
from inspectd.detectors.options import HeadOptions
from inspectd.errors import InputError

_SMALLEST_DEVIATION: Final = 1e-6


class Head:
    """Standardises maps by what good images score at each place, smooths them, and pools them.

    Places differ: an edge or a fixture varies more between good parts than a plain surface does, and
    without this one threshold would have to serve both. So do variants of a part (see `Alike`).

    Args:
        options: how to score.
        mean: (h, w) float32, what held-out good images score at each place.
        deviation: (h, w) float32, standard deviation of the same.
        mask: (h, w) bool, the places that are judged; None: all.
        looks: (N, L) float32, `alike.look` of held-out good images; needed where `alike` is not 0.
        look_scores: (N,) float32, what the same images score under this head without `alike`.
    """

    def __init__(
        self,
        options: HeadOptions,
        mean: torch.Tensor,
        deviation: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        looks: torch.Tensor | None = None,
        look_scores: torch.Tensor | None = None,
    ) -> None:
        self.options = options
        self._mean = mean
        self._deviation = deviation
        self._mask = None if mask is None else mask.bool()
        self._judged = None if mask is None else mask.bool().flatten().nonzero().flatten()
        places = mean.numel() if mask is None else int(mask.sum())
        self._top = min(options.top, places)
        self._kernel = _gaussian(options.smoothing, mean.device)
        self._alike: Alike | None = None
        if options.alike:
            if looks is None or look_scores is None:
                raise InputError(f"head: alike is {options.alike}, expected looks and look_scores with it")
            self._alike = Alike(looks, look_scores, options.alike)

    @classmethod
    def fit(
        cls,
        options: HeadOptions,
        maps: torch.Tensor,
        looks: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> Head:
        """Learn what good images score at each place, and what those that look alike do.

        Args:
            options: how to score.
            maps: (N, h, w) float32 of good images that the detector has not seen.
            looks: (N, L) float32, `alike.look` of the same images.
            mask: (h, w) bool, the places that are judged; None: all.
        """
        neighbourhood = _gaussian(1.0 if min(maps.shape[1:]) > 1 else 0.0, maps.device)
        mean = smooth(maps.mean(dim=0, keepdim=True), neighbourhood)[0]
        variance = smooth(maps.var(dim=0, keepdim=True), neighbourhood)[0]
        deviation = variance.sqrt().clamp_min(_SMALLEST_DEVIATION)
        alone = cls(replace(options, alike=0), mean, deviation, mask=mask)
        if not options.alike:
            return alone
        scores, _ = alone(maps, looks)
        return cls(options, mean, deviation, mask=mask, looks=looks, look_scores=scores)

    def __call__(self, maps: torch.Tensor, looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image scores (N,) and heatmaps (N, h, w), float32.

        Args:
            maps: (N, h, w) float32, the detector's.
            looks: (N, L) float32, `alike.look` of the same images.
        """
        if self.options.standardise:
            maps = (maps - self._mean) / self._deviation
        if self._mask is not None:
            maps = maps * self._mask
        if min(maps.shape[1:]) > 1:
            maps = smooth(maps, self._kernel)
        if self._alike is not None:
            maps = maps - self.options.alike_weight * self._alike.expected(looks)[:, None, None]
        if self._mask is not None:
            maps = maps * self._mask
        flat = maps.flatten(1) if self._judged is None else maps.flatten(1).index_select(1, self._judged)
        if self.options.pool == "mean":
            return flat.mean(dim=1), maps
        return flat.topk(self._top, dim=1).values.mean(dim=1), maps

    def tensors(self) -> dict[str, torch.Tensor]:
        """What `Head` needs beside its options, by argument name."""
        mask = {} if self._mask is None else {"mask": self._mask.float()}
        alike = {} if self._alike is None else {"looks": self._alike.looks, "look_scores": self._alike.scores}
        return {"mean": self._mean, "deviation": self._deviation} | mask | alike


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
