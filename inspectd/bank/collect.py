"""Gathers the features of many images without ever holding the images."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.model.features import FeatureExtractor

_BATCH: Final = 8
_RUNTIME_BYTES: Final = 700_000_000
"""What the process needs beside the features: libraries, network, blocks of distances."""

NamedFrame = tuple[str, NDArray[np.uint8] | str]
"""An image's name and its pixels (H, W, 3) uint8 BGR, or why it cannot be used."""


@dataclass
class Collection:
    """What was gathered.

    Attributes:
        features: (N, h, w, D) float32, or float16 where float32 would not fit in memory.
        digests: (N, 32) uint8, sha256 of each image's pixels.
        unreadable: names of images that cannot be used, each with the reason.
        duplicates: names of images with the same pixels as an earlier one; they are left out.
        sizes: how many images have each (height, width).
    """

    features: torch.Tensor
    digests: NDArray[np.uint8]
    unreadable: dict[str, str] = field(default_factory=dict)
    duplicates: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)


def memory_bytes(images: int, patches: int, dims: int, dtype: torch.dtype) -> int:
    """Peak memory of a build: the features, the share of them a fold copies, and the process itself."""
    return 2 * images * patches * dims * dtype.itemsize + _RUNTIME_BYTES


def collect(
    extractor: FeatureExtractor,
    frames: Iterable[NamedFrame],
    total: int,
    limit_bytes: int,
    step: Callable[[int], None],
) -> Collection:
    """Read, digest and extract, a few images at a time.

    Args:
        extractor: makes the features.
        frames: every image with its name.
        total: the most images there can be.
        limit_bytes: how much memory the whole build may take.
        step: told how many images are done.

    Raises:
        InputError: the features of so many images do not fit.
    """
    height, width, dims = extractor.shape()
    dtype = feature_dtype(total, height * width, dims, limit_bytes)
    kept = Collection(
        torch.empty((total, height, width, dims), dtype=dtype, device=extractor.device),
        np.empty((total, 32), dtype=np.uint8),
    )
    done = 0
    seen: set[bytes] = set()
    for batch in _batches(frames):
        kept.unreadable |= {name: frame for name, frame in batch if isinstance(frame, str)}
        fresh = [
            frame for name, frame in batch if not isinstance(frame, str) and _is_new(name, frame, seen, kept)
        ]
        if fresh:
            end = done + len(fresh)
            kept.features[done:end] = extractor(fresh).to(dtype)
            kept.digests[done:end] = [pixel_digest(frame) for frame in fresh]
            done = end
        step(done + len(kept.unreadable) + len(kept.duplicates))
    kept.features, kept.digests = kept.features[:done], kept.digests[:done]
    return kept


def pixel_digest(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """sha256 (32,) uint8 of an image's size and pixels, whatever file format they came in."""
    sha = hashlib.sha256(str(frame.shape).encode())
    sha.update(np.ascontiguousarray(frame).data)
    return np.frombuffer(sha.digest(), dtype=np.uint8)


def _is_new(name: str, frame: NDArray[np.uint8], seen: set[bytes], kept: Collection) -> bool:
    digest = pixel_digest(frame).tobytes()
    if digest in seen:
        kept.duplicates.append(name)
        return False
    seen.add(digest)
    kept.sizes[frame.shape[0], frame.shape[1]] += 1
    return True


def feature_dtype(images: int, patches: int, dims: int, limit_bytes: int) -> torch.dtype:
    """The most precise type in which so many features fit.

    Raises:
        InputError: none does.
    """
    for dtype in (torch.float32, torch.float16):
        if memory_bytes(images, patches, dims, dtype) <= limit_bytes:
            return dtype
    needed = memory_bytes(images, patches, dims, torch.float16)
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
