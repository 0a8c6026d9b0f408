"""Gives a bank a new threshold that keeps a stated promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.bank.answers import SHORT, digests_of
from inspectd.bank.file import IMAGE_PARTS, BankFile, Manifest, good_scores, read_bank, replace_bank
from inspectd.bank.images import Pictures, digest_of, named_image
from inspectd.bank.own_images import OwnImages
from inspectd.bank.progress import Progress
from inspectd.bank.reach import refuse_unmeant
from inspectd.bank.threshold import outliers
from inspectd.errors import InputError
from inspectd.evaluation.budgets import Budget, budgets_of
from inspectd.evaluation.calibrate import Calibration, Interval, calibrate, interval, shown_rate
from inspectd.evaluation.line_rules import BY_DEFAULT, LineRules
from inspectd.pictures.parts import highest_by_part, lowest_by_part, numbered
from inspectd.records import NAN_SCORE
from inspectd.text import printable


class Recalibration(msgspec.Struct, frozen=True):
    """Result of a recalibration."""

    calibration: Calibration | None
    """None: no rate was asked for."""
    threshold_before: float
    budgets: list[Budget]
    """Thresholds to choose from, by the same scores."""
    good_images: int
    """Good parts that count, each once, by its highest score; images where each shows another part."""
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
    """Defective images at or below the threshold; parts where they are named, each by its lowest score."""
    defects_from_the_bank: list[str]
    """Defective images the bank was built from as good ones, judged by the scores they had when left out."""
    own_images_recorded: bool
    """Whether the bank records its images; where not, some of the others may be among them."""
    written: bool


@dataclass(frozen=True)
class GoodScores:
    """Scores by one bank.

    Attributes:
        values: (n,) float64.
        names: of the images or verdicts they belong to.
        sha256s: of the images' pixels, as far as they matter; the bank's accepted images are known by them.
        from_the_bank: names of images the bank was built from.
        skipped: images that cannot be used, each with the reason.
        kind: what they are of.
        parts: (n,) numbers of the parts that they show; None: each shows another.
        bank_sha256: of the bank that gave them; None: of the one they are given with.
    """

    values: NDArray[np.float64]
    names: list[str]
    sha256s: list[str] = field(default_factory=list)
    from_the_bank: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    kind: str = "good images"
    parts: NDArray[np.int64] | None = None
    bank_sha256: str | None = None

    def of_parts(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The highest score of each part, (m,), by those of a mask (n,)."""
        return highest_by_part(self.values[mask], None if self.parts is None else self.parts[mask])

    def accepted(self, manifest: Manifest) -> NDArray[np.bool_]:
        """Mask (n,) of the images that somebody has accepted as good."""
        known = {image.sha256 for image in manifest.outliers if image.status == "accepted"}
        if not self.sha256s:
            return np.zeros(len(self.values), dtype=bool)
        return np.array([sha256 in known for sha256 in self.sha256s], dtype=bool)


