"""What every search on a CPU's fast path offers: a few rows a patch, which the caller measures again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

_SPARE: Final = 3


@dataclass(frozen=True)
class Wanted:
    """How many nearest rows are after, and how many candidates are proposed to find them among."""

    neighbours: int
    candidates: int


def wanted(neighbours: int, rows: int) -> Wanted:
    """A few spare candidates, as far as the bank has them, for kinds that order near rows at random."""
    return Wanted(min(neighbours, rows), min(neighbours + _SPARE, rows))


class Candidates(Protocol):
    """Proposes rows of a bank."""

    kind: str
    """What it is called in settings and logs."""
    approximate: bool
    """Whether it may miss the nearest row by design."""
    proposed: int
    """Rows proposed for each query."""

    def find(self, queries: NDArray[np.float32]) -> NDArray[np.int32]:
        """Propose rows.

        Args:
            queries: (Q, D) float32, an image's patches.

        Returns:
            (Q, proposed) int32, best first.
        """
