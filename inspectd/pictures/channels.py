"""Grey pictures among those of three channels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def as_bgr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`(H, W, 3) uint8 BGR` of such a picture or of a grey one, `(H, W, 1)`: three equal channels."""
    return pixels if pixels.shape[2] == 3 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