def recalibrate(
    path: Path,
    good: Sequence[Path] | GoodScores | None,
    defects: Sequence[Path],
    false_reject_rate: float | None,
    *,
    device: str,
    progress: Progress,
    write: bool,
    keep_outliers: bool = False,
    parts: Mapping[str, str] | None = None,
    line: LineRules = BY_DEFAULT,
) -> Recalibration:
    """Find the threshold for a false-reject rate from good images that the bank has not seen.

    An image the bank was built from is in that bank and would score too low: the score it had when it was
    left out stands for it. Images unlike the rest are set aside, unless they were accepted: one defect among
    the good images would set a threshold that lets such defects pass. Images that a line would not judge are
    left out: they say nothing of those that it does; so are copies, of which the rate knows nothing more.

    Args:
        path: the bank file.
        good: images of good parts, or their scores by this bank; None: those the bank was built from.
        defects: images of defective parts, for the escape rate.
        false_reject_rate: the rate asked for, between 0 and 1; None: only the thresholds to choose from.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with the number of images done.
        write: store the threshold, if the images show the rate.
        keep_outliers: images unlike the rest are good, and count.
        parts: the part that each image of `good` and `defects` shows, by its path; None: as the bank
            has it of its own, and each other one shows another.
        line: which images a line would judge.

    Raises:
        BankError: the bank cannot be used, or no line would judge by it as `line` says.
        InputError: no image is left, one is good and a defect, the rate is none, the file was changed
            meanwhile, nothing could fail by the threshold to store, or it lies so far above the bank's own
            good images that defects must be among these.
    """
    if false_reject_rate is not None and not 0 < false_reject_rate < 1:
        raise InputError(
            f"--false-reject-rate: got {false_reject_rate}, expected a share between 0 and 1, such as 0.01"
        )
    bank = read_bank(path)
    manifest, own_images = bank.manifest, OwnImages.of(bank)
    needs_scorer = defects or not (good is None or isinstance(good, GoodScores))
    scorer = Scorer.of(path, bank, device) if needs_scorer else None
    if scorer is not None and scorer.check is not None:
        scorer.check.admit(line.quality_off)
    scores = good if isinstance(good, GoodScores) else _of_the_bank(path, bank)
    if scores.bank_sha256 not in {None, bank.sha256}:
        raise InputError(f"bank {path}: was changed meanwhile; nothing was written, try again")
    if scorer is not None and good is not None and not isinstance(good, GoodScores):
        scores = _score(scorer, good, own_images, "good", progress, line=line)
        scores = replace(scores, parts=_parts(bank, scores, parts))
    if not len(scores.values):
        raise InputError(
            f"no good image can be used, expected some{_first(scores)}; hundreds show a useful rate"
        )
    _refuse_endless(path, scores)
    is_shown = manifest.shows_rates or not scores.from_the_bank
    if false_reject_rate is not None and not is_shown:
        raise InputError(
            f"bank {path}: {manifest.alike} of its {manifest.images} images seem to show no further part, so "
            "its own scores show no rate: expected --images of other parts, or a bank built with --parts"
        )
    outlying = outliers(scores.values) & ~scores.accepted(manifest)
    aside = 0 if keep_outliers else int(outlying.sum())
    everything = scores.of_parts(np.ones(len(scores.values), dtype=bool))
    counted = scores.of_parts(~outlying) if aside else everything
    result = with_outliers = None
    if false_reject_rate is not None:
        result = calibrate(counted, false_reject_rate)
        with_outliers = calibrate(everything, false_reject_rate) if aside else None
    threshold = manifest.threshold if result is None else result.threshold
    defective, found = None, GoodScores(np.empty(0), [])
    if defects and scorer is not None:
        found = _score(scorer, defects, own_images, "defective", progress, line=line)
        if not len(found.values):
            raise InputError(f"no defective image can be used, expected some{_first(found)}")
        if good is not None:
            _refuse_two_truths(scores, found)
        numbers = None if parts is None else numbered([parts[name] for name in found.names])
        defective = lowest_by_part(found.values, numbers)
    written = write and result is not None and result.achieved
    if written and result is not None:
        refuse_unmeant(path, bank, result.threshold)
        kind = scores.kind if scores.parts is None else scores.kind.replace("images", "parts")
        basis = f"rate {result.shown_rate:.3%} shown at 95 % by {result.images} {kind}"
        vouched = set(scores.sha256s) if keep_outliers else set()
        manifest = msgspec.structs.replace(
            manifest,
            threshold=result.threshold,
            threshold_basis=f"{basis}, {aside} unlike the rest set aside" if aside else basis,
            outliers=tuple(
                msgspec.structs.replace(image, status="accepted") if image.sha256 in vouched else image
                for image in manifest.outliers
            ),
            threshold_with_outliers=with_outliers.threshold if with_outliers else None,
            calibrated=True,
        )
        replace_bank(path, bank, manifest, bank.tensors)
    return Recalibration(
        calibration=result,
        threshold_before=bank.manifest.threshold,
        budgets=[
            msgspec.structs.replace(row, defects_pass=_passing(defective, row.threshold))
            for row in budgets_of(counted, bank.manifest.threshold, is_shown=is_shown)
        ],
        good_images=len(counted),
        from_the_bank=len(scores.from_the_bank),
        outliers=[scores.names[row] for row in np.flatnonzero(outlying)],
        outliers_count=keep_outliers and bool(outlying.any()),
        threshold_with_outliers=with_outliers.threshold if with_outliers else None,
        shown_rate_with_outliers=shown_rate(len(everything), int((everything > threshold).sum()))
        if aside
        else None,
        skipped=scores.skipped | found.skipped,
        escapes=_passing(defective, threshold),
        defects_from_the_bank=found.from_the_bank,
        own_images_recorded=own_images.recorded,
        written=written,
    )


