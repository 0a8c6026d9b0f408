"""Reads many images for a bank, without ever holding them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.images import NamedFrame, Pictures, pixel_digest
from inspectd.errors import InputError
from inspectd.model.features import FeatureExtractor
from inspectd.model.padim import POSITIONS_AT_ONCE

_BATCH: Final = 8
_RUNTIME_BYTES: Final = 700_000_000
"""Memory of the process beside the features: libraries, network, blocks of distances."""
_WORKER_BYTES: Final = 300_000_000
"""The same of a process that chooses a coreset."""
_MAPS_AT_ONCE: Final = 6
"""Of each image, while heads are fitted."""
_EMBEDDING_BYTES: Final = 3 * 4 * 32 * 49
"""Three times in memory, by the same."""
_COVARIANCE_BYTES: Final = 20
"""Of a value of some positions' samples while their covariances are found: in float32, twice in float64."""


Look = Callable[[str, NDArray[np.uint8]], NDArray[np.uint8]]
"""Called with an image's name and pixels; gives those that it is to be learnt by."""

Take = Callable[[slice, list[NDArray[np.uint8]]], None]
"""Called with the numbers of a few images that follow each other, and their pixels."""


def filling(features: torch.Tensor, extractor: FeatureExtractor) -> Take:
    """What fills (N, h, w, D) float32 or float16 with the features of images."""

    def take(rows: slice, frames: list[NDArray[np.uint8]]) -> None:
        features[rows] = extractor(frames).to(features.dtype)

    return take


@dataclass
class Collection:
    """Notes on many images.

    Attributes:
        digests: (N, 32) uint8, sha256 of the pixels of each image that is used.
        names: of these images, in the same order.
        unreadable: names of images that cannot be used, each with the reason.
        duplicates: names of images with the same pixels as an earlier one; they are left out.
        sizes: number of images of each (height, width).
    """

    digests: NDArray[np.uint8]
    names: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)


@dataclass(frozen=True)
class BuildMemory:
    """What a build takes.

    Attributes:
        place_dims: dimensions of a Gaussian for each place (PaDiM); 0: there are none.
        workers: processes that choose the coreset.
    """

    place_dims: int = 0
    workers: int = 1

    def peak_bytes(self, images: int, patches: int, dims: int, dtype: torch.dtype) -> int:
        """The features, the share of them a fold copies, what Gaussians are fitted to, and the processes.

        Args:
            images: their number.
            patches: of an image.
            dims: of a patch.
            dtype: of the features.
        """
        samples = 4 * patches + _COVARIANCE_BYTES * min(patches, POSITIONS_AT_ONCE)
        own = _RUNTIME_BYTES + (self.workers * _WORKER_BYTES if self.workers > 1 else 0)
        features = 2 * images * patches * dims * dtype.itemsize
        return features + images * min(self.place_dims, dims) * samples + own


@dataclass(frozen=True)
class ShareMemory:
    """What a worker takes that keeps the features of a share of the images.

    Attributes:
        place_dims: as of `BuildMemory`.
        masked: whether some places do not count: the patches that do are copied.
    """

    place_dims: int
    masked: bool

    def peak_bytes(self, images: int, patches: int, dims: int, dtype: torch.dtype) -> int:
        """The features, their bounds, and sums for covariances; arguments as of `BuildMemory`."""
        features = (1 + self.masked) * images * patches * dims * dtype.itemsize
        modelled = min(self.place_dims, dims)
        return features + 4 * images * patches + 3 * 8 * patches * modelled**2 + _RUNTIME_BYTES


def kept_bytes(images: int, patches: int) -> int:
    """What a build takes that has the features of none of so many images: maps and embeddings of all."""
    return _RUNTIME_BYTES + images * (_MAPS_AT_ONCE * 4 * patches + _EMBEDDING_BYTES)


def collect(
    frames: Iterable[NamedFrame],
    total: int,
    take: Take,
    step: Callable[[int], None],
    look: Look,
) -> Collection:
    """Read and digest, a few images at a time.

    Args:
        frames: every image with its name.
        total: the most images there can be.
        take: called with the few that are used, as `look` gives them.
        step: called with the number of images done.
        look: called with each image that is used, once.
    """
    kept = Collection(np.empty((total, 32), dtype=np.uint8))
    seen = Pictures()
    for batch in _batches(frames):
        fresh = [frame for name, frame in batch if _is_new(frame, name, seen, kept)]
        if fresh:
            rows = slice(len(kept.names) - len(fresh), len(kept.names))
            names = kept.names[rows]
            laid = [look(name, frame) for name, frame in zip(names, fresh, strict=True)]
            take(rows, laid)
            kept.digests[rows] = [pixel_digest(frame) for frame in fresh]
        step(len(kept.names) + len(kept.unreadable) + len(kept.duplicates))
    kept.digests = kept.digests[: len(kept.names)]
    return kept


def _is_new(
    frame: NDArray[np.uint8] | str, name: str, seen: Pictures, kept: Collection
) -> TypeGuard[NDArray[np.uint8]]:
    """True for an image to use; notes its name and size, or the reason for leaving it out."""
    if isinstance(frame, str):
        kept.unreadable[name] = frame
        return False
    if seen.same_as(name, frame) is not None:
        kept.duplicates.append(name)
        return False
    kept.names.append(name)
    kept.sizes[frame.shape[0], frame.shape[1]] += 1
    return True


def feature_dtype(
    images: int, patches: int, dims: int, limit_bytes: int, memory: BuildMemory | ShareMemory
) -> torch.dtype:
    """The most precise type in which so many features fit.

    Raises:
        InputError: none does.
    """
    for dtype in (torch.float32, torch.float16):
        if memory.peak_bytes(images, patches, dims, dtype) <= limit_bytes:
            return dtype
    needed = memory.peak_bytes(images, patches, dims, torch.float16)
    raise InputError(
        f"{images} images of {patches} patches with {dims} dimensions need {needed / 1e9:.1f} GB, "
        f"{limit_bytes / 1e9:.1f} GB are allowed: raise --memory-gb, or use fewer images or a smaller --size"
    )


def _batches(frames: Iterable[NamedFrame]) -> Iterator[list[NamedFrame]]:
    batch: list[NamedFrame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
