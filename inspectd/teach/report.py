"""The report on a candidate: every verdict that flips, both ways, and what it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from inspectd.bank.answers import scores_that_count
from inspectd.bank.file import BankFile
from inspectd.evaluation.calibrate import Interval, interval
from inspectd.recipes.canonical import Digest
from inspectd.teach.candidates import Candidate
from inspectd.teach.effects import TaughtEffect
from inspectd.teach.replay import LeftOut, Replay, Replayed
from inspectd.wire import Evaluation

MOST_RISE: Final = 0.10
"""A threshold that rises by a larger share needs a second reason."""
_SEEN: Final = 0.05
"""A defect is seen where a threshold that catches it rejects no larger share of good parts."""


class ReplayedPart(msgspec.Struct, frozen=True):
    """A picture, and what both banks make of it."""

    kind: Literal["evidence", "golden", "known_defect"]
    name: str
    expect: Evaluation | None
    """What is right, where a person said it."""
    judged: Evaluation | None
    """By the line, then."""
    score_before: float
    score: float
    passes_before: bool
    passes: bool
    from_the_bank: bool
    """The candidate was built from it, or taught it: its score is from a fit that left it out."""
    picture: Digest | None = None
    """Of a small picture beside both heatmaps, in the store of those that are shown; None: it has none."""


class KnownDefect(msgspec.Struct, frozen=True):
    """An escape that people confirmed, and what the candidate makes of it."""

    name: str
    score_before: float
    score: float
    found_before: bool
    found: bool
    good_as_high: Interval
    """Share of the bank's own good images that score as high: what a threshold that finds it would reject."""
    seen: bool
    """The bank sees it, if only the threshold were lower; if not, teaching does not help."""
    picture: Digest | None = None
    """As of `ReplayedPart`."""


class Judged(NamedTuple):
    """Verdicts of the line on such parts in the time of the evidence, as far back as its journal reaches.

    Attributes:
        passes: not marked for a second look.
        marked: passes that are: they are kept as fails are, so the others do not stand for them.
        fails: parts that failed.
        told: names of the replayed parts that are among them: no others may be held against their number.
    """

    passes: int
    marked: int
    fails: int
    told: frozenset[str]


class Flips(msgspec.Struct, frozen=True):
    """What flips among parts of one kind."""

    kept: int
    """That were replayed."""
    judged: int | None
    """By the line in the same time; None: not known, as its journal does not reach so far back."""
    to_fail: Interval
    to_pass: Interval


class Need(msgspec.Struct, frozen=True):
    """Why it takes a second reason to sign a candidate."""

    what: Literal["threshold", "known_defects", "golden", "rejects_pass"]
    words: str
    """The same, for people."""
    case: str = ""
    """Whose picture it is about."""
    count: int = 0
    total: int = 0


