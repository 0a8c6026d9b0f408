"""A person's answers about images of a bank: which of those unlike the rest are good after all.

The scoring process reads this too: no torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, IMAGE_PARTS, BankFile, Manifest, Outlier
from inspectd.bank.threshold import counted_scores, find_threshold, outliers
from inspectd.errors import BankError, InputError

SHORT: Final = 12
"""Digits of a sha256 that name an image for people."""


def aside_mask(bank: BankFile) -> NDArray[np.bool_]:
    """Mask (n,) of the bank's good scores that do not count: unlike the rest, and not accepted."""
    scores: NDArray[np.float64] = bank.tensors[GOOD_SCORES]
    accepted = {image.sha256 for image in bank.manifest.outliers if image.status == "accepted"}
    mask = outliers(scores)
    if accepted:
        mask &= [digest not in accepted for digest in digests_of(bank)]
    return mask


def scores_that_count(bank: BankFile) -> NDArray[np.float64]:
    """The bank's good scores (m,) that count for a threshold: one of each part, none that is set aside."""
    return counted_scores(bank.tensors[GOOD_SCORES], aside_mask(bank), bank.tensors.get(IMAGE_PARTS))


def digests_of(bank: BankFile) -> list[str]:
    """The sha256 of each image, in hexadecimal and in the order of their scores; empty: not recorded."""
    return [digest.tobytes().hex() for digest in bank.tensors.get(IMAGE_DIGESTS, ())]


def outliers_of(bank: BankFile) -> dict[int, Outlier]:
    """The bank's images unlike the rest, by their row; those of a bank that did not record them are open."""
    digests, known = digests_of(bank), {image.sha256: image for image in bank.manifest.outliers}
    scores = bank.tensors[GOOD_SCORES]
    return {
        int(row): known.get(digests[row]) or Outlier(digests[row][:SHORT], digests[row], float(scores[row]))
        for row in np.flatnonzero(outliers(scores))
        if digests
    }


def row_of(path: Path, bank: BankFile, sha256: str, word: str) -> int:
    """The row of the image whose pixels have a sha256 that begins so.

    Args:
        path: the bank file, for messages.
        bank: its content.
        sha256: the first digits, or all, in lower case.
        word: what the user called the image.

    Raises:
        BankError: the bank does not record its images.
        InputError: none of them, or more than one, is meant.
    """
    digests = digests_of(bank)
    if not digests:
        raise BankError(f"bank {path}: does not record the images it was built from; build it again")
    rows = [row for row, digest in enumerate(digests) if digest.startswith(sha256)]
    if len(rows) != 1:
        found = "more than one" if rows else "none"
        raise InputError(
            f"{word}: {found} of the {len(digests)} images of bank {path} has a sha256 that begins with "
            f"{sha256[:SHORT]}, expected one; `inspectd bank show` lists those unlike the rest"
        )
    return rows[0]


def refuse_other_rule(path: Path, bank: BankFile, advice: str) -> None:
    """Refuse a bank whose threshold is not that of the default rule: nobody is to lose it unasked.

    Raises:
        InputError: it was set by calibrate, or by the rule of an earlier version.
    """
    manifest = bank.manifest
    by_rule = find_threshold(bank.tensors[GOOD_SCORES], aside_mask(bank), bank.tensors.get(IMAGE_PARTS)).value
    if manifest.is_calibrated or not math.isclose(by_rule, manifest.threshold, rel_tol=1e-9):
        whose = "was set by calibrate" if manifest.is_calibrated else "is not that of the default rule"
        raise InputError(
            f"bank {path}: its threshold {manifest.threshold:.6g} {whose} ({manifest.threshold_basis}): "
            f"expected {advice}"
        )


def accept(
    path: Path, bank: BankFile, rows: Sequence[int], threshold: Literal["keep", "default"] | None
) -> Manifest:
    """The manifest once somebody calls images unlike the rest good: they count in the threshold from now on.

    Args:
        path: the bank file, for messages.
        bank: its content.
        rows: of those images.
        threshold: keep it, or find it again by the default rule; None: find it, if that rule found it.

    Raises:
        InputError: an image is not unlike the rest, or another rule has set the threshold and it was not said
            what to do with it.
    """
    manifest, unlike, scores = bank.manifest, outliers_of(bank), bank.tensors[GOOD_SCORES]
    for row in rows:
        if row not in unlike:
            raise InputError(
                f"{digests_of(bank)[row][:SHORT]}: is not unlike the rest (score {scores[row]:.4g}), "
                f"so it counts in the threshold of bank {path} already"
            )
    if threshold is None:
        advice = "--keep-threshold to leave it, or --replace-threshold to find it by the default rule"
        refuse_other_rule(path, bank, advice)
    unlike |= {row: msgspec.structs.replace(unlike[row], status="accepted") for row in rows}
    manifest = msgspec.structs.replace(manifest, outliers=tuple(unlike.values()))
    aside = aside_mask(BankFile(manifest, bank.tensors, bank.sha256))
    if threshold == "keep":
        return manifest if aside.any() else msgspec.structs.replace(manifest, threshold_with_outliers=None)
    found = find_threshold(scores, aside, bank.tensors.get(IMAGE_PARTS))
    return msgspec.structs.replace(
        manifest,
        threshold=found.value,
        threshold_basis=found.basis,
        threshold_with_outliers=found.with_outliers,
        calibrated=False,
    )
