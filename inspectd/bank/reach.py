"""Distance of a threshold from the scores of a bank's good images; refuses one that cannot be meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.bank.answers import aside_mask
from inspectd.bank.file import GOOD_SCORES, BankFile, read_bank
from inspectd.errors import BankError, CheckAboveError, InputError, ThresholdError

FURTHEST: Final = 10.0
"""Times as far above the median of the good scores as the highest of them. The strongest defect of the
development sets is 5 times as far, so a threshold at 10 times passes every one of their defects."""
_FAR: Final = 3.0
"""As many times beyond which people are warned: far more than the highest good image of a sound bank."""


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
        highest_odd: of the bank's manifest.
    """

    threshold: float
    images: int
    above: int
    median: float
    left_out: int
    highest: float
    times: float
    highest_odd: float | None = None

    @property
    def too_far(self) -> bool:
        """Whether the threshold cannot be meant: it would pass defects far clearer than any good part."""
        return self.times > FURTHEST

    @property
    def is_blind(self) -> bool:
        """Whether nothing can fail by it, as far as the bank was tried with pictures unlike good parts."""
        return self.highest_odd is not None and not self.highest_odd > self.threshold

    @property
    def problem(self) -> str:
        """Why nobody can mean the threshold; empty: somebody can."""
        if self.too_far:
            return f"that is {self.times:.3g} times as far above the median as the highest score"
        return nothing_above(self.threshold, self.highest_odd) if self.is_blind else ""

    @property
    def warning(self) -> str:
        """What to look at where the threshold may not be meant; empty: nothing."""
        if self.is_blind and not self.too_far:
            return f"{nothing_above(self.threshold, self.highest_odd)}; leave it out for the bank's own"
        if self.times <= _FAR:
            return ""
        return (
            f"threshold {self.threshold:.6g} lies {self.times:.3g} times as far above the median of the good "
            f"images as the highest of them, {self.highest:.4g}: defects that score up to it pass; leave it "
            "out for the bank's own, or calibrate the bank"
        )

    def __str__(self) -> str:
        """For people."""
        left_out = f", {self.left_out} unlike the rest left out" if self.left_out else ""
        return (
            f"threshold {self.threshold:.6g}: {self.above} of the bank's {self.images} good images score "
            f"above it; their median is {self.median:.4g}, their highest {self.highest:.4g}{left_out}"
        )

    def refusal(self) -> str:
        """The reason for refusing it, and what to do."""
        why = (
            f"The threshold lies {self.times:.3g} times as far above the median as the highest, expected at "
            f"most {FURTHEST:g} times, or clear defects would pass"
        )
        if not self.too_far:
            why = f"By it {nothing_above(self.threshold, self.highest_odd)}"
        return (
            f"{self}. {why}: correct it, leave it out for the bank's own, build or calibrate the bank again, "
            "or set accept_threshold = true in the recipe"
        )


def nothing_above(threshold: float, highest: float | None) -> str:
    """What a threshold does above which no odd picture scores, for people."""
    at_most = "have no finite score" if highest is None else f"score {highest:.6g} at most"
    return (
        f"no picture scores above the threshold {threshold:.6g}: noise, black, white, turned around and with "
        f"large blots {at_most}, so no defect could fail"
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
        highest_odd=bank.manifest.highest_odd,
    )


def refuse_unmeant(path: Path, bank: BankFile, threshold: float) -> None:
    """Refuse to store a threshold that no line would start with; the bank stays as it is.

    Args:
        path: the bank file, for messages.
        bank: what it holds.
        threshold: the one to store.

    Raises:
        InputError: it is one.
    """
    reach = reach_of(bank, threshold)
    if reach is not None and reach.too_far:
        raise InputError(
            f"{path} is unchanged. {reach}. It would lie {reach.times:.3g} times as far above the median as "
            "the highest, so clear defects would pass: are all these parts good, and is the camera as it was?"
        )
    if reach is not None and reach.is_blind:
        raise InputError(
            f"{path} is unchanged: {nothing_above(threshold, reach.highest_odd)}; are all these parts good, "
            "and does the bank tell defects from them?"
        )


def admit_threshold(recipe: config.Recipe, bank: BankFile | None = None) -> Reach:
    """Distance of a recipe's threshold from its bank's good scores; refused where nobody can mean it.

    Args:
        recipe: of a bank and a threshold.
        bank: what its bank's file holds; None: it is read.

    Raises:
        ThresholdError: it is too far, or nothing can fail by it, and the recipe does not accept that.
        CheckAboveError: `check_above` does not lie below it.
        BankError: the bank cannot be used.
    """
    reach = reach_of(read_bank(Path(recipe.bank)) if bank is None else bank, recipe.threshold)
    if reach is None:
        raise BankError(
            f"bank {recipe.bank}: does not hold the scores of its own images, so its threshold cannot be "
            "checked against them; build it again"
        )
    if reach.problem and not recipe.accept_threshold:
        whose = f"bank {recipe.bank}: " if recipe.threshold is None else ""
        raise ThresholdError(f"recipe {recipe.name}: {whose}{reach.refusal()}")
    if recipe.check_above is not None and not recipe.check_above < reach.threshold:
        whose = "the bank's" if recipe.threshold is None else "its"
        raise CheckAboveError(
            f"recipe {recipe.name}: check_above is {recipe.check_above:g}, expected below {whose} threshold, "
            f"{reach.threshold:g}: passed parts above it are marked, and above the threshold none passes"
        )
    return reach
