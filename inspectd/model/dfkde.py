"""DFKDE: kernel density estimation over one deep feature vector per image, reduced by PCA."""

from __future__ import annotations

import math
from typing import ClassVar, Final

import torch

from inspectd.errors import InputError
from inspectd.model.options import DFKDEOptions

_CANDIDATES: Final = 40
_VARIANCE_FLOOR: Final = 1e-6


class DFKDE:
    """A Gaussian kernel on every good image; an image's score is -log p(x).

    The images are stored whitened (each principal component scaled to unit variance), so that one
    bandwidth h serves all dimensions and p(x) = 1/n sum_i N(x; x_i, h^2 I), up to a constant factor.

    Args:
        mean: (D,) float32 of the images' feature vectors.
        projection: (D, d) float32, principal directions divided by their standard deviation.
        points: (n, d) float32, the good images.
        bandwidth: () float32.
    """

    kind: ClassVar[str] = "dfkde"

    def __init__(
        self,
        mean: torch.Tensor,
        projection: torch.Tensor,
        points: torch.Tensor,
        bandwidth: torch.Tensor,
    ) -> None:
        self._mean = mean
        self._projection = projection
        self._points = points
        self._bandwidth = bandwidth

    @classmethod
    def restore(cls, tensors: dict[str, torch.Tensor]) -> DFKDE:
        """The detector whose `tensors()` these are."""
        return cls(tensors["mean"], tensors["projection"], tensors["points"], tensors["bandwidth"])

    @classmethod
    def fit(cls, features: torch.Tensor, options: DFKDEOptions) -> DFKDE:
        """Fit PCA and bandwidth.

        Args:
            features: (N, h, w, D) float32 of good images.
            options: its settings.

        Raises:
            InputError: the images do not differ, so there is nothing that it could tell defects by.
        """
        vectors = image_vectors(features).double()
        mean = vectors.mean(dim=0)
        _, singular, directions = torch.linalg.svd(vectors - mean, full_matrices=False)
        deviations = singular / math.sqrt(max(1, len(vectors) - 1))
        kept = min(
            options.components, len(vectors) - 1, int((deviations > _VARIANCE_FLOOR * deviations[0]).sum())
        )
        if kept == 0:
            raise InputError(
                f"dfkde: {len(vectors)} good images look all the same where they are judged: expected images "
                "that differ, as those of a camera do; are they copies of one, or does --roi leave out what "
                "differs?"
            )
        projection = directions[:kept].T / deviations[:kept]
        points = (vectors - mean) @ projection
        bandwidth = torch.tensor(
            _bandwidth(points, options.bandwidth), dtype=torch.float32, device=points.device
        )
        return cls(mean.float(), projection.float().contiguous(), points.float(), bandwidth)

    @property
    def rows(self) -> int:
        """Good images."""
        return self._points.shape[0]

    @property
    def dims(self) -> int:
        """Principal components."""
        return self._points.shape[1]

    def score_maps(self, features: torch.Tensor) -> torch.Tensor:
        """See `Detector.score_maps`; one value (N, 1, 1), as an image's vector has no positions."""
        vectors = (image_vectors(features) - self._mean) @ self._projection
        return -log_density(vectors, self._points, self._bandwidth).reshape(-1, 1, 1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Detector.tensors`."""
        return {
            "mean": self._mean,
            "projection": self._projection,
            "points": self._points,
            "bandwidth": self._bandwidth,
        }


def image_vectors(features: torch.Tensor) -> torch.Tensor:
    """One vector (N, D) per image of patch features (N, h, w, D): their mean."""
    return torch.stack([image.float().mean(dim=(0, 1)) for image in features])


def log_density(points: torch.Tensor, centres: torch.Tensor, bandwidth: torch.Tensor) -> torch.Tensor:
    """Log p (Q,) of points (Q, d) under a Gaussian kernel of width `bandwidth` on each centre (n, d)."""
    dims = centres.shape[1]
    squared = (points[:, None, :] - centres[None, :, :]).square().sum(dim=2)
    constant = math.log(len(centres)) + dims * (torch.log(bandwidth) + 0.5 * math.log(2 * math.pi))
    return torch.logsumexp(-squared / (2 * bandwidth.square()), dim=1) - constant


def _bandwidth(points: torch.Tensor, rule: str) -> float:
    """Scott (1992) and Silverman (1986) for unit variance, or the best leave-one-out likelihood."""
    count, dims = points.shape
    scott = float(count ** (-1.0 / (dims + 4)))
    if rule == "scott":
        return scott
    if rule == "silverman":
        return float((count * (dims + 2) / 4.0) ** (-1.0 / (dims + 4)))
    squared = torch.cdist(points, points).square()
    squared.fill_diagonal_(torch.inf)
    widths = scott * torch.logspace(-1, 1, _CANDIDATES, dtype=points.dtype)
    likelihoods = [
        float(torch.logsumexp(-squared / (2 * h * h), dim=1).sum() - count * dims * math.log(h))
        for h in widths.tolist()
    ]
    return float(widths[int(torch.tensor(likelihoods).argmax())])
