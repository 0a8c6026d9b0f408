"""From a score to a judgement. Pure, and the only place where a `pass` is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from inspectd.records import NAN_SCORE, BankInForce, FrameRef, Inspection, Outcome, Quality, Score
from inspectd.wire import Evaluation, Reason

_WORST_FIRST: Final = (Evaluation.FAIL, Evaluation.UNDECIDABLE)


def undecidable(reason: Reason, now_ns: int, score: Score | None = None) -> Outcome:
    """No judgement can be made, for this reason; of a score, only what the frame is like is handed on."""
    if score is None:
        return Outcome(Evaluation.UNDECIDABLE, reason, now_ns)
    return Outcome(Evaluation.UNDECIDABLE, reason, now_ns, measures=score.measures, detail=score.detail)


def judge(inspection: Inspection, score: Score, now_ns: int) -> Outcome:
    """Judge a part by its score and by the bank and threshold it was opened under.

    A pass needs a finite score, of that bank, at or below its threshold, on time, and of a frame that is like
    the bank's good images. Every comparison is written so that a NaN on either side cannot pass, and what
    stands for a NaN passes under no threshold, however high.
    """
    if now_ns > inspection.deadline_ns:
        return undecidable(Reason.DEADLINE, now_ns)
    judged_by = inspection.judged_by
    if judged_by is None or judged_by.bank_sha256 != score.bank_sha256:
        return undecidable(Reason.SCORING_ERROR, now_ns)
    if score.flaw is not None:
        return undecidable(score.flaw, now_ns, score)
    threshold = judged_by.threshold
    if not math.isfinite(score.image_score) or not math.isfinite(threshold):
        return undecidable(Reason.SCORING_ERROR, now_ns)
    if score.image_score <= threshold and score.image_score < NAN_SCORE:
        look = judged_by.check_above is not None and score.image_score > judged_by.check_above
        return Outcome(
            Evaluation.PASS, Reason.WITHIN_THRESHOLD, now_ns, threshold, score, second_look=look,
            measures=score.measures,
        )  # fmt: skip
    return Outcome(Evaluation.FAIL, Reason.ABOVE_THRESHOLD, now_ns, threshold, score, measures=score.measures)


def flaw_of(inspection: Inspection) -> Reason | None:
    """Reason why its frame must not be judged: it is bad, or not certainly taken as its recipe needs it."""
    frame = inspection.frame
    if frame.quality is not Quality.OK:
        return Reason(frame.quality)
    return Reason.CAMERA_SETTINGS if frame.camera_settings != inspection.camera_settings else None


def is_like_the_banks(frame: FrameRef, bank: BankInForce) -> bool:
    """Whether what is looked at of a frame has a size and the bit depth of the images the bank was built of.

    Scoring stretches every frame to the network's input: of a smaller or cropped one defects may be gone, and
    a score would still come.
    """
    known = not bank.image_sizes or frame.looked_at_size in bank.image_sizes
    return frame.has_its_region and (known or bank.any_size) and frame.bit_depth == bank.bit_depth


def judge_part(views: Sequence[Outcome], *, expected: int) -> Outcome:
    """Judge a part by its views: a pass needs a pass of every one that is expected.

    A view that fails makes the part fail, whatever the others could not see: it is known to be bad. The
    reason is that of the first view that decides.
    """
    decided_ns = max(view.decided_ns for view in views)
    for evaluation in _WORST_FIRST:
        for view in views:
            if view.evaluation is evaluation:
                return Outcome(evaluation, view.reason, decided_ns)
    if len(views) == expected and all(view.evaluation is Evaluation.PASS for view in views):
        look = any(view.second_look for view in views)
        return Outcome(Evaluation.PASS, Reason.WITHIN_THRESHOLD, decided_ns, second_look=look)
    return undecidable(Reason.MISSED_TRIGGER, decided_ns)
