"""PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022)."""

from __future__ import annotations

from typing import ClassVar, Final

import torch

from inspectd.detectors.options import PatchCoreOptions
from inspectd.search.exact import ExactSearch

_REWEIGHT_NEIGHBOURS: Final = 9


class PatchCore:
    """A bank of patches of good parts; a patch's score is its distance to the nearest of them.

    Args:
        bank: (M, D) float32 patch features of good parts (the coreset).
        options: how to score.
    """

    kind: ClassVar[str] = "patchcore"

    def __init__(self, bank: torch.Tensor, options: PatchCoreOptions) -> None:
        self._bank = bank
        self._options = options
        self._neighbours = min(options.neighbours, bank.shape[0])
        self._search = ExactSearch(bank)

    @classmethod
    def restore(cls, tensors: dict[str, torch.Tensor], options: PatchCoreOptions) -> PatchCore:
        """The detector whose `tensors()` these are."""
        return cls(tensors["bank"], options)

    @property
    def rows(self) -> int:
        """Patches in the bank."""
        return self._bank.shape[0]

    @property
    def dims(self) -> int:
        """Dimensions of a patch's features."""
        return self._bank.shape[1]

    def maps(self, features: torch.Tensor) -> torch.Tensor:
        """See `Detector.maps`; section 3.3, with its equation 7 where re-weighting is on."""
        images, height, width, dims = features.shape
        patches = features.reshape(-1, dims)
        distances, rows = self._search.search(patches, self._neighbours)
        maps = distances.mean(dim=1).reshape(images, height, width)
        if self._options.reweight:
            maps = maps * self._weights(features.flatten(1, 2), distances, rows).reshape(-1, 1, 1)
        return maps

    def _weights(self, features: torch.Tensor, distances: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Equation 7's factor (N,): small where the farthest patch's nearest entry lies among others.

        Args:
            features: (N, P, D) float32.
            distances: (N * P, k) float32, to the nearest entries.
            rows: (N * P, k) int64, those entries.
        """
        images, patches, _ = features.shape
        farthest = distances[:, 0].reshape(images, patches).argmax(dim=1)
        image = torch.arange(images, device=features.device)
        nearest = rows[:, 0].reshape(images, patches)[image, farthest]
        _, around = self._search.search(self._bank[nearest], min(_REWEIGHT_NEIGHBOURS, self.rows))
        patch = features[image, farthest]
        spread = (self._bank[around] - patch[:, None, :]).square().sum(dim=2).sqrt()
        own = distances[:, 0].reshape(images, patches)[image, farthest]
        return 1.0 - torch.exp(own - torch.logsumexp(spread, dim=1)).clamp(max=1.0)

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Detector.tensors`."""
        return {"bank": self._bank}
