"""Fits detectors to features, and finds the scores of unseen good images by cross-fitting."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.coreset import Coreset, Progress, coreset_of
from inspectd.bank.lists import nearest_rows
from inspectd.model.detectors import Detector
from inspectd.model.dfkde import DFKDE
from inspectd.model.head import Head, image_embedding
from inspectd.model.imported import Imported
from inspectd.model.options import (
    DFKDEOptions,
    HeadOptions,
    ImportedOptions,
    Options,
    PaDiMOptions,
    PatchCoreOptions,
)
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore

FOLDS: Final = 10
_SCORE_BATCH: Final = 8

Step = Callable[[int, int], None]
"""Called with how much of a step is done, and how much there is."""

Choose = Callable[[int, Progress], Coreset]
"""Called with the number of patches to choose, and with what is to be told how many are."""
ChooseOf = Callable[[NDArray[np.int64], int, Progress], Coreset]
"""The same for the patches of some images, by their numbers in ascending order."""


@dataclass(frozen=True)
class FitSpec:
    """Settings of a fit.

    Attributes:
        options: the detector's own settings; their type names the detector.
        head: settings of the head.
        coreset: share of all patches PatchCore keeps (float), or their number (int).
        seed: of every random choice.
        mask: (h, w) bool, the positions that are scored; None: all.
    """

    options: Options
    head: HeadOptions
    coreset: float | int
    seed: int
    mask: torch.Tensor | None = None


@dataclass(frozen=True)
class Fitted:
    """A detector and its coreset.

    Attributes:
        coreset_seconds: what it took to choose, 0 where there is none.
        radius: of the coreset; None: there is none.
        row_images: (M,) int64, the image that each row of its bank comes from; None: it has no such rows.
    """

    detector: Detector
    coreset_seconds: float = 0.0
    radius: float | None = None
    row_images: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class HeldOut:
    """A fit that left one fold out: it judges changed copies of that fold's images as a bank does new parts.

    Attributes:
        rows: (n,) int64, the images of the fold.
    """

    detector: Detector
    head: Head
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class CrossFit:
    """Scores of good images under detectors that have not seen them.

    Attributes:
        head: fitted on the maps of all that were not taught.
        scores: (N,) float64; each from a detector and a head fitted without that image's fold.
        heatmaps: (N, h, w) float32, from the same.
        held_out: the last of these fits.
    """

    head: Head
    scores: NDArray[np.float64]
    heatmaps: NDArray[np.float32]
    held_out: HeldOut


class Features(Protocol):
    """The features of a build's images, wherever they lie."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """N, h, w and D."""

    def fitted(
        self,
        images: NDArray[np.int64] | None,
        spec: FitSpec,
        step: Step,
        taught: NDArray[np.bool_] | None = None,
    ) -> Fitted:
        """A detector of some images, by their numbers in ascending order; None: of all.

        Images of the mask `taught` (N,) give PatchCore rows, and nothing to what is usual at each place.
        """

    def maps(self, detector: Detector, images: NDArray[np.int64]) -> torch.Tensor:
        """Score maps (n, h, w) float32 of some images, by their numbers in ascending order."""

    def embeddings(self) -> torch.Tensor:
        """(N, L) float32, see `model.head.image_embedding`."""

    def nearest(self, detector: PatchCore, every: int) -> torch.Tensor:
        """(n, h, w) int64, `bank.lists.nearest_rows` of the first image and every so many after it."""


class FeaturesHere:
    """All features in this process's memory.

    Args:
        features: (N, h, w, D) float32 or float16, of good images.
        choose: chooses coresets of some of these images; None: this process does.
    """

    def __init__(self, features: torch.Tensor, choose: ChooseOf | None = None) -> None:
        self._features = features
        self._choose = choose

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """See `Features`."""
        images, height, width, dims = self._features.shape
        return images, height, width, dims

    def fitted(
        self,
        images: NDArray[np.int64] | None,
        spec: FitSpec,
        step: Step,
        taught: NDArray[np.bool_] | None = None,
    ) -> Fitted:
        """See `Features.fitted`."""
        features = self._features if images is None else self._features[torch.from_numpy(images)]
        own = np.arange(len(self._features)) if images is None else images
        choose = None if self._choose is None else partial(self._choose, own)
        return fit_detector(features, spec, step, choose, None if taught is None else taught[own])

    def maps(self, detector: Detector, images: NDArray[np.int64]) -> torch.Tensor:
        """See `Features.maps`."""
        return torch.cat(
            [
                detector.score_maps(
                    self._features[torch.from_numpy(images[start : start + _SCORE_BATCH])].float()
                )
                for start in range(0, len(images), _SCORE_BATCH)
            ]
        )

    def embeddings(self) -> torch.Tensor:
        """See `Features.embeddings`."""
        return torch.cat([image_embedding(batch) for batch in torch.split(self._features, _SCORE_BATCH)])

    def nearest(self, detector: PatchCore, every: int) -> torch.Tensor:
        """See `Features.nearest`."""
        return nearest_rows(detector, self._features[::every])


def fit_detector(
    features: torch.Tensor,
    spec: FitSpec,
    step: Step,
    choose: Choose | None = None,
    taught: NDArray[np.bool_] | None = None,
) -> Fitted:
    """Fit a detector to features (N, h, w, D) float32 of good images.

    Args:
        features: of the images.
        spec: settings.
        step: called with the patches that are chosen.
        choose: chooses the coreset of the same features; None: this process does.
        taught: (N,) bool, see `Features.fitted`; None: there are none.
    """
    match spec.options:
        case PaDiMOptions():
            return Fitted(PaDiM.fit(features, spec.options, spec.seed))
        case DFKDEOptions():
            return Fitted(DFKDE.fit(features, spec.options))
        case ImportedOptions():
            return Fitted(Imported(spec.options))
        case PatchCoreOptions():
            drawn = None if taught is None else np.flatnonzero(~taught).tolist()
            return _fit_patchcore(features, spec.options, spec, step, choose, drawn=drawn)
    raise TypeError(f"no detector has options of type {type(spec.options).__name__}")