def _passing(defects: NDArray[np.float64] | None, threshold: float) -> Interval | None:
    """Share of defects (n,) that a threshold lets pass; None: there are none."""
    return None if defects is None else interval(int((defects <= threshold).sum()), len(defects))


def _refuse_endless(path: Path, scores: GoodScores) -> None:
    """Refuse good images that have no finite score: they would carry the threshold beyond all others."""
    endless = [scores.names[row] for row in np.flatnonzero(scores.values >= NAN_SCORE)]
    if endless:
        raise InputError(
            f"bank {path}: {len(endless)} of {len(scores.values)} {scores.kind} have no finite score, "
            f"{printable(endless[0])} the first: expected none, no threshold can be taken from them; take "
            "them out if they show no part, else the bank cannot judge such parts: build or import another"
        )


def _refuse_two_truths(good: GoodScores, defects: GoodScores) -> None:
    """Refuse a picture that is good and a defect: one of them is wrong, and so would be every figure."""
    names = dict(zip(good.sha256s, good.names, strict=False))
    for sha256, name in zip(defects.sha256s, defects.names, strict=True):
        if sha256 in names:
            raise InputError(
                f"--images: {names[sha256]} and --defects: {name} are the same picture, expected it in one "
                "of them; take it out of the other"
            )


def _of_the_bank(path: Path, bank: BankFile) -> GoodScores:
    """The cross-fitted scores of the bank's own images, named where they are outliers."""
    scores = good_scores(path, bank)
    named, digests = {image.sha256: image.name for image in bank.manifest.outliers}, digests_of(bank)
    names = [named.get(sha256, sha256[:SHORT]) for sha256 in digests]
    names = names or [f"image {row}" for row in range(len(scores))]
    return GoodScores(scores, names, digests, names, parts=bank.tensors.get(IMAGE_PARTS))


def _parts(bank: BankFile, scores: GoodScores, named: Mapping[str, str] | None) -> NDArray[np.int64] | None:
    """Numbers (n,) of the parts that the images show, by their paths or as the bank knows them."""
    if named is not None:
        return numbered([named[name] for name in scores.names])
    known = dict(zip(digests_of(bank), bank.tensors.get(IMAGE_PARTS, ()), strict=False))
    images = zip(scores.names, scores.sha256s, strict=True)
    return numbered([f"part {known[sha256]}" if sha256 in known else name for name, sha256 in images])


def _first(scores: GoodScores) -> str:
    """The first image that cannot be used, and why, for the end of a message."""
    return "".join(f" ({name}: {why})" for name, why in list(scores.skipped.items())[:1])


def _score(
    scorer: Scorer,
    paths: Sequence[Path],
    own_images: OwnImages,
    step: str,
    progress: Progress,
    *,
    line: LineRules,
) -> GoodScores:
    values: list[float] = []
    found, seen = GoodScores(np.empty(0), []), Pictures()
    for done, path in enumerate(paths, start=1):
        progress(step, done - 1, len(paths))
        name, frame = named_image(path, scorer.info.bit_depth)
        if isinstance(frame, str):
            found.skipped[name] = frame
            continue
        if (copied := seen.why_no_news(name, frame)) is not None:
            found.skipped[name] = copied
            continue
        if step == "good" and (no_measure := own_images.why_no_measure(frame)) is not None:
            found.skipped[name] = no_measure
            continue
        score = own_images.score(frame)
        if score is not None:
            found.from_the_bank.append(str(path))
        elif (why := line.why_not_judged(scorer, frame)) is not None:
            found.skipped[name] = why
            continue
        else:
            score = scorer.score([frame])[0].image_score
        values.append(score)
        found.names.append(str(path))
        found.sha256s.append(digest_of(frame))
    progress(step, len(paths), len(paths))
    return replace(found, values=np.array(values, dtype=np.float64))
