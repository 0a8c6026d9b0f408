"""Refuses banks under which nothing can fail, whatever is shown to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.bank.built import Built
from inspectd.bank.file import GOOD_SCORES
from inspectd.bank.reach import nothing_above
from inspectd.errors import InputError
from inspectd.model.options import IMPORTED
from inspectd.model.score import Scoring
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


def highest_odd(held_out: Scoring, frame: NDArray[np.uint8]) -> float | None:
    """The highest score of pictures unlike good parts; None: none is finite.

    One that is not finite would fail, and tell nothing of defects.

    Args:
        held_out: scores as a bank does, without some of its images.
        frame: (H, W, 3) uint8 BGR, a good image.
    """
    scores = (held_out.score([odd])[0].image_score for odd in _odd_pictures(frame))
    return max((float(score) for score in scores if score < NAN_SCORE), default=None)


def refuse_blind(built: Built) -> None:
    """Refuse a bank that gives no numbers, or under which no picture scores above the threshold.

    The score of an imported model is cut off at the top, as anomalib's normalised one is at 1, or is the
    wrong way round. A bank of one row gives every picture 0, where scores are weighted by its neighbours.

    Args:
        built: the bank, of which nothing is written yet.

    Raises:
        InputError: it is one.
    """
    manifest, scores = built.manifest, built.arrays[GOOD_SCORES]
    is_imported = manifest.detector == IMPORTED
    endless = int((~np.isfinite(scores) | (scores >= NAN_SCORE)).sum())
    if endless:
        raise InputError(
            f"{endless} of {len(scores)} good images make the model give values that are not finite: "
            f"{_ENDLESS_MODEL if is_imported else _ENDLESS_BANK}"
        )
    if manifest.highest_odd is None or not manifest.highest_odd > manifest.threshold:
        raise InputError(
            f"{nothing_above(manifest.threshold, manifest.highest_odd)}; "
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
