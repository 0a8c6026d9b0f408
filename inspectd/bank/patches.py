"""The patches of many images as one list of points, in memory that other processes may see too."""

from __future__ import annotations

import math
import os
from typing import Final, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.errors import UnavailableError

FeatureType = Literal["float32", "float16"]
_TYPES: Final[dict[FeatureType, torch.dtype]] = {"float32": torch.float32, "float16": torch.float16}


class SharedFeatures:
    """Features in memory without a name, which a process that is given its descriptor sees as well.

    Args:
        fd: of the memory; owned from now on.
        shape: N, h, w and D.
        kind: of the values.
    """

    def __init__(self, fd: int, shape: tuple[int, int, int, int], kind: FeatureType) -> None:
        self.fd = fd
        self.shape = shape
        self.kind = kind
        flat = torch.from_file(f"/proc/self/fd/{fd}", shared=True, size=math.prod(shape), dtype=_TYPES[kind])
        self.tensor = flat.reshape(shape)

    @classmethod
    def make(cls, shape: tuple[int, int, int, int], dtype: torch.dtype) -> Self:
        """Memory for features; it takes up room as it is written to.

        Raises:
            UnavailableError: the machine has none.
        """
        kind: FeatureType = "float16" if dtype == torch.float16 else "float32"
        size = math.prod(shape) * dtype.itemsize
        try:
            fd = os.memfd_create("inspectd-features", os.MFD_CLOEXEC)
            os.ftruncate(fd, size)
        except OSError as error:
            raise UnavailableError(
                f"no memory for features of {size / 1e9:.1f} GB: {error.strerror}"
            ) from error
        return cls(fd, shape, kind)

    def close(self) -> None:
        """Give up the descriptor; the memory goes with the last tensor in it."""
        os.close(self.fd)


def left_out_slices(left_out: list[int], first: int, stop: int, each: int) -> list[slice]:
    """Where the patches of some images lie among those of images `first` to `stop` - 1, of so many each."""
    return [
        slice((image - first) * each, (image - first + 1) * each)
        for image in left_out
        if first <= image < stop
    ]


class Patches:
    """Patches of images, numbered image by image, and within one row by row.

    Args:
        features: (N, h, w, D) float32 or float16.
        mask: (h, w) bool, the places whose patches count; None: all.
    """

    def __init__(self, features: torch.Tensor, mask: torch.Tensor | None) -> None:
        self._images = features.flatten(1, 2)
        self._places = None if mask is None else torch.nonzero(mask.flatten()).flatten()
        self.each = self._images.shape[1] if self._places is None else len(self._places)
        """Patches of an image."""

    def of_images(self, first: int, stop: int) -> torch.Tensor:
        """(n, D), those of some images behind each other; a view where all places count."""
        images = self._images[first:stop]
        return (images if self._places is None else images[:, self._places]).flatten(0, 1)

    def values(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """(n, D) float32, some of them by their numbers."""
        images, places = (torch.from_numpy(part) for part in np.divmod(rows, self.each))
        return self._images[images, places if self._places is None else self._places[places]].float()
