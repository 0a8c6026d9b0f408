"""The searches of the OpenVINO pipeline: each proposes a few rows a patch, which the caller reranks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class CandidateIndex(Protocol):
    """Proposes rows of a bank."""

    kind: str
    """Its name in settings and logs."""
    approximate: bool
    """Whether it may miss the nearest row by design."""
    proposed: int
    """Rows proposed for each query."""

    def search(self, queries: NDArray[np.float32]) -> NDArray[np.int32]:
        """Propose rows.

        Args:
            queries: (Q, D) float32, an image's patches.

        Returns:
            (Q, proposed) int32, best first.
        """
