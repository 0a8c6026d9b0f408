"""Scores of good images and of changed copies of them under many settings, by fits without the image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.build import BankBuilder
from inspectd.bank.coreset import greedy_coreset
from inspectd.bank.fit import FitSpec, coreset_size
from inspectd.model.head import Head, image_embedding
from inspectd.model.options import HeadOptions, PaDiMOptions, PatchCoreOptions
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore

_BATCH: Final = 8


@dataclass(frozen=True)
class SampleScores:
    """What some settings make of a sample.

    Attributes:
        good: (N,) float64, scores of the images as they are.
        changed: (M,) float64, of their copies.
        image_ms: time of one image, from its pixels to its score map.
    """

    good: NDArray[np.float64]
    changed: NDArray[np.float64]
    image_ms: float


@dataclass(frozen=True)
class _Fold:
    """Some images, the copies of them, and what PatchCore keeps of all others."""

    images: torch.Tensor
    copies: torch.Tensor
    bank: torch.Tensor
    positions: PaDiM


class Sample:
    """Features of a sample by one extractor, and PatchCore's banks, which all other settings share.

    Args:
        builder: of the settings that make features and choose what is kept of them.
        frames: each image as it is, then its copies; (H, W, 3) uint8 BGR.
        owners: (M,) int64, the image of each copy, ascending.
        folds: rows of the images that are left out together.
        step: called with the number of images and copies done.
    """

    def __init__(
        self,
        builder: BankBuilder,
        frames: Iterable[Sequence[NDArray[np.uint8]]],
        *,
        owners: NDArray[np.int64],
        folds: Sequence[NDArray[np.int64]],
        step: Callable[[int], None],
    ) -> None:
        images, extractor, fit = sum(map(len, folds)), builder.extractor, builder.fit_spec
        self._mask = fit.mask
        features = builder.room_for(images + len(owners))
        self._good, self._copies = features[:images], features[images:]
        seconds, copies = 0.0, 0
        for row, (frame, *changed) in enumerate(frames):
            start = time.perf_counter()
            self._good[row] = extractor([frame])[0]
            for copy in changed:
                self._copies[copies] = extractor([copy])[0]
                copies += 1
            seconds += time.perf_counter() - start
            step(row + 1 + copies)
        self._extract_ms = 1e3 * seconds / (images + copies)
        self._looks, self._looks_of_copies = _embeddings(self._good), _embeddings(self._copies)
        with torch.inference_mode():
            self._folds = [self._fold(fit, rows, owners) for rows in folds]

    def scores(self, options: PatchCoreOptions, head: HeadOptions) -> SampleScores:
        """Score everything, each image and its copies by a detector and a head that have not seen it."""
        with torch.inference_mode():
            start = time.perf_counter()
            maps, maps_of_copies = self._maps(options)
            map_ms = 1e3 * (time.perf_counter() - start) / (len(maps) + len(maps_of_copies))
            good, copies = np.empty(len(maps)), np.empty(len(maps_of_copies))
            for fold in self._folds:
                seen = torch.ones(len(maps), dtype=torch.bool)
                seen[fold.images] = False
                fitted = Head.fit(head, maps[seen], self._looks[seen], self._mask)
                good[fold.images] = fitted(maps[fold.images], self._looks[fold.images])[0].cpu().numpy()
                of_copies, _ = fitted(maps_of_copies[fold.copies], self._looks_of_copies[fold.copies])
                copies[fold.copies] = of_copies.cpu().numpy()
        return SampleScores(good, copies, self._extract_ms + map_ms)

    def _fold(self, fit: FitSpec, rows: NDArray[np.int64], owners: NDArray[np.int64]) -> _Fold:
        others = self._good[torch.from_numpy(np.setdiff1d(np.arange(len(self._good)), rows))]
        points = others.flatten(0, 2) if fit.mask is None else others[:, fit.mask].flatten(0, 1)
        chosen = greedy_coreset(points, coreset_size(fit.coreset, len(points)), fit.seed)
        return _Fold(
            torch.from_numpy(rows),
            torch.from_numpy(np.flatnonzero(np.isin(owners, rows))),
            points[chosen.to(points.device)].float(),
            PaDiM.fit(others, PaDiMOptions(), fit.seed),
        )

    def _maps(self, options: PatchCoreOptions) -> tuple[torch.Tensor, torch.Tensor]:
        """Score maps (N, h, w) of the images and (M, h, w) of their copies."""
        maps, of_copies = (
            torch.empty(values.shape[:3], device=values.device) for values in (self._good, self._copies)
        )
        for fold in self._folds:
            detector = PatchCore(fold.bank, options, positions=fold.positions)
            for batch in torch.split(fold.images, _BATCH):
                maps[batch] = detector.score_maps(self._good[batch].float())
            for batch in torch.split(fold.copies, _BATCH):
                of_copies[batch] = detector.score_maps(self._copies[batch].float())
        return maps, of_copies


def _embeddings(features: torch.Tensor) -> torch.Tensor:
    return torch.cat([image_embedding(batch) for batch in torch.split(features, _BATCH)])
