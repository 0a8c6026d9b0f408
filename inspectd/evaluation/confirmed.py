"""Scores of parts that the plant has confirmed as good, from the verdicts of a line. Pure."""

from __future__ import annotations

import csv
import itertools
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from inspectd.errors import InputError
from inspectd.wire import Evaluation, Verdict

KINDS: Final = ("verdict", "trigger_id", "part_id")
"""First line of a file of confirmed parts: what the lines after it name."""

_NEVER: Final = 10**17
"""Above every number of a verdict."""
_RANGE: Final = re.compile(r"(\d{1,16}):(\d{1,16})(?:-(\d{1,16}))?")


@dataclass(frozen=True)
class ConfirmedParts:
    """Good parts by name.

    Attributes:
        kind: one of `KINDS`.
        names: trigger ids, part ids, or verdicts as they stand in the file.
        spans: of verdicts: epoch, first and last number, both included, and name; in order, none overlaps.
    """

    kind: str
    names: frozenset[str]
    spans: Sequence[tuple[int, int, int, str]] = ()

    def name_of(self, verdict: Verdict) -> str | None:
        """The entry that names a verdict; None: there is none."""
        if self.kind != "verdict":
            name: str | None = getattr(verdict, self.kind)
            return name if name in self.names else None
        at = bisect_right(self.spans, (verdict.epoch, verdict.seq, _NEVER, ""))
        if not at:
            return None
        epoch, _, last, name = self.spans[at - 1]
        return name if epoch == verdict.epoch and verdict.seq <= last else None


@dataclass(frozen=True)
class GoodSpan:
    """A time in which every part was good: ns since 1970-01-01 UTC, the end not included."""

    from_utc_ns: int
    until_utc_ns: int


@dataclass
class ConfirmedScores:
    """Scores of a bank for good parts.

    Attributes:
        scores: one for each view.
        names: of their verdicts, EPOCH:SEQ.
        rejected: those above the threshold that was in force.
        unconfirmed_rejects: parts of that bank and time that were rejected and are not confirmed.
        left_out: reasons for leaving confirmed verdicts out, and their numbers.
        unknown: entries that name no verdict.
        ambiguous: ids that name more than one part.
        first_utc_ns: when the first of the parts was seen, ns since 1970-01-01 UTC; 0: there is none.
        last_utc_ns: the same of the last.
    """

    scores: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    rejected: int = 0
    unconfirmed_rejects: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    first_utc_ns: int = 0
    last_utc_ns: int = 0


def read_confirmed(path: Path) -> ConfirmedParts:
    """Good parts from a text or CSV file, one a line in the first column.

    The first line is what they are named by: `verdict` (EPOCH:SEQ, or EPOCH:FIRST-LAST), `trigger_id` or
    `part_id`.

    Raises:
        InputError: it cannot be read, or a line is not of that form.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [row[0].strip() for row in csv.reader(file) if row and row[0].strip()]
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"--confirmed: {path}: cannot be read: {error}") from error
    kind, names = (cells[0], cells[1:]) if cells else ("", [])
    if kind not in KINDS:
        raise InputError(f"--confirmed: {path}: begins with {kind!r}, expected one of: {', '.join(KINDS)}")
    spans = []
    for name in dict.fromkeys(names) if kind == "verdict" else ():
        found = _RANGE.fullmatch(name)
        if found is None:
            raise InputError(f"--confirmed: {path}: got {name!r}, expected EPOCH:SEQ or EPOCH:FIRST-LAST")
        epoch, first, last = found.groups()
        spans.append((int(epoch), int(first), int(last or first), name))
    spans.sort()
    for before, after in itertools.pairwise(spans):
        if before[0] == after[0] and before[2] >= after[1]:
            raise InputError(
                f"--confirmed: {path}: {before[3]} and {after[3]} overlap, expected each part once"
            )
    return ConfirmedParts(kind, frozenset(names), spans)


def confirmed_scores(
    verdicts: Iterable[Verdict],
    bank_sha256: str,
    good: ConfirmedParts | GoodSpan,
    *,
    since_utc_ns: int = 0,
    recipe: str | None = None,
) -> ConfirmedScores:
    """The scores that a bank gave good parts: on time, and by this very bank.

    An id that several parts have names none of them.

    Args:
        verdicts: of a line, in their order.
        bank_sha256: the bank's.
        good: which parts were good.
        since_utc_ns: parts seen earlier do not count.
        recipe: only its parts count; None: all.
    """
    found = ConfirmedScores()
    parts: dict[str, set[tuple[int, int | None]]] = defaultdict(set)
    chosen: list[tuple[str | None, Verdict]] = []
    for verdict in verdicts:
        seen_utc_ns = verdict.captured_utc_ns or verdict.decided_utc_ns
        if seen_utc_ns < since_utc_ns or recipe not in {None, verdict.recipe}:
            continue
        if isinstance(good, GoodSpan):
            name, is_good = None, good.from_utc_ns <= seen_utc_ns < good.until_utc_ns
        else:
            name = good.name_of(verdict)
            is_good = name is not None
        if is_good:
            chosen.append((name, verdict))
            if name is not None:
                parts[name].add((verdict.epoch, verdict.triggered_utc_ns))
        elif isinstance(good, ConfirmedParts) and verdict.bank_sha256 == bank_sha256:
            found.unconfirmed_rejects += verdict.evaluation is Evaluation.FAIL
    if isinstance(good, ConfirmedParts):
        found.unknown = sorted(good.names - parts.keys())
        if good.kind != "verdict":
            found.ambiguous = sorted(name for name, seen in parts.items() if len(seen) > 1)
    doubtful = set(found.ambiguous)
    for name, verdict in chosen:
        reason = _reason(verdict, bank_sha256, is_doubtful=name in doubtful)
        if reason is None and verdict.score is not None:
            _add(found, verdict, verdict.score)
        elif reason is not None:
            found.left_out[reason] += 1
    return found


def _reason(verdict: Verdict, bank_sha256: str, *, is_doubtful: bool) -> str | None:
    """Why a confirmed verdict does not count; None: it does."""
    if is_doubtful:
        return "its id names several parts"
    if verdict.score is None:
        return "without a score"
    if verdict.late:
        return "late"
    return None if verdict.bank_sha256 == bank_sha256 else "of another bank"


def _add(found: ConfirmedScores, verdict: Verdict, score: float) -> None:
    found.scores.append(score)
    found.names.append(f"{verdict.epoch}:{verdict.seq}")
    found.rejected += verdict.evaluation is Evaluation.FAIL
    seen_utc_ns = verdict.captured_utc_ns or verdict.decided_utc_ns
    found.first_utc_ns = min(found.first_utc_ns or seen_utc_ns, seen_utc_ns)
    found.last_utc_ns = max(found.last_utc_ns, seen_utc_ns)
