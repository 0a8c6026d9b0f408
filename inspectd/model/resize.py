"""The resize of frames to the network's input, of banks and lines alike: Pillow's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inspectd.pictures.region import Region, cropped


def resized(frame: NDArray[np.uint8], height: int, width: int, region: Region | None) -> NDArray[np.uint8]:
    """Resize a frame to the network's input: bilinear with antialiasing, rounded between the two axes.

    Torch's own, for uint8 on a CPU, has weights of 15 bits: where the sizes have a simple ratio it ends on
    the other side of a half in one value of twenty-five.

    Args:
        frame: (H, W, 3) uint8 BGR or (H, W, 1); may be a view into shared memory.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        region: left, top, width and height of the region, as shares of the frame; None: all of it.

    Returns:
        (height, width, 3) uint8 BGR, contiguous.
    """
    if region is not None:
        frame = cropped(frame, region)
    if frame.shape[:2] != (height, width):
        image = Image.fromarray(np.ascontiguousarray(frame if frame.shape[2] == 3 else frame[:, :, 0]))
        # Along rows first: Pillow chooses an order by size, and each order rounds differently.
        narrowed = image.resize((width, image.height), Image.Resampling.BILINEAR)
        frame = np.asarray(narrowed.resize((width, height), Image.Resampling.BILINEAR))
        frame = frame.reshape(height, width, -1)
    return np.ascontiguousarray(np.broadcast_to(frame, (height, width, 3)))
