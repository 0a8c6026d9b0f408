"""Refuses banks under which nothing can fail, whatever is shown to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.built import Built
from inspectd.bank.file import GOOD_SCORES
from inspectd.errors import InputError
from inspectd.model.options import IMPORTED
from inspectd.records import NAN_SCORE

_ENDLESS_MODEL: Final = "expected none; is --preprocessing that of the model's training?"
_ENDLESS_BANK: Final = "expected none; take another backbone, layers or weights"
_BLIND_MODEL: Final = (
    "the model's values are cut off there (export it without normalisation, docs/import.md), it was hardly "
    "trained, or they fall with defects (--lower-is-worse)"
)
_BLIND_BANK: Final = (
    "expected a bank that tells them from good parts: build one with more rows (--coreset, --bank-mb), or "
    "without --option reweight=true"
)


def refuse_blind(built: Built, frame: NDArray[np.uint8]) -> None:
    """Refuse a bank that gives no numbers, or under which no picture scores above the threshold.

    The score of an imported model is cut off at the top, as anomalib's normalised one is at 1, or is the
    wrong way round. A bank of one row gives every picture 0, where scores are weighted by its neighbours.

    Args:
        built: the bank, of which nothing is written yet.
        frame: (H, W, 3) uint8 BGR, a good image.

    Raises:
        InputError: it is one.
    """
    is_imported = built.manifest.detector == IMPORTED
    scores = built.arrays[GOOD_SCORES]
    endless = int((~np.isfinite(scores) | (scores >= NAN_SCORE)).sum())
    if endless:
        raise InputError(
            f"{endless} of {len(scores)} good images make the model give values that are not finite: "
            f"{_ENDLESS_MODEL if is_imported else _ENDLESS_BANK}"
        )
    answers = [built.held_out.score([odd])[0].image_score for odd in _odd_pictures(frame)]
    # One that is not finite would fail, and tell nothing of defects.
    highest = max((score for score in answers if score < NAN_SCORE), default=-math.inf)
    if not highest > built.manifest.threshold:
        raise InputError(
            f"no picture scores above the threshold {built.manifest.threshold:.6g}: noise, black, white, "
            f"turned around and with large blots score {highest:.6g} at most, so no defect could fail; "
            f"{_BLIND_MODEL if is_imported else _BLIND_BANK}"
        )


def _odd_pictures(frame: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Pictures unlike good parts: some of nothing, and a good image (H, W, 3) uint8 BGR, spoilt."""
    noise = np.random.default_rng(0).integers(0, 256, frame.shape, np.uint8)
    black = np.zeros_like(frame)
    yield from (noise, black, ~black, ~frame, np.ascontiguousarray(frame[::-1]))
    height, width = frame.shape[:2]
    for row, column in np.ndindex(2, 2):
        for paint in (black, ~black, noise):
            spoilt, at = frame.copy(), (slice(row * height // 2, None), slice(column * width // 2, None))
            blot = spoilt[at][: max(1, height // 4), : max(1, width // 4)]
            blot[:] = paint[: blot.shape[0], : blot.shape[1]]
            yield spoilt
