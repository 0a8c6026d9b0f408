"""Gives a bank a new threshold that keeps a stated promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, BankFile, read_bank, write_bank
from inspectd.bank.images import named_image
from inspectd.bank.own_images import OwnImages
from inspectd.bank.threshold import outliers
from inspectd.errors import InputError
from inspectd.evaluation.calibrate import Calibration, Interval, calibrate, interval, shown_rate

Progress = Callable[[str, int, int], None]


class Recalibration(msgspec.Struct, frozen=True):
    """Result of a recalibration."""

    calibration: Calibration
    from_the_bank: int
    """Scores that are the bank's own cross-fitted ones, of images it was built from."""
    outliers: list[str] = msgspec.field(name="unlike_the_rest")
    """Good images that score far above the others: look whether they are good."""
    outliers_count: bool
    """Whether these took part, because somebody vouched for them."""
    threshold_with_outliers: float | None
    """The threshold if they counted; None: there are none, or they do."""
    shown_rate_with_outliers: float | None
    """The rate shown for this threshold if they are good parts after all; None as above."""
    skipped: dict[str, str]
    """Images that cannot be used, each with the reason."""
    escapes: Interval | None
    """Defective images at or below the threshold."""
    defects_from_the_bank: list[str]
    """Defective images the bank was built from as good ones, judged by the scores they had when left out."""
    own_images_recorded: bool
    """Whether the bank records its images; where not, some of the others may be among them."""
    written: bool


@dataclass(frozen=True)
class _Scores:
    values: NDArray[np.float64]
    names: list[str]
    from_the_bank: list[str]
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
    keep_outliers: bool = False,
) -> Recalibration:
    """Find the threshold for a false-reject rate from good images that the bank has not seen.

    An image the bank was built from is in that bank and would score too low: the score it had when it was
    left out stands for it. Images unlike the rest are set aside: one defect among the good
    images would set a threshold that lets such defects pass.

    Args:
        path: the bank file.
        good: images of good parts; None: those the bank was built from.
        defects: images of defective parts, for the escape rate.
        false_reject_rate: the rate asked for, between 0 and 1.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with the number of images done.
        write: store the threshold, if the images show the rate.
        keep_outliers: images unlike the rest are good, and count.

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
    own_images = OwnImages.of(bank)
    scores = _of_the_bank(bank)
    if good is not None and scorer is not None:
        scores = _score(scorer, good, own_images, "good", progress)
    if not len(scores.values):
        raise InputError("no good image can be read, expected some; hundreds show a useful rate")
    outlying = outliers(scores.values)
    aside = 0 if keep_outliers else int(outlying.sum())
    result = calibrate(scores.values[~outlying] if aside else scores.values, false_reject_rate)
    with_outliers = calibrate(scores.values, false_reject_rate) if aside else None
    escapes, found = None, _Scores(np.empty(0), [], [], {})
    if defects and scorer is not None:
        found = _score(scorer, defects, own_images, "defective", progress)
        escapes = interval(int((found.values <= result.threshold).sum()), len(found.values))
    written = write and result.achieved
    if written:
        basis = f"rate {result.shown_rate:.3%} shown at 95 % by {result.images} good images"
        manifest = msgspec.structs.replace(
            bank.manifest,
            threshold=result.threshold,
            threshold_basis=f"{basis}, {aside} unlike the rest set aside" if aside else basis,
            outliers_count=keep_outliers and bool(outlying.any()),
            threshold_with_outliers=with_outliers.threshold if with_outliers else None,
        )
        write_bank(path, manifest, bank.tensors)
    above = int((scores.values > result.threshold).sum())
    return Recalibration(
        calibration=result,
        from_the_bank=len(scores.from_the_bank),
        outliers=[scores.names[row] for row in np.flatnonzero(outlying)],
        outliers_count=keep_outliers and bool(outlying.any()),
        threshold_with_outliers=with_outliers.threshold if with_outliers else None,
        shown_rate_with_outliers=shown_rate(len(scores.values), above) if aside else None,
        skipped=scores.skipped | found.skipped,
        escapes=escapes,
        defects_from_the_bank=found.from_the_bank,
        own_images_recorded=own_images.recorded,
        written=written,
    )


def _of_the_bank(bank: BankFile) -> _Scores:
    """The cross-fitted scores of the bank's own images, named where they are outliers."""
    scores, digests = bank.tensors.get(GOOD_SCORES), bank.tensors.get(IMAGE_DIGESTS)
    if scores is None:
        return _Scores(np.empty(0), [], [], {})
    named = {image.sha256: image.name for image in bank.manifest.outliers}
    keys = [f"image {row}" if digests is None else digests[row].tobytes().hex() for row in range(len(scores))]
    names = [named.get(key, key) for key in keys]
    return _Scores(scores, names, names, {})


def _score(
    scorer: Scorer, paths: Sequence[Path], own_images: OwnImages, step: str, progress: Progress
) -> _Scores:
    values: list[float] = []
    names: list[str] = []
    own: list[str] = []
    skipped: dict[str, str] = {}
    for done, path in enumerate(paths, start=1):
        name, frame = named_image(path, scorer.info.bit_depth)
        if isinstance(frame, str):
            skipped[name] = frame
        else:
            score = own_images.score(frame)
            if score is not None:
                own.append(str(path))
            values.append(scorer.score([frame])[0].image_score if score is None else score)
            names.append(str(path))
        progress(step, done, len(paths))
    return _Scores(np.array(values, dtype=np.float64), names, own, skipped)
