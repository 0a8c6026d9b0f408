"""Blocks of places, each with a list of the rows that are usually nearest there. No torch here."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 4
"""Places along each side of a block."""
_FEWEST_DISTANCES: Final = 5_000_000
"""Patches of an image times rows of a bank."""
_FEWEST_PATCHES: Final = 600
"""Eight times the 75 that a score rests on: of the 256 on a coarse grid a good part takes two in three."""


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


def pays(patches: int, rows: int) -> bool:
    """Whether lists make a search faster, for an image of so many patches and a bank of so many rows."""
    return patches >= _FEWEST_PATCHES and patches * rows >= _FEWEST_DISTANCES


def list_length(rows: int) -> int:
    """Rows in a block's list, for a bank of so many."""
    return min(max(256, rows // 40), 1024, max(1, rows // 8))
