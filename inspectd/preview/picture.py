"""Makes a frame small, and a JPEG of it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_JPEG_BYTES: Final = 150_000
"""A record of this size, with a heat, fits between processes whatever the kernel's limits are set to."""

cv2.setNumThreads(1)  # the process has other cores for nobody

_TALLEST: Final = 2
"""Times as high as it may be wide: what a line-scan camera delivers."""


def small_jpeg(pixels: NDArray[np.uint8], width_px: int, quality: int) -> tuple[bytes, int, int]:
    """A JPEG of a picture, and its height and width.

    It is halved, and never resized: that takes ten times as long for a picture of 5 megapixels.

    Args:
        pixels: (H, W, 3) uint8 BGR, or (H, W, 1), which stays grey; may be a part of a frame.
        width_px: it is at most so wide, and at most twice as high.
        quality: of the JPEG, 1 to 100.
    """
    while pixels.shape[1] > width_px or pixels.shape[0] > _TALLEST * width_px:
        pixels = halved(pixels)
    while len(data := _encoded(pixels, quality)) > MAX_JPEG_BYTES:
        pixels = halved(pixels)
    return data, pixels.shape[0], pixels.shape[1]


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each pixel the mean of four, `(H // 2, W // 2, C) uint8`; a side of one pixel stays."""
    height, width, channels = pixels.shape
    size = max(1, width // 2), max(1, height // 2)
    even = pixels[: max(1, height // 2 * 2), : max(1, width // 2 * 2)]
    return np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_AREA), np.uint8).reshape(
        size[1], size[0], channels
    )


def _encoded(pixels: NDArray[np.uint8], quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    assert done, "OpenCV cannot encode JPEG"
    return bytes(data)
