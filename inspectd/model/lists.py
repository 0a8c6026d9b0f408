"""Blocks of places, each with a list of the rows that are usually nearest there. No torch here."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 4
"""Places along each side of a block."""
FEWEST_DISTANCES: Final = 5_000_000
"""Patches of an image times rows of a bank; with fewer it takes no longer to measure all distances."""


def blocks(height: int, width: int) -> NDArray[np.int64]:
    """Patches (B, SIDE * SIDE) of each block of an image's (height, width) patches, counted row by row.

    At the right and lower border the last ones come more than once.
    """
    rows, columns = (
        np.minimum(np.arange(-(-length // SIDE) * SIDE), length - 1).reshape(-1, SIDE)
        for length in (height, width)
    )
    patches = rows[:, None, :, None] * width + columns[None, :, None, :]
    return patches.reshape(-1, SIDE * SIDE)


def list_length(rows: int) -> int:
    """Rows in a block's list, for a bank of so many."""
    return min(256 if rows < 50_000 else 1024, max(1, rows // 8))