def _fit_patchcore(
    features: torch.Tensor,
    options: PatchCoreOptions,
    spec: FitSpec,
    step: Step,
    choose: Choose | None,
    *,
    drawn: list[int] | None,
) -> Fitted:
    places = features[0, ..., 0].numel() if spec.mask is None else int(spec.mask.sum())
    count = coreset_size(spec.coreset, len(features) * places)
    start = time.perf_counter()
    if choose is None:
        images = features.flatten(1, 2) if spec.mask is None else features[:, spec.mask]
        coreset = coreset_of(images.flatten(0, 1), count, spec.seed, lambda done: step(done, count))
    else:
        coreset = choose(count, lambda done: step(done, count))
    seconds = time.perf_counter() - start
    # A defect taught by mistake would widen its place's Gaussian, and all of its kind would pass there.
    positions = PaDiM.fit(features, PaDiMOptions(), spec.seed, drawn) if options.position_weight else None
    return patchcore_of(coreset, options, positions, places, seconds)


def patchcore_of(
    coreset: Coreset, options: PatchCoreOptions, positions: PaDiM | None, places: int, seconds: float
) -> Fitted:
    """A PatchCore of patches that were chosen, of so many places of each image, in so many seconds."""
    detector = PatchCore(coreset.values, options, positions=positions)
    return Fitted(detector, seconds, coreset.radius, coreset.rows.numpy() // places)


def coreset_size(coreset: float, patches: int) -> int:
    """Patches kept of `patches` by a share (float) or a number (int)."""
    count = coreset if isinstance(coreset, int) else round(coreset * patches)
    return min(max(1, count), patches)


def cross_fit(
    features: Features,
    spec: FitSpec,
    step: Step,
    taught: NDArray[np.bool_] | None = None,
    parts: NDArray[np.int64] | None = None,
) -> CrossFit:
    """Score every image by a detector fitted on the other folds: no image is in the bank that scores it.

    Args:
        features: of good images.
        spec: settings.
        step: called with the folds that are done.
        taught: (N,) bool, images that were chosen because they score high: they give a PatchCore its rows, as
            any other, and nothing to its places and to heads, whose statistics stand for parts drawn by
            chance; None: there are none.
        parts: (N,) numbers of the parts that images show; those of one part are left out together, or each
            would be in the bank that scores another. None: each shows another.
    """
    images = features.shape[0]
    parts = np.arange(images) if parts is None else parts
    taught = np.zeros(images, dtype=bool) if taught is None else taught
    own = np.flatnonzero(~taught)
    folds = _folds((own, np.flatnonzero(taught)), parts, spec.seed)
    step(0, len(folds))
    pieces = []
    for done, held_out in enumerate(folds, start=1):
        others = np.setdiff1d(np.arange(images), held_out)
        detector = features.fitted(others, spec, lambda _done, _total: None, taught).detector
        pieces.append(features.maps(detector, held_out))
        step(done, len(folds))
    maps = pieces[0].new_empty((images, *pieces[0].shape[1:]))
    for held_out, piece in zip(folds, pieces, strict=True):
        maps[torch.from_numpy(held_out)] = piece
    embeddings = features.embeddings()
    drawn = torch.from_numpy(own)
    head = Head.fit(spec.head, maps[drawn], embeddings[drawn], spec.mask)
    scores, heatmaps, of_last = _scores(maps, embeddings, folds, own, spec)
    return CrossFit(head, scores, heatmaps, HeldOut(detector, of_last, folds[-1]))


def _folds(
    kinds: Sequence[NDArray[np.int64]], parts: NDArray[np.int64], seed: int
) -> list[NDArray[np.int64]]:
    """Rows of each fold, by part; the bank's own images lie in the same ones whatever was taught."""
    folds: list[list[NDArray[np.int64]]] = [[] for _ in range(FOLDS)]
    for rows in kinds:
        _, first = np.unique(parts[rows], return_index=True)
        order = np.random.default_rng(seed).permutation(rows[np.sort(first)])
        for fold, held_out in enumerate(folds):
            held_out.append(rows[np.isin(parts[rows], parts[order[fold::FOLDS]])])
    return [np.sort(np.concatenate(held_out)) for held_out in folds]


def _scores(
    maps: torch.Tensor,
    embeddings: torch.Tensor,
    folds: list[NDArray[np.int64]],
    own: NDArray[np.int64],
    spec: FitSpec,
) -> tuple[NDArray[np.float64], NDArray[np.float32], Head]:
    """Image scores and heatmaps under heads that were fitted without the image's own fold; the last head."""
    scores, heatmaps = np.empty(len(maps)), np.empty(tuple(maps.shape), dtype=np.float32)
    for held_out in folds:
        seen = torch.from_numpy(np.setdiff1d(own, held_out))
        head = Head.fit(spec.head, maps[seen], embeddings[seen], spec.mask)
        rows = torch.from_numpy(held_out)
        found, of_places = head(maps[rows], embeddings[rows])
        scores[held_out] = found.double().cpu().numpy()
        heatmaps[held_out] = of_places.float().cpu().numpy()
    return scores, heatmaps, head
