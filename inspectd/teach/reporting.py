"""Makes the report on a candidate: replays, weighs, keeps."""

from __future__ import annotations

from collections import Counter

import msgspec

from inspectd.bank.progress import Progress
from inspectd.errors import InputError
from inspectd.teach.candidates import BANK, Candidate, find_candidate
from inspectd.teach.effects import effects_of
from inspectd.teach.golden_images import golden_set
from inspectd.teach.judging import judging
from inspectd.teach.place import TeachPlace
from inspectd.teach.replay import JudgingBank, Replay, replay
from inspectd.teach.report import Judged, TeachReport, report_on
from inspectd.teach.report_pictures import keep_pictures
from inspectd.teach.roles import Person, TeachAct, refuse_role
from inspectd.teach.sealed import write_sealed
from inspectd.teach.signing import REPORT
from inspectd.wire import Evaluation


def make_report(
    place: TeachPlace, word: str, person: Person, device: str, progress: Progress
) -> tuple[TeachReport, Replay]:
    """Hold a candidate against evidence, golden images and known defects, and keep what comes out beside it.

    Args:
        place: the line's folder of teaching.
        word: the first digits of the candidate's sha256.
        person: who does it.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with every step's progress.

    Raises:
        InputError: the role may not, there is no such candidate, or what is known was altered.
        UnavailableError: the report cannot be written.
    """
    refuse_role(TeachAct.REPORT, person)
    candidate, folder = find_candidate(place, word)
    force = judging(place, candidate.recipe, candidate.place, candidate.recipe_version)
    banks = JudgingBank(force.path, force.threshold, device), JudgingBank(folder / BANK, None, device)
    candidate = msgspec.structs.replace(candidate, threshold_before=banks[0].threshold)  # as it is now
    golden = golden_set(place, candidate.recipe, candidate.place)  # one that comes meanwhile makes it old
    found = replay(place, candidate.recipe, candidate.place, banks, progress)
    effects = effects_of(candidate, (banks[0].bank, banks[1].bank), found, device, progress)
    pictures = keep_pictures(place, found, (banks[0].threshold, banks[1].threshold))
    report = report_on(
        candidate, banks[1].bank, found,
        judged=_judged(place, candidate, found), effects=effects, golden_set=golden, pictures=pictures,
        judging_version=force.version, notes=[force.note] if force.note else [],
    )  # fmt: skip
    write_sealed(folder / REPORT, report)  # in place of an older one; signatures go by its sha256
    return report, found


def _judged(place: TeachPlace, candidate: Candidate, found: Replay) -> Judged | None:
    """How many such parts the line judged in the time of the evidence, as far back as its journal reaches.

    None: it does not tell.
    """
    if found.oldest_utc_ns is None:
        return None
    kept = {item.name for item in found.items if item.kind == "evidence"}
    counts, told = Counter[tuple[Evaluation, bool]](), set[str]()
    try:
        for verdict in place.judged_since(found.oldest_utc_ns):
            if (verdict.recipe, verdict.place) == (candidate.recipe, candidate.place):
                counts[verdict.evaluation, verdict.second_look] += 1
                if (name := f"{verdict.epoch}:{verdict.seq}") in kept:
                    told.add(name)
    except InputError:  # no journal, or one that was shortened or damaged: the report says "not known"
        return None
    return Judged(
        passes=counts[Evaluation.PASS, False],
        marked=counts[Evaluation.PASS, True],
        fails=counts[Evaluation.FAIL, False],
        told=frozenset(told),
    )
