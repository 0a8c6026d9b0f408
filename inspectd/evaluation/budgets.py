"""The thresholds a user chooses from: one for each budget of false rejects, with what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.bank.answers import SHORT, aside_mask, outliers_of
from inspectd.bank.file import GOOD_SCORES, IMAGE_PARTS, BankFile
from inspectd.bank.threshold import FALSE_REJECT_RATE, counted_scores, default_threshold
from inspectd.evaluation.calibrate import Interval, images_needed, shown_rate

BUDGETS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05)
"""Shares of good parts that a line may be willing to reject."""


NOT_SHOWN: Final = 1.0
"""As a rate that is shown: any may be."""


class Budget(msgspec.Struct, frozen=True):
    """A threshold, and what it costs in good parts."""

    false_reject_rate: float | None
    """The budget it was found for; None: the threshold in force, which is that of none of the budgets."""
    threshold: float
    above: int
    """Good scores above it."""
    shown_rate: float
    """The false-reject rate that the scores show at 95 % confidence; `NOT_SHOWN`: they show none."""
    images_needed: int | None
    """Fewest good images that can show the budget."""
    enough: bool
    """Whether there are that many."""
    in_force: bool
    synthetic_found: Interval | None = None
    """Share of large synthetic defects that score above the threshold; None: not measured."""
    defects_pass: Interval | None = None
    """Share of the defects that were given that do not; None: none were."""


class UnlikeTheRest(msgspec.Struct, frozen=True):
    """An image unlike the rest, and what it does to the threshold of the default rule."""

    name: str
    sha256: str
    score: float
    status: str
    """`open` or `accepted`."""
    threshold_with: float
    """If it counts, and all others count or not as they do now."""
    threshold_without: float
    """If it does not."""


class Choice(msgspec.Struct, frozen=True):
    """What a user chooses from for one bank."""

    good_images: int
    """Scores that count."""
    set_aside: int
    """Images unlike the rest that nobody has accepted: they do not count."""
    budgets: list[Budget]
    unlike_the_rest: list[UnlikeTheRest]


def budgets_of(good_scores: NDArray[np.float64], in_force: float, *, is_shown: bool = True) -> list[Budget]:
    """A threshold for each budget by the default rule, and the one in force among or above them.

    Args:
        good_scores: (n,) scores of good parts, none of which is in the bank that scored it.
        in_force: the threshold in force.
        is_shown: whether they show rates; see `Manifest.shows_rates`.
    """
    found = [(rate, default_threshold(good_scores, rate)[0]) for rate in BUDGETS]
    same = [rate for rate, threshold in found if np.isclose(threshold, in_force, rtol=1e-9, atol=0.0)]
    # Few images have the same threshold for several budgets: the largest of their scores.
    mine = FALSE_REJECT_RATE if FALSE_REJECT_RATE in same else max(same, default=None)
    rows = [_budget(good_scores, rate, threshold, in_force=rate == mine) for rate, threshold in found]
    rows = rows if same else [_budget(good_scores, None, in_force, in_force=True), *rows]
    return rows if is_shown else [msgspec.structs.replace(row, shown_rate=NOT_SHOWN) for row in rows]


def choice_of(bank: BankFile) -> Choice:
    """The thresholds to choose from for a bank, by the scores of its images while they were left out."""
    scores, aside, parts = bank.tensors[GOOD_SCORES], aside_mask(bank), bank.tensors.get(IMAGE_PARTS)
    unlike = []
    for row, image in outliers_of(bank).items():
        thresholds = []
        for is_aside in (False, True):
            mask = aside.copy()
            mask[row] = is_aside
            thresholds.append(default_threshold(counted_scores(scores, mask, parts))[0])
        unlike.append(UnlikeTheRest(image.name, image.sha256, image.score, image.status, *thresholds))
    counted = counted_scores(scores, aside, parts)
    budgets = budgets_of(counted, bank.manifest.threshold, is_shown=bank.manifest.shows_rates)
    return Choice(len(counted), int(aside.sum()), budgets, unlike)


def smallest_shown(images: int, least: float) -> float | None:
    """The smallest budget, from `least` on, that so many good images can show; None: they show none."""
    rates = [rate for rate in BUDGETS if rate >= least and images_needed(rate) <= images]
    return min(rates, default=None)


FOUND_MEANS: Final = (
    "Defects found: of large synthetic ones, drawn into images while those were left out of the bank"
)


def table_of(budgets: Sequence[Budget], images: int) -> list[tuple[str, ...]]:
    """The table for people, its headings first; of `images` good images."""
    measured = {
        "defects found": [_share(row.synthetic_found) for row in budgets],
        "defects pass": [_number(row.defects_pass) for row in budgets],
    }
    measured = {heading: cells for heading, cells in measured.items() if any(cells)}
    headings = ("budget", "threshold", "good above", "shown at 95 %", *measured, "")
    rows = [_cells(row, images) for row in budgets]
    for number, row in enumerate(rows):
        row[-1:-1] = [cells[number] for cells in measured.values()]
    return [headings, *map(tuple, rows)]


def _cells(row: Budget, images: int) -> list[str]:
    budget = "in force" if row.false_reject_rate is None else f"{100 * row.false_reject_rate:g} %"
    notes = ["in force"] if row.in_force and row.false_reject_rate is not None else []
    if not row.enough:
        notes.append(f"needs {row.images_needed} images")
    shown = "not shown" if row.shown_rate == NOT_SHOWN else f"at most {row.shown_rate:.2%}"
    return [budget, f"{row.threshold:.4f}", f"{row.above} of {images}", shown, ", ".join(notes)]


def _share(share: Interval | None) -> str:
    return "" if share is None else f"{share.share:.0%} ({share.low:.0%}-{share.high:.0%})"


def _number(share: Interval | None) -> str:
    return "" if share is None else f"{share.count} of {share.total}"


UNLIKE_HEADINGS: Final = ("image", "sha256", "score", "status", "threshold with it", "without it")
"""Of `unlike_cells`."""


def unlike_cells(image: UnlikeTheRest) -> tuple[str, ...]:
    """A row of the table of images unlike the rest for people, as many cells as `UNLIKE_HEADINGS`."""
    thresholds = (f"{image.threshold_with:.4f}", f"{image.threshold_without:.4f}")
    return image.name, image.sha256[:SHORT], f"{image.score:.3f}", image.status, *thresholds


def _budget(
    good_scores: NDArray[np.float64], rate: float | None, threshold: float, *, in_force: bool
) -> Budget:
    images, above = len(good_scores), int((good_scores > threshold).sum())
    needed = None if rate is None else images_needed(rate)
    return Budget(
        false_reject_rate=rate,
        threshold=threshold,
        above=above,
        shown_rate=shown_rate(images, above),
        images_needed=needed,
        enough=needed is None or images >= needed,
        in_force=in_force,
    )
