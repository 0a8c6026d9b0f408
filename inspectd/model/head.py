"""Makes an image's score of a detector's map: standardised, smoothed, pooled; shared by all detectors."""

from __future__ import annotations

from typing import Final, Self

import msgspec
import torch
from torch.nn import functional

from inspectd.errors import InputError
from inspectd.model.options import OUTLIER_DEVIATIONS, ROBUST, HeadOptions, smoothing_reach

_CHANNELS: Final = 32
GRID: Final = 7
"""Places along a side of which an embedding tells."""


class SimilarImages:
    """Predicts the score of an image if it were good, from the scores of the k most similar good images.

    A line makes variants of a part, and a detector that remembers few parts of one variant scores all of
    them a little higher. Rare but good variants must not be punished, so the head subtracts that. It is
    nearest-neighbour regression over whole images: the mean of what the nearest scored while they were held
    out, with weights that fade to zero so that the prediction is continuous (Stone, "Consistent
    nonparametric regression", 1977).

    Args:
        embeddings: (N, L) float32, `image_embedding` of the good images.
        scores: (N,) float32, their scores.
        neighbours: number that counts in full; those up to twice as many count less.
    """

    def __init__(self, embeddings: torch.Tensor, scores: torch.Tensor, neighbours: int) -> None:
        if embeddings.dim() != 2 or scores.shape != embeddings.shape[:1] or not len(scores):
            raise InputError(
                f"looks of shape {tuple(embeddings.shape)} and scores of shape {tuple(scores.shape)}, "
                "expected (N, L) and (N,)"
            )
        self.embeddings = embeddings
        self.scores = scores
        self._neighbours = neighbours

    def expected(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Predicted scores (N,) float32, finite, of images by their embeddings (N, L) float32."""
        if embeddings.is_cuda:  # one kernel instead of four an image; on the CPU it takes longer than these
            distances = distances_at_once(embeddings, self.embeddings)
        else:
            distances = torch.stack(
                [(self.embeddings - own).square().sum(dim=1).sqrt() for own in embeddings]
            )
        distances = distances.nan_to_num(nan=torch.inf)
        count = max(2 * self._neighbours, self._neighbours + 2)
        nearest, rows = distances.topk(min(count, len(self.scores)), dim=1, largest=False)
        full, none = nearest[:, : self._neighbours][:, -1:], nearest[:, -1:]
        weights = ((none - nearest) / (none - full)).clamp(0.0, 1.0).nan_to_num(nan=1.0)
        return (weights * self.scores[rows]).sum(dim=1) / weights.sum(dim=1)


def distances_at_once(points: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Distances (N, M) between points (N, L) and others (M, L), float32."""
    # Products of matrices would make an image's neighbours depend on what it is scored together with.
    return torch.cdist(points, others, compute_mode="donot_use_mm_for_euclid_dist")


def image_embedding(features: torch.Tensor) -> torch.Tensor:
    """Embeddings (N, L) float32 of whole images, of their patch features (N, h, w, D).

    The first channels come from the backbone's first layer, which sees tones and edges; on a coarse grid, a
    part that lies a little differently has nearly the same embedding.
    """
    first = features[..., :_CHANNELS].float().permute(0, 3, 1, 2)
    if first.is_cuda:  # which pools slowly where channels lie last, and copies them all the same
        first = first.contiguous()
    return functional.adaptive_avg_pool2d(first, GRID).flatten(1)


_LEAST_DEVIATION: Final = 0.25
"""Of the mean over all positions, whose median is 0 where most of a picture was blanked. The quietest
positions of the development sets have 0.7 of it."""
_VARIANT: Final = 20
"""One image in so many."""
_SMALLEST_DEVIATION: Final = 1e-6
"""Where no position varies at all."""
_TENSORS: Final = {"embeddings": "looks", "embedding_scores": "look_scores"}
"""Arguments of `Head` that bank files call otherwise."""


class Head:
    """Standardises maps by the scores of good images at each position, smooths them, and pools them.

    Positions differ: an edge or a fixture varies more between good parts than a plain surface does, and
    without this one threshold would have to serve both. So do variants of a part (see `SimilarImages`).

    Args:
        options: its settings.
        mean: (h, w) float32, mean score of held-out good images at each position.
        deviation: (h, w) float32, standard deviation of the same.
        mask: (h, w) bool, the positions that are scored; None: all.
        embeddings: (N, L) float32, `image_embedding` of held-out good images; needed where `similar_images`
            is not 0.
        embedding_scores: (N,) float32, scores of the same images under this head without `similar_images`.
    """

    def __init__(
        self,
        options: HeadOptions,
        mean: torch.Tensor,
        deviation: torch.Tensor,
        *,
        mask: torch.Tensor | None = None,
        embeddings: torch.Tensor | None = None,
        embedding_scores: torch.Tensor | None = None,
    ) -> None:
        self.options = options
        self._mean = mean
        self._deviation = deviation
        self._mask = None if mask is None else mask.bool()
        self._scored = None if mask is None else mask.bool().flatten().nonzero().flatten()
        positions = mean.numel() if mask is None else int(mask.sum())
        self._top = min(options.top, positions)
        self._kernel = _gaussian(options.smoothing, mean.device)
        self._similar: SimilarImages | None = None
        if options.similar_images:
            if embeddings is None or embedding_scores is None:
                raise InputError(
                    f"head: alike is {options.similar_images}, expected looks and look_scores with it"
                )
            self._similar = SimilarImages(embeddings, embedding_scores, options.similar_images)

    @classmethod
    def fit(
        cls,
        options: HeadOptions,
        maps: torch.Tensor,
        embeddings: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> Head:
        """Fit the scores of good images at each position, and those of similar images.

        No image moves any of it far, however unusual it is: a value that few images have counts as at most
        `OUTLIER_DEVIATIONS` from the median of all (Huber, "Robust Statistics", 1981, section 1.7). A
        position that hardly varies has a share of the usual deviation, so that a speck there is not a
        million deviations away.

        Args:
            options: its settings.
            maps: (N, h, w) float32 of good images that the detector has not seen.
            embeddings: (N, L) float32, `image_embedding` of the same images.
            mask: (h, w) bool, the positions that are scored; None: all.
        """
        neighbourhood = _gaussian(1.0 if min(maps.shape[1:]) > 1 else 0.0, maps.device)
        usual = _pulled_in(maps, _floored(_robust_deviation(maps), mask))
        mean = smooth(usual.mean(dim=0, keepdim=True), neighbourhood)[0]
        variance = smooth(usual.var(dim=0, keepdim=True), neighbourhood)[0]
        deviation = _floored(variance.sqrt(), mask)
        alone = cls(msgspec.structs.replace(options, similar_images=0), mean, deviation, mask=mask)
        if not options.similar_images:
            return alone
        scores, _ = alone(maps, embeddings)
        scores = _pulled_in(scores, _robust_deviation(scores))
        return cls(options, mean, deviation, mask=mask, embeddings=embeddings, embedding_scores=scores)

    @classmethod
    def restore(cls, tensors: dict[str, torch.Tensor], options: HeadOptions) -> Self:
        """The head whose `tensors()` these are.

        Raises:
            InputError: they do not fit.
        """
        named = {name: tensors[stored] for name, stored in _TENSORS.items() if stored in tensors}
        others = {name: tensor for name, tensor in tensors.items() if name not in _TENSORS.values()}
        try:
            return cls(options, **others, **named)
        except TypeError as error:
            raise InputError(f"head: its tensors do not fit: {error}") from error

    def __call__(self, maps: torch.Tensor, embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Image scores (N,) and heatmaps (N, h, w), float32.

        Args:
            maps: (N, h, w) float32, the detector's.
            embeddings: (N, L) float32, `image_embedding` of the same images.
        """
        if self.options.standardise:
            maps = (maps - self._mean) / self._deviation
        if self._mask is not None:
            maps = maps * self._mask
        if min(maps.shape[1:]) > 1:
            maps = smooth(maps, self._kernel)
        if self._similar is not None:
            expected = self._similar.expected(embeddings)
            maps = maps - self.options.similar_weight * expected[:, None, None]
        if self._mask is not None:
            maps = maps * self._mask
        flat = maps.flatten(1) if self._scored is None else maps.flatten(1).index_select(1, self._scored)
        if self.options.pool == "mean":
            return flat.mean(dim=1), maps
        return flat.topk(self._top, dim=1).values.mean(dim=1), maps

    def tensors(self) -> dict[str, torch.Tensor]:
        """Tensors of `Head`, by their names in bank files; with its options enough to restore it."""
        tensors = {"mean": self._mean, "deviation": self._deviation}
        if self._mask is not None:
            tensors["mask"] = self._mask.float()
        if self._similar is not None:
            tensors |= {"looks": self._similar.embeddings, "look_scores": self._similar.scores}
        return tensors


def _robust_deviation(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation of (N, ...) values along the first axis, by their median absolute deviation."""
    return ROBUST * (values - values.median(dim=0).values).abs().median(dim=0).values


def _pulled_in(values: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Values (N, ...), those far from the median of the first axis brought to the limit.

    What more than one image in twenty has is a variant of the part, and lies within the limit.
    """
    median = values.median(dim=0).values
    reach = OUTLIER_DEVIATIONS * deviation
    few = min(len(values), 1 + max(1, len(values) // _VARIANT))
    lowest = torch.minimum(values.topk(few, dim=0, largest=False).values[-1], median - reach)
    highest = torch.maximum(values.topk(few, dim=0).values[-1], median + reach)
    return torch.minimum(torch.maximum(values, lowest), highest)


def _floored(deviation: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Deviations (h, w) by position, each at least a share of the mean over the positions that are scored."""
    scored = deviation if mask is None else deviation[mask]
    return deviation.clamp_min(max(_LEAST_DEVIATION * float(scored.mean()), _SMALLEST_DEVIATION))


def smooth(maps: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Convolve maps (N, h, w) with a symmetric kernel (length,) along both axes, borders repeated."""
    reach = len(kernel) // 2
    if reach == 0:
        return maps
    padded = functional.pad(maps.unsqueeze(1), (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, kernel.view(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1)).squeeze(1)


def _gaussian(sigma: float, device: torch.device) -> torch.Tensor:
    reach = smoothing_reach(sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32, device=device)
    weights = torch.exp(-offsets.square() / (2.0 * sigma * sigma)) if sigma else torch.ones_like(offsets)
    return weights / weights.sum()
