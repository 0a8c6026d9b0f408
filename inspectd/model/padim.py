"""PaDiM (Defard et al., "PaDiM: a Patch Distribution Modeling Framework", ICPR 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

import numpy as np
import torch

from inspectd.model.options import PaDiMOptions

POSITIONS_AT_ONCE: Final = 64
"""Whose covariances are found together."""


class PaDiM:
    """One Gaussian per patch position; a patch's score is its Mahalanobis distance.

    A covariance S is kept as the lower triangle of W with W^T W = S^-1, so that the distance is
    ||W (x - mean)|| and half the memory does.

    Args:
        reduction: (D, d) float32, maps the backbone's dimensions to those that are modelled.
        means: (h, w, d) float32.
        factors: (h * w, d (d + 1) / 2) float32, each W's lower triangle row by row.
    """

    kind: ClassVar[str] = "padim"

    def __init__(self, reduction: torch.Tensor, means: torch.Tensor, factors: torch.Tensor) -> None:
        self._reduction = reduction
        self._selected = _selected(reduction)
        self._means = means
        self._factors = factors
        dims = means.shape[2]
        rows, columns = torch.tril_indices(dims, dims, device=factors.device)
        self.whitening = factors.new_zeros((factors.shape[0], dims, dims))
        self.whitening[:, rows, columns] = factors

    @classmethod
    def restore(cls, tensors: dict[str, torch.Tensor]) -> PaDiM:
        """The detector whose `tensors()` these are."""
        return cls(tensors["reduction"], tensors["means"], tensors["factors"])

    @classmethod
    def fit(
        cls,
        features: torch.Tensor,
        options: PaDiMOptions,
        seed: int,
        chosen: Sequence[int] | None = None,
    ) -> PaDiM:
        """Fit the Gaussians (section 3.2, equation 1).

        Args:
            features: (N, h, w, D) float32 of good images.
            options: its settings.
            seed: names the random reduction.
            chosen: the images that count; None: all.
        """
        images, height, width, dims = features.shape
        reduction = reduction_of(dims, options, seed).to(features.device)
        samples = reduced(features.reshape(images, height * width, dims), reduction, chosen)
        means = samples.mean(dim=0)

        def covariance(block: slice) -> torch.Tensor:
            return _covariance(samples[:, block] - means[block])

        return cls.of_covariances(reduction, means.reshape(height, width, -1), covariance, options)

    @classmethod
    def of_covariances(
        cls,
        reduction: torch.Tensor,
        means: torch.Tensor,
        covariance: Callable[[slice], torch.Tensor],
        options: PaDiMOptions,
    ) -> PaDiM:
        """The Gaussians of samples whose means and covariances are known.

        Args:
            reduction: (D, d) float32, see `reduction_of`.
            means: (h, w, d) float32.
            covariance: gives (P, d, d) float64 of some of the positions, which are numbered row by row.
            options: its settings.
        """
        height, width, kept = means.shape
        lower = torch.tril_indices(kept, kept, device=means.device)
        blocks = _blocks(height * width)
        pooled = torch.zeros(kept, kept, dtype=torch.float64, device=means.device)
        for block in blocks:
            pooled += covariance(block).sum(dim=0)
        pooled /= height * width
        parts = []
        for block in blocks:
            mixed = (1.0 - options.shrinkage) * covariance(block) + options.shrinkage * pooled
            parts.append(_whitening(mixed, options.regularisation)[:, lower[0], lower[1]])
        return cls(reduction, means, torch.cat(parts))

    @property
    def rows(self) -> int:
        """Patch positions, each with a Gaussian of its own."""
        return self._factors.shape[0]

    @property
    def dims(self) -> int:
        """Dimensions of a Gaussian."""
        return self._means.shape[2]

    def score_maps(self, features: torch.Tensor) -> torch.Tensor:
        """See `Detector.score_maps`."""
        # A value that is no number or has no end fails its position, though its dimension be left out.
        return self.distances(features).masked_fill(~features.sum(dim=3).isfinite(), torch.nan)

    def distances(self, features: torch.Tensor) -> torch.Tensor:
        """Mahalanobis distances (N, h, w) float32 of features (N, h, w, D) float32 (section 3.3, equation 2).

        Dimensions that the reduction leaves out are not looked at.
        """
        images, height, width, _ = features.shape
        offsets = self.offsets(features).flatten(1, 2)
        whitened = torch.bmm(self.whitening, offsets.permute(1, 2, 0))
        return whitened.square().sum(dim=1).sqrt().T.reshape(images, height, width)

    def offsets(self, features: torch.Tensor) -> torch.Tensor:
        """Offsets (N, h, w, d) float32 of features (N, h, w, D) from each position's mean."""
        if self._selected is None:
            return features @ self._reduction - self._means
        return features.index_select(3, self._selected) - self._means

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Detector.tensors`."""
        return {"reduction": self._reduction, "means": self._means, "factors": self._factors}


def reduction_of(dims: int, options: PaDiMOptions, seed: int) -> torch.Tensor:
    """(D, d) float32: maps features of so many dimensions to those that are modelled."""
    kept = min(options.dimensions, dims)
    generator = np.random.default_rng(seed)
    if options.reduction == "selection":
        matrix = np.eye(dims, dtype=np.float32)[:, np.sort(generator.permutation(dims)[:kept])]
    else:
        matrix = np.linalg.qr(generator.standard_normal((dims, kept)))[0].astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(matrix))


def _selected(reduction: torch.Tensor) -> torch.Tensor | None:
    """The dimensions (d,) int64 that a reduction (D, d) takes as they are; None: it mixes them."""
    nonzero = reduction != 0
    if not bool((nonzero.sum(dim=0) == 1).all() and (reduction[nonzero] == 1).all()):
        return None
    return nonzero.int().argmax(dim=0)


def reduced(
    features: torch.Tensor, reduction: torch.Tensor, chosen: Sequence[int] | None = None
) -> torch.Tensor:
    """(n, P, d) float32 of features (N, P, D) in any precision, image by image to save memory.

    Args:
        features: of images.
        reduction: see `reduction_of`.
        chosen: the images that are wanted; None: all.
    """
    images = range(len(features)) if chosen is None else chosen
    samples = torch.empty((len(images), features.shape[1], reduction.shape[1]), device=features.device)
    for image, row in zip(images, samples, strict=True):
        torch.matmul(features[image].float(), reduction, out=row)
    return samples


def _covariance(offsets: torch.Tensor) -> torch.Tensor:
    """(P, d, d) float64 of samples (N, P, d) around their means."""
    by_position = offsets.permute(1, 2, 0).double()
    return by_position @ by_position.mT / max(1, offsets.shape[0] - 1)


def _whitening(covariance: torch.Tensor, regularisation: float) -> torch.Tensor:
    """W (P, d, d) float32, lower triangular, of covariances (P, d, d)."""
    identity = torch.eye(covariance.shape[1], dtype=covariance.dtype, device=covariance.device)
    # S = L L^T, so W = L^-1 is lower triangular and W^T W = S^-1.
    cholesky = torch.linalg.cholesky(covariance + regularisation * identity)
    factor: torch.Tensor = torch.linalg.solve_triangular(cholesky, identity.expand_as(cholesky), upper=False)
    return factor.float()


def _blocks(positions: int) -> list[slice]:
    return [slice(start, start + POSITIONS_AT_ONCE) for start in range(0, positions, POSITIONS_AT_ONCE)]
