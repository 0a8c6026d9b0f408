"""Runs of rejects: while a camera rejects part after part, no part of it is called good.

Then something happened to the process, the light or the camera, and "all of these are good" is what a person
says who wants the line to go on. Taught, it would make that state the new normal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import closing
from itertools import chain, islice
from typing import Final

from inspectd.teach.kept_parts import refuse_altered
from inspectd.teach.place import TeachPlace
from inspectd.teach.refusals import TeachRefusedError
from inspectd.wire import Evaluation, Verdict

AROUND: Final = 20
"""Verdicts of a camera that are looked at together; undecidable ones tell nothing of a run."""
MOST_REJECTS: Final = 9
"""More of them that fail are a run of rejects."""
_NEAR_NS: Final = 86_400 * 1_000_000_000
"""Verdicts of other times tell nothing of a run; a line with a part in two hours still has one."""


def refuse_in_a_run(place: TeachPlace, camera: str, part: Verdict | None = None) -> None:
    """Refuse to call a part of a camera or region good while that rejects part after part, or did so then.

    Args:
        place: the line's folder of teaching.
        camera: or region of one.
        part: the verdict that is called wrong; None: only now counts.

    Raises:
        InputError: there is such a run, or the line's journal does not tell, or has another verdict.
    """
    now_ns = place.clock_ns()
    since_ns = min(now_ns, now_ns if part is None else part.decided_utc_ns) - _NEAR_NS
    with closing(place.judged_since(since_ns)) as judged:  # no more of it is read than tells
        newest_first = (
            verdict
            for verdict in judged
            if verdict.place == camera
            and (verdict.evaluation is not Evaluation.UNDECIDABLE or _is_same(verdict, part))
        )
        last = list(islice(newest_first, AROUND))
        _refuse_run(camera, "until now", [v for v in last if now_ns - v.decided_utc_ns <= _NEAR_NS])
        if part is None:
            return
        around = _around(chain(last, newest_first), part)
    if around is None:
        raise TeachRefusedError(
            "not_in_journal",
            f"{camera}: the line's journal does not have verdict {part.epoch}:{part.seq} any more, expected "
            "it: whether the part was one of a run of rejects cannot be known",
        )
    refuse_altered(part, next(each for each in around if _is_same(each, part)))
    near = [each for each in around if abs(each.decided_utc_ns - part.decided_utc_ns) <= _NEAR_NS]
    _refuse_run(camera, "around this one", near)


def _around(newest_first: Iterable[Verdict], part: Verdict) -> list[Verdict] | None:
    """The window that lies around a part, or as near to it as the journal reaches; None: it is not there."""
    newer: deque[Verdict] = deque(maxlen=AROUND - 1)
    rest = iter(newest_first)
    for each in rest:
        if _is_same(each, part):
            rows = [*newer, each, *islice(rest, AROUND - 1)]
            first = max(0, min(len(newer) - AROUND // 2 + 1, len(rows) - AROUND))
            return rows[first : first + AROUND]
        newer.append(each)
    return None


def _is_same(verdict: Verdict, part: Verdict | None) -> bool:
    """Whether it is the journal's of this part; its evidence may say something else of it."""
    return part is not None and (verdict.epoch, verdict.seq) == (part.epoch, part.seq)


def _refuse_run(camera: str, when: str, judged: list[Verdict]) -> None:
    rejects = sum(verdict.evaluation is Evaluation.FAIL for verdict in judged)
    if rejects > MOST_REJECTS:
        raise TeachRefusedError(
            "reject_run",
            f"{camera}: {rejects} of {len(judged)} parts {when} were rejected, expected at most "
            f"{MOST_REJECTS} of {AROUND}: find out what changed before any part is called good",
        )
