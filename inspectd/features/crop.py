"""The part of a frame that is looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Region = tuple[float, float, float, float]
"""Left, top, width and height as shares of the frame."""


def cropped(frame: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """The region of a frame (H, W, 3), at least one pixel of it, as a view."""
    height, width = frame.shape[:2]
    left, top = min(int(region[0] * width), width - 1), min(int(region[1] * height), height - 1)
    right = max(left + 1, round((region[0] + region[2]) * width))
    bottom = max(top + 1, round((region[1] + region[3]) * height))
    return frame[top:bottom, left:right]
