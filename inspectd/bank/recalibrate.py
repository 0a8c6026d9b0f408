"""Gives a bank a new threshold that keeps a stated promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.bank.calibrate import Calibration, Interval, calibrate, interval
from inspectd.bank.collect import pixel_digest
from inspectd.bank.images import named_image
from inspectd.bank.manifest import GOOD_SCORES, IMAGE_DIGESTS
from inspectd.bank.scorer import Scorer
from inspectd.bank.store import BankFile, read_bank, write_bank
from inspectd.errors import InputError

Progress = Callable[[str, int, int], None]


class Recalibration(msgspec.Struct, frozen=True):
    """What came of it."""

    calibration: Calibration
    from_the_bank: int
    """Scores that are the bank's own cross-fitted ones, of images it was built from."""
    skipped: dict[str, str]
    """Images that cannot be used, each with the reason."""
    escapes: Interval | None
    """Defective images at or below the threshold."""
    written: bool


@dataclass(frozen=True)
class _Scores:
    values: NDArray[np.float64]
    from_the_bank: int
    skipped: dict[str, str]


def recalibrate(
    path: Path,
    good: Sequence[Path] | None,
    defects: Sequence[Path],
    false_reject_rate: float,
    *,
    device: str,
    progress: Progress,
    write: bool,
) -> Recalibration:
    """Find the threshold for a false-reject rate from good images that the bank has not seen.

    An image the bank was built from never gets its score from that bank, which knows it: the score it
    had when it was left out stands for it.

    Args:
        path: the bank file.
        good: images of good parts; None: those the bank was built from.
        defects: images of defective parts; with them the escape rate is told.
        false_reject_rate: the rate asked for, between 0 and 1.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: told how many images are done.
        write: store the threshold, if the images show the rate.

    Raises:
        BankError: the bank cannot be used.
        InputError: no image can be read, or the rate is none.
    """
    if not 0 < false_reject_rate < 1:
        raise InputError(
            f"--false-reject-rate: got {false_reject_rate}, expected a share between 0 and 1, such as 0.01"
        )
    bank = read_bank(path)
    scorer = Scorer.load(path, device) if good is not None or defects else None
    known = _known(bank)
    scores = _Scores(np.array(list(known.values())), len(known), {})
    if good is not None and scorer is not None:
        scores = _score(scorer, good, known, "good", progress)
    if not len(scores.values):
        raise InputError("no good image can be read, expected some; hundreds show a useful rate")
    result = calibrate(scores.values, false_reject_rate)
    escapes = None
    if defects and scorer is not None:
        found = _score(scorer, defects, {}, "defective", progress)
        escapes = interval(int((found.values <= result.threshold).sum()), len(found.values))
    written = write and result.achieved
    if written:
        basis = f"rate {result.shown_rate:.3%} shown at 95 % by {result.images} good images"
        manifest = msgspec.structs.replace(bank.manifest, threshold=result.threshold, threshold_basis=basis)
        write_bank(path, manifest, bank.tensors)
    return Recalibration(result, scores.from_the_bank, scores.skipped, escapes, written)


def _known(bank: BankFile) -> dict[bytes, float]:
    """The cross-fitted score of each image the bank was built from, by the digest of its pixels."""
    digests, scores = bank.tensors.get(IMAGE_DIGESTS), bank.tensors.get(GOOD_SCORES)
    if digests is None or scores is None:
        return {}
    return {digest.tobytes(): float(score) for digest, score in zip(digests, scores, strict=True)}


def _score(
    scorer: Scorer, paths: Sequence[Path], known: dict[bytes, float], step: str, progress: Progress
) -> _Scores:
    values: list[float] = []
    skipped: dict[str, str] = {}
    own = 0
    for done, path in enumerate(paths, start=1):
        name, frame = named_image(path, scorer.info.bit_depth)
        if isinstance(frame, str):
            skipped[name] = frame
        elif (score := known.get(pixel_digest(frame).tobytes())) is not None:
            values.append(score)
            own += 1
        else:
            values.append(scorer.score([frame])[0].image_score)
        progress(step, done, len(paths))
    return _Scores(np.array(values, dtype=np.float64), own, skipped)
