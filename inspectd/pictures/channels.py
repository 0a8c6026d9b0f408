"""Grey pictures among those of three channels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.pictures.depth import PictureError


def as_bgr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`(H, W, 3) uint8 BGR` of such a picture or of a grey one, `(H, W, 1)`: three equal channels."""
    return pixels if pixels.shape[2] == 3 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)


def as_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`(H, W, 1) uint8` of a `(H, W, 3)` picture with three equal channels, as a grey camera gives it.

    Raises:
        PictureError: it has colours.
    """
    grey = np.ascontiguousarray(pixels[:, :, :1])
    if (pixels != grey).any():
        raise PictureError("shows colours, expected a grey picture (colour = false)")
    return grey
