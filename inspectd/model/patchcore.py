"""PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022)."""

from __future__ import annotations

from typing import ClassVar, Final

import torch

from inspectd.model.options import PatchCoreOptions
from inspectd.model.padim import PaDiM
from inspectd.model.search import ExactSearch, NearestNeighbours

_REWEIGHT_NEIGHBOURS: Final = 9
_SPACING_NEIGHBOURS: Final = 3
_LEAST_SPACING: Final = 0.05
"""Of the mean spacing."""
_POSITIONS: Final = "places."
"""Prefix of their tensors in bank files."""


class PatchCore:
    """A bank of patches of good parts; a patch's score is its distance to the nearest of them.

    Two refinements beyond the paper, each an option. The distance to each entry is divided by the bank's own
    spacing there, and the entry with the smallest quotient counts: an entry that a search misses can only
    make a patch odder. The result is multiplied by how unusual the patch is at its position.

    Args:
        bank: (M, D) float32 patch features of good parts (the coreset).
        options: its settings.
        spacing: (M,) float32, each entry's mean distance to its nearest others; None: found here.
        positions: a PaDiM of the same good parts; needed where `position_weight` is not 0.
        lists: (B, L) integers, entries usually nearest in each block of places (`model.lists`); they make a
            search faster and change no score. None: there are none.
    """

    kind: ClassVar[str] = "patchcore"

    def __init__(
        self,
        bank: torch.Tensor,
        options: PatchCoreOptions,
        spacing: torch.Tensor | None = None,
        positions: PaDiM | None = None,
        lists: torch.Tensor | None = None,
    ) -> None:
        self.bank = bank
        self.options = options
        self.positions = positions
        self.lists = lists
        self.neighbours = min(options.neighbours, bank.shape[0])
        self.spacing = _spacing(bank) if spacing is None else spacing
        self._search: NearestNeighbours = ExactSearch(bank, self.scale)

    @classmethod
    def restore(cls, tensors: dict[str, torch.Tensor], options: PatchCoreOptions) -> PatchCore:
        """The detector whose `tensors()` these are."""
        prefix = _POSITIONS
        of_positions = {
            name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)
        }
        positions = PaDiM.restore(of_positions) if options.position_weight else None
        return cls(tensors["bank"], options, tensors["spacing"], positions, tensors.get("lists"))

    @property
    def scale(self) -> torch.Tensor | None:
        """What the distance to each entry is divided by, (M,) float32; None: nothing."""
        return self.spacing if self.options.local_scale else None

    def search_with(self, search: NearestNeighbours) -> None:
        """Use another search of the same bank, with the same `scale`."""
        self._search = search

    @property
    def rows(self) -> int:
        """Patches in the bank."""
        return self.bank.shape[0]

    @property
    def dims(self) -> int:
        """Dimensions of a patch's features."""
        return self.bank.shape[1]

    def score_maps(self, features: torch.Tensor) -> torch.Tensor:
        """See `Detector.score_maps`; section 3.3, with its equation 7 where re-weighting is on."""
        distances, rows = self._search.search(features.flatten(0, 2), self.neighbours)
        position_scores = None
        if self.positions is not None and self.options.position_weight:
            position_scores = self.positions.distances(features)  # the search sees all dimensions
        return self.score_maps_of(features, distances, rows, position_scores)

    def score_maps_of(
        self,
        features: torch.Tensor,
        distances: torch.Tensor,
        rows: torch.Tensor,
        position_scores: torch.Tensor | None,
    ) -> torch.Tensor:
        """Score maps (N, h, w) float32 from the nearest entries.

        Args:
            features: (N, h, w, D) float32.
            distances: (N * h * w, k) float32, to the nearest entries, each divided by that entry's `scale`.
            rows: (N * h * w, k) int64, those entries; only looked at where re-weighting is on.
            position_scores: (N, h, w) float32, score maps of `positions`; None: they do not count.
        """
        images, height, width, _ = features.shape
        maps = distances.mean(dim=1).reshape(images, height, width)
        if self.options.reweight:
            maps = maps * self._weights(features.flatten(1, 2), distances, rows).reshape(-1, 1, 1)
        if position_scores is not None:
            maps = maps * position_scores.pow(self.options.position_weight)
        return maps

    def _weights(self, features: torch.Tensor, distances: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Equation 7's factor (N,): small where the farthest patch's nearest entry lies among others.

        Args:
            features: (N, P, D) float32.
            distances: (N * P, k) float32, to the nearest entries, each divided by that entry's `scale`.
            rows: (N * P, k) int64, those entries.
        """
        images, patches, _ = features.shape
        farthest = distances[:, 0].reshape(images, patches).argmax(dim=1)
        image = torch.arange(images, device=features.device)
        nearest = rows[:, 0].reshape(images, patches)[image, farthest]
        apart = torch.cdist(self.bank[nearest], self.bank)
        around = apart.topk(min(_REWEIGHT_NEIGHBOURS, self.rows), dim=1, largest=False).indices
        patch = features[image, farthest]
        spread = (self.bank[around] - patch[:, None, :]).square().sum(dim=2).sqrt()
        own = distances[:, 0].reshape(images, patches)[image, farthest]
        if self.scale is not None:
            own = own * self.scale[nearest]
        return 1.0 - torch.exp(own - torch.logsumexp(spread, dim=1)).clamp(max=1.0)

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Detector.tensors`."""
        tensors = {"bank": self.bank, "spacing": self.spacing}
        if self.lists is not None:
            tensors["lists"] = self.lists
        if self.positions is not None:
            tensors |= {_POSITIONS + name: tensor for name, tensor in self.positions.tensors().items()}
        return tensors


def _spacing(bank: torch.Tensor) -> torch.Tensor:
    """(M,) each entry's mean distance to its nearest others, kept off zero where entries are equal."""
    if bank.shape[0] == 1:
        return torch.ones_like(bank[:, 0])
    distances, _ = ExactSearch(bank).search(bank, min(1 + _SPACING_NEIGHBOURS, bank.shape[0]))
    spacing = distances[:, 1:].mean(dim=1)
    mean = float(spacing.mean())
    return spacing.clamp_min(_LEAST_SPACING * mean) if mean > 0 else torch.ones_like(spacing)
