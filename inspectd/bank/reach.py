"""Distance of a threshold from the scores of a bank's good images; refuses one too far to be meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.answers import aside_mask
from inspectd.bank.file import GOOD_SCORES, BankFile

FURTHEST: Final = 10.0
"""Times as far above the median of the good scores as the highest of them. The strongest defect of the
development sets is 5 times as far, so a threshold at 10 times passes every one of their defects."""


@dataclass(frozen=True)
class Reach:
    """A threshold beside the scores that a bank's own good images had while they were left out of it.

    Attributes:
        images: good images.
        above: those that score above the threshold.
        median: of their scores.
        left_out: outliers that nobody accepted.
        highest: of the scores of all others.
        times: distance of the threshold above the median, in units of that of `highest`; infinite where all
            scores are equal and it lies above them.
    """

    threshold: float
    images: int
    above: int
    median: float
    left_out: int
    highest: float
    times: float

    @property
    def too_far(self) -> bool:
        """Whether the threshold cannot be meant: it would pass defects far clearer than any good part."""
        return self.times > FURTHEST

    def __str__(self) -> str:
        """For people."""
        left_out = f", {self.left_out} unlike the rest left out" if self.left_out else ""
        return (
            f"threshold {self.threshold:.6g}: {self.above} of the bank's {self.images} good images score "
            f"above it; their median is {self.median:.4g}, their highest {self.highest:.4g}{left_out}"
        )

    def refusal(self) -> str:
        """The reason for refusing it, and what to do."""
        return (
            f"{self}. The threshold lies {self.times:.3g} times as far above the median as the highest, "
            f"expected at most {FURTHEST:g} times, or clear defects would pass: correct it, leave it out for "
            "the bank's own, build or calibrate the bank again, or set accept_threshold = true in the recipe"
        )


def reach_of(bank: BankFile, threshold: float | None = None) -> Reach | None:
    """Reach of a threshold over a bank's good scores; None where it holds none.

    Args:
        bank: the bank.
        threshold: a recipe's; None: the bank's own.
    """
    scores: NDArray[np.float64] | None = bank.tensors.get(GOOD_SCORES)
    if scores is None:
        return None
    threshold = bank.manifest.threshold if threshold is None else threshold
    usual = scores[~aside_mask(bank)]
    median, highest = float(np.median(scores)), float(usual.max())
    # Halves, as the difference of two floats may be too large for one.
    spread, distance = highest / 2 - median / 2, threshold / 2 - median / 2
    beyond = float("inf") if distance > 0 else 0.0
    return Reach(
        threshold=threshold,
        images=len(scores),
        above=int((scores > threshold).sum()),
        median=median,
        left_out=len(scores) - len(usual),
        highest=highest,
        times=distance / spread if spread > 0 else beyond,
    )
