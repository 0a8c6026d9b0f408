"""From a detector's map to the image's score: what the detectors share after their own mathematics."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch.nn import functional

from inspectd.errors import InputError
from inspectd.model.options import ODD_DEVIATIONS, ROBUST, HeadOptions

_CHANNELS: Final = 32
_GRID: Final = 7


class Alike:
    """Predicts an image's score, were it good, from those of the good images that look most like it.

    A line makes variants of a part, and a detector that remembers few parts of one variant finds all
    of them a little odd. Nearest-neighbour regression over whole images says how odd: the mean of what the
    nearest scored while they were held out, with weights that fade to zero so that the prediction is
    continuous (Stone, "Consistent nonparametric regression", 1977).

    Args:
        looks: (N, L) float32, what `look` gives for the good images.
        scores: (N,) float32, their scores.
        neighbours: how many count in full; those up to twice as many count less.
    """

    def __init__(self, looks: torch.Tensor, scores: torch.Tensor, neighbours: int) -> None:
        if looks.dim() != 2 or scores.shape != looks.shape[:1] or not len(scores):
            raise InputError(
                f"looks of shape {tuple(looks.shape)} and scores of shape {tuple(scores.shape)}, "
                "expected (N, L) and (N,)"
            )
        self.looks = looks
        self.scores = scores
        self._neighbours = neighbours

    def expected(self, looks: torch.Tensor) -> torch.Tensor:
        """(N,) float32: what good images that look like these, (N, L) float32, score; finite."""
        # Products of matrices would make an image's neighbours depend on what it is scored together with.
        distances = torch.stack([(self.looks - own).square().sum(dim=1).sqrt() for own in looks])
        distances = distances.nan_to_num(nan=torch.inf)
        count = max(2 * self._neighbours, self._neighbours + 2)
        nearest, rows = distances.topk(min(count, len(self.scores)), dim=1, largest=False)
        full, none = nearest[:, : self._neighbours][:, -1:], nearest[:, -1:]
        weights = ((none - nearest) / (none - full)).clamp(0.0, 1.0).nan_to_num(nan=1.0)
        return (weights * self.scores[rows]).sum(dim=1) / weights.sum(dim=1)


def look(features: torch.Tensor) -> torch.Tensor:
    """An image in a few numbers: (N, L) float32 of features (N, h, w, D).

    The first channels come from the backbone's first layer, which sees tones and edges; on a coarse grid, a
    part that lies a little differently looks the same.
    """
    first = features[..., :_CHANNELS].float().permute(0, 3, 1, 2)
    return functional.adaptive_avg_pool2d(first, _GRID).flatten(1)


_LEAST_DEVIATION: Final = 0.25
"""Of the mean over all places, whose median is 0 where most of a picture was blanked. The quietest places of
the development sets have 0.7 of it."""
_VARIANT: Final = 20
"""One image in so many."""
_SMALLEST_DEVIATION: Final = 1e-6
"""Where no place varies at all."""


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

        No image moves any of it far, however odd it is: a value that few images have counts as at most
        `ODD_DEVIATIONS` from the median of all (Huber, "Robust Statistics", 1981, section 1.7). A place that
        hardly varies has a share of the usual deviation, so that a speck there is not a million deviations
        away.

        Args:
            options: how to score.
            maps: (N, h, w) float32 of good images that the detector has not seen.
            looks: (N, L) float32, `alike.look` of the same images.
            mask: (h, w) bool, the places that are judged; None: all.
        """
        neighbourhood = _gaussian(1.0 if min(maps.shape[1:]) > 1 else 0.0, maps.device)
        usual = _pulled_in(maps, _floored(_robust_deviation(maps), mask))
        mean = smooth(usual.mean(dim=0, keepdim=True), neighbourhood)[0]
        variance = smooth(usual.var(dim=0, keepdim=True), neighbourhood)[0]
        deviation = _floored(variance.sqrt(), mask)
        alone = cls(replace(options, alike=0), mean, deviation, mask=mask)
        if not options.alike:
            return alone
        scores, _ = alone(maps, looks)
        look_scores = _pulled_in(scores, _robust_deviation(scores))
        return cls(options, mean, deviation, mask=mask, looks=looks, look_scores=look_scores)

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


def _robust_deviation(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation of (N, ...) values along the first axis, by their median absolute deviation."""
    return ROBUST * (values - values.median(dim=0).values).abs().median(dim=0).values


def _pulled_in(values: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Values (N, ...), those far from the median of the first axis brought to the limit.

    What more than one image in twenty has is a variant of the part, and lies within the limit.
    """
    median = values.median(dim=0).values
    reach = ODD_DEVIATIONS * deviation
    few = min(len(values), 1 + max(1, len(values) // _VARIANT))
    lowest = torch.minimum(values.topk(few, dim=0, largest=False).values[-1], median - reach)
    highest = torch.maximum(values.topk(few, dim=0).values[-1], median + reach)
    return torch.minimum(torch.maximum(values, lowest), highest)


def _floored(deviation: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Deviations (h, w) by place, each at least a share of what is usual among the places that are judged."""
    judged = deviation if mask is None else deviation[mask]
    return deviation.clamp_min(max(_LEAST_DEVIATION * float(judged.mean()), _SMALLEST_DEVIATION))


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