class TeachReport(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate beside the bank in force."""

    schema: Literal["teach_report/1"] = "teach_report/1"
    bank_sha256: Digest
    base_bank_sha256: Digest
    recipe: str
    recipe_version: int
    judging_version: int = 0
    """Of the recipe: it is in force, so the candidate stands beside its bank; 0: not recorded."""
    place: str
    threshold_before: float
    """In force as the report was made."""
    threshold: float
    taught: list[str]
    unlike_the_rest: list[str]
    flips: list[ReplayedPart]
    """Every one, those that pass from now on first."""
    passes_by_chance: Flips
    """Passed parts that were kept by chance: as they flip, so do passes of the line that are not marked."""
    other_passes: Flips
    """Passed parts that were kept as they were marked for a second look."""
    passes_to_fail: float = 1.0
    """Share of all passes of the line that fails from now on, at most (95 %): marked ones that were not kept
    count as failing. Of the time that the journal tells. 1: nobody knows."""
    fails: Flips
    """Failed parts that were kept."""
    golden_wrong_before: int
    golden_wrong: int
    golden: int
    golden_set: str = ""
    """Which golden images these were (`golden_images.golden_set`)."""
    known_defects: list[KnownDefect]
    effects: list[TaughtEffect] | None
    """Of each picture that is newly taught, the largest first; None: nobody can tell for this detector."""
    left_out: dict[LeftOut, int]
    """Evidence that was not replayed: reasons, and their numbers."""
    needs: list[Need]
    """Why it takes a second reason to sign it."""
    notes: list[str]


def report_on(
    candidate: Candidate,
    bank: BankFile,
    found: Replay,
    *,
    judged: Judged | None,
    effects: list[TaughtEffect] | None,
    golden_set: str = "",
    pictures: Mapping[tuple[str, str], str] = MappingProxyType({}),
    judging_version: int = 0,
    notes: Sequence[str] = (),
) -> TeachReport:
    """The report of a replay.

    Args:
        candidate: what is reported on.
        bank: its bank.
        found: of the replay.
        judged: verdicts of the line on such parts; None: not known.
        effects: of each taught picture; None: they cannot be told.
        golden_set: which golden images were replayed.
        pictures: by kind and name: the sha256 of what is shown of a part.
        judging_version: of the recipe whose bank judged beside the candidate.
        notes: on that, beside those on the candidate.
    """
    defects = [_defect(item, bank, pictures) for item in found.items if item.kind == "known_defect"]
    golden = [item for item in found.items if item.kind == "golden"]
    wrong = [sum(_is_wrong(item, side) for item in golden) for side in (0, 1)]
    evidence = [item for item in found.items if item.kind == "evidence"]
    flips = sorted(
        (item for item in found.items if item.flips), key=lambda item: (item.passes[0], item.scores[1])
    )
    passes = [item for item in evidence if item.judged is Evaluation.PASS]
    untold = [] if judged is None else [item for item in evidence if item.name not in judged.told]
    if untold:
        note = (
            f"the line's journal does not have {len(untold)} of the {len(evidence)} replayed parts any more: "
            "how many it judged in all that time is not known, and the bound for all passes is of what it has"
        )
        notes = [*notes, note]
    in_all = None if untold else judged
    return TeachReport(
        bank_sha256=candidate.bank_sha256,
        base_bank_sha256=candidate.base_bank_sha256,
        recipe=candidate.recipe,
        recipe_version=candidate.recipe_version,
        judging_version=judging_version,
        place=candidate.place,
        threshold_before=candidate.threshold_before,
        threshold=candidate.threshold,
        taught=candidate.taught,
        unlike_the_rest=candidate.unlike_the_rest,
        flips=[_part(item, pictures) for item in flips],
        passes_by_chance=_flips([item for item in passes if item.by_chance], in_all and in_all.passes),
        other_passes=_flips([item for item in passes if not item.by_chance], in_all and in_all.marked),
        passes_to_fail=_passes_to_fail(passes, judged),
        fails=_flips([item for item in evidence if item.judged is Evaluation.FAIL], in_all and in_all.fails),
        golden_wrong_before=wrong[0],
        golden_wrong=wrong[1],
        golden=len(golden),
        golden_set=golden_set,
        known_defects=defects,
        effects=effects,
        left_out=dict(found.left_out),
        needs=list(_needs(candidate, defects, golden, effects or [])),
        notes=[*notes, *candidate.notes],
    )


def _needs(
    candidate: Candidate,
    defects: Sequence[KnownDefect],
    golden: Sequence[Replayed],
    effects: Sequence[TaughtEffect],
) -> Iterable[Need]:
    rise = candidate.rise
    if rise is None or rise > MOST_RISE:
        by = "from below zero" if rise is None else f"by {rise:.0%}"
        yield Need(
            "threshold",
            f"the threshold rises {by}, from {candidate.threshold_before:.4g} to {candidate.threshold:.4g}, "
            f"expected at most {MOST_RISE:.0%}: a defect among what was taught does that, or a threshold in "
            "force that was set by hand",
        )
    if passed := [defect.name for defect in defects if not defect.found]:
        yield Need(
            "known_defects",
            f"{len(passed)} of {len(defects)} known defects pass: {', '.join(passed)[:200]}",
            count=len(passed), total=len(defects),
        )  # fmt: skip
    bad = [item for item in golden if item.expect is Evaluation.FAIL]
    if wrong := [item.name for item in bad if _is_wrong(item, 1)]:
        yield Need(
            "golden",
            f"{len(wrong)} golden images of bad parts pass, or the bank knows them as good: "
            f"{', '.join(wrong)[:200]}",
            count=len(wrong), total=len(bad),
        )  # fmt: skip
    for effect in effects:
        if effect.passes:
            yield Need(
                "rejects_pass",
                f"case {effect.case}: because of this picture {len(effect.passes)} of {effect.rejects} "
                "rejects pass that nobody called good: look whether each of them is good, and whether it is",
                case=effect.case, count=len(effect.passes), total=effect.rejects,
            )  # fmt: skip


def _is_wrong(item: Replayed, side: int) -> bool:
    """Whether a bank judges a golden image wrong: a good part has to pass, and such as a bad one must not."""
    return not item.passes[side] if item.expect is Evaluation.PASS else item.lets_pass(side)


def _defect(item: Replayed, bank: BankFile, pictures: Mapping[tuple[str, str], str]) -> KnownDefect:
    good = scores_that_count(bank)
    as_high = interval(int(np.count_nonzero(good >= item.scores[1])), len(good))
    return KnownDefect(
        item.name, *item.scores, found_before=not item.lets_pass(0), found=not item.lets_pass(1),
        good_as_high=as_high, seen=as_high.share <= _SEEN, picture=pictures.get((item.kind, item.name)),
    )  # fmt: skip


def _flips(items: Sequence[Replayed], judged: int | None) -> Flips:
    count = Counter(item.passes for item in items)
    return Flips(
        len(items), judged,
        to_fail=_bounded(count[True, False], len(items)), to_pass=_bounded(count[False, True], len(items)),
    )  # fmt: skip


def _passes_to_fail(passes: Sequence[Replayed], judged: Judged | None) -> float:
    """Share of all passes that fails from now on, at most: the marked ones lie nearest the threshold."""
    if judged is None:
        return 1.0  # nobody knows how many were marked
    told = [item for item in passes if item.name in judged.told]  # kept and judged over the same time
    by_chance = _flips([item for item in told if item.by_chance], judged.passes)
    marked = _flips([item for item in told if not item.by_chance], judged.marked)
    total = judged.passes + judged.marked
    not_kept = max(0, judged.marked - marked.kept)
    failing = judged.passes * by_chance.to_fail.high + marked.to_fail.count + not_kept
    return min(1.0, failing / total) if total else 1.0


def _bounded(count: int, total: int) -> Interval:
    """The share with its 95 % interval; where nothing was replayed it may be anything."""
    return interval(count, total) if total else Interval(0, 0, 0.0, 0.0, 1.0)


def _part(item: Replayed, pictures: Mapping[tuple[str, str], str]) -> ReplayedPart:
    return ReplayedPart(
        kind=item.kind, name=item.name, expect=item.expect, judged=item.judged, score_before=item.scores[0],
        score=item.scores[1], passes_before=item.passes[0], passes=item.passes[1], from_the_bank=item.own[1],
        picture=pictures.get((item.kind, item.name)),
    )  # fmt: skip
