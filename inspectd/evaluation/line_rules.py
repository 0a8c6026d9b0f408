"""Which pictures a line would judge by a bank: no other may set a threshold, nor count as an escape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.wire import Reason

_SIZES_NAMED: Final = 3


@dataclass(frozen=True)
class LineRules:
    """What a recipe says of the frames that are judged.

    Attributes:
        any_size: frames of sizes that the bank was not built from are judged.
        quality_off: reasons that do not count.
    """

    any_size: bool = False
    quality_off: frozenset[Reason] = field(default_factory=frozenset)

    @classmethod
    def of(cls, *, any_size: bool, quality_off: Sequence[str]) -> Self:
        """By settings of a recipe."""
        return cls(any_size, frozenset(Reason(f"quality_{each}") for each in quality_off))

    def why_not_judged(self, scorer: Scorer, frame: NDArray[np.uint8]) -> str | None:
        """Why a line that scores with this would call a frame undecidable, for people; None: it judges it.

        Args:
            scorer: of the bank.
            frame: (H, W, 3) uint8 BGR.
        """
        sizes = scorer.info.image_sizes
        height, width = frame.shape[:2]
        if sizes and not self.any_size and (height, width) not in sizes:
            named = ", ".join(f"{across}x{down}" for down, across in sizes[:_SIZES_NAMED])
            more = f" and {len(sizes) - _SIZES_NAMED} more" if len(sizes) > _SIZES_NAMED else ""
            return (
                f"is {width}x{height}, the bank was built from {named}{more}: a line calls it undecidable "
                "(format) unless its recipe says any_size = true"
            )
        if scorer.check is None:
            return None
        measures = scorer.check.measure(frame)
        beyond = scorer.check.beyond(measures, self.quality_off)
        reason = scorer.check.reason(beyond)
        if reason is None:
            return None
        return f"a line calls it undecidable ({reason}): {scorer.check.described(beyond, measures)}"


BY_DEFAULT: Final = LineRules()
"""Of a recipe that says nothing of it."""
