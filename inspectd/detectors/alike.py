"""What good parts that look alike score: some looks are rarer or rougher than others, and no worse for it."""

from __future__ import annotations

from typing import Final

import torch
from torch.nn import functional

from inspectd.errors import InputError

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
