"""From a score to a judgement. Pure, and the only place where a `pass` is made."""

from __future__ import annotations

import math

from inspectd.records import Evaluation, Inspection, Outcome, Reason, Score


def undecidable(reason: Reason, now_ns: int) -> Outcome:
    """No judgement can be made, for this reason."""
    return Outcome(Evaluation.UNDECIDABLE, reason, now_ns)


def judge(inspection: Inspection, score: Score, threshold: float, bank_sha256: str, now_ns: int) -> Outcome:
    """Judge a part by its score: a pass needs a finite score, of the right bank, at or below, and on time.

    Every comparison is written so that a NaN on either side cannot pass.
    """
    if now_ns > inspection.deadline_ns:
        return undecidable(Reason.DEADLINE, now_ns)
    usable = (
        math.isfinite(score.image_score) and math.isfinite(threshold) and score.bank_sha256 == bank_sha256
    )
    if not usable:
        return undecidable(Reason.SCORING_ERROR, now_ns)
    if score.image_score <= threshold:
        return Outcome(Evaluation.PASS, Reason.WITHIN_THRESHOLD, now_ns, threshold, score)
    return Outcome(Evaluation.FAIL, Reason.ABOVE_THRESHOLD, now_ns, threshold, score)
