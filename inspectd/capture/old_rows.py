"""Rows of a frame that are those of an earlier one: a picture that was only partly written over.

The noise of a sensor never repeats, not even within a row, so two rows that come again at their own places
are left from before. Only rows that show some noise can tell: what is clipped at black or white repeats.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SAMPLED_ROWS: Final = 32
"""What is left from before is found where it is at least a sixteenth of the picture."""
_REMEMBERED_FRAMES: Final = 64
_LEAST_REPEATS: Final = 2
_LEAST_NOISY: Final = 256
"""Values of a row that are not clipped: were every one of ten to change by noise, they would repeat once in
10^11 rows."""
_CLIPPED: Final = (8, 247)


class OldRows:
    """Remembers some rows of the last frames of one camera."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()

    def are_in(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether a frame has rows of one of the 64 before it.

        Args:
            pixels: `(H, W, channels) uint8`, frames in the order they came.
        """
        repeats = 0
        for row in range(0, pixels.shape[0], -(-pixels.shape[0] // _SAMPLED_ROWS)):
            key = row, hash(pixels[row].tobytes())
            if key in self._seen:
                repeats += _is_noisy(pixels[row])
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > _REMEMBERED_FRAMES * _SAMPLED_ROWS:
            self._seen.popitem(last=False)
        return repeats >= _LEAST_REPEATS


def _is_noisy(row: NDArray[np.uint8]) -> bool:
    low, high = _CLIPPED
    return int(np.count_nonzero((row >= low) & (row <= high))) >= _LEAST_NOISY
