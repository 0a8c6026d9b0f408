"""The part of every picture that is scored. No OpenCV here: scoring does without."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Region = tuple[float, float, float, float]
"""Left, top, width and height as shares of the frame."""


def is_same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether pictures of these heights and widths may be one in two scales, with its sides rounded."""
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def pixels_of(region: Region | None, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the region of a frame, at least one of each; None: all."""
    if region is None:
        return slice(0, height), slice(0, width)
    left, top = min(int(region[0] * width), width - 1), min(int(region[1] * height), height - 1)
    right = max(left + 1, round((region[0] + region[2]) * width))
    bottom = max(top + 1, round((region[1] + region[3]) * height))
    return slice(top, min(bottom, height)), slice(left, min(right, width))


def cropped(frame: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """The region of a frame (H, W, C), at least one pixel of it, as a view."""
    return frame[pixels_of(region, *frame.shape[:2])]
