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

from inspectd import __version__
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

    def covers(self, utc_ns: int) -> bool:
        """Whether a moment lies in it."""
        return self.from_utc_ns <= utc_ns < self.until_utc_ns


@dataclass
class ConfirmedScores:
    """Scores of a bank for good parts.

    Attributes:
        bank_sha256: the bank's.
        scores: one for each view.
        parts: what is the same number for all views of a part: when it was triggered, or its frame taken, ns
            since 1970-01-01 UTC.
        names: of their verdicts, EPOCH:SEQ.
        rejected: those above the threshold that was in force.
        unconfirmed_rejects: parts of that bank and time that were rejected and are not confirmed.
        left_out: reasons for leaving confirmed verdicts out, and their numbers.
        unknown: entries that name no verdict.
        ambiguous: ids that name more than one part.
        first_utc_ns: when the first of the parts was seen, ns since 1970-01-01 UTC; 0: there is none.
        last_utc_ns: the same of the last.
    """

    bank_sha256: str
    scores: list[float] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
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
            rows = csv.reader(file)
            cells = [(row[0].strip(), rows.line_num) for row in rows if any(cell.strip() for cell in row)]
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"--confirmed: {path}: cannot be read: {error}") from error
    kind, names = (cells[0][0], [name for name, _ in cells[1:]]) if cells else ("", [])
    if kind not in KINDS:
        raise InputError(f"--confirmed: {path}: begins with {kind!r}, expected one of: {', '.join(KINDS)}")
    nameless = [line for name, line in cells if not name]
    if nameless:
        raise InputError(
            f"--confirmed: {path}: line {nameless[0]} has nothing in its first column, expected a {kind}"
        )
    spans = []
    for name in dict.fromkeys(names) if kind == "verdict" else ():
        found = _RANGE.fullmatch(name)
        if found is None:
            raise InputError(f"--confirmed: {path}: got {name!r}, expected EPOCH:SEQ or EPOCH:FIRST-LAST")
        epoch, first, last = (int(number) for number in found.groups(default=found[2]))
        if first > last:
            raise InputError(f"--confirmed: {path}: got {name}, expected the first number before the last")
        spans.append((epoch, first, last, name))
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
    """The scores that a bank gave good parts: on time, by this very bank and this version of inspectd.

    An id that several parts have names none of them.

    Args:
        verdicts: of a line, in their order.
        bank_sha256: the bank's.
        good: which parts were good.
        since_utc_ns: parts seen earlier do not count.
        recipe: only its parts count; None: all.
    """
    found = ConfirmedScores(bank_sha256)
    named: set[str] = set()
    parts: dict[str, set[tuple[int, int | None]]] = defaultdict(set)
    # Of parts named by an id, which may turn out to be several parts'. All others are counted at once: a
    # journal may have more verdicts than memory has room for.
    waiting: list[tuple[str, Verdict, str | None]] = []
    for verdict in verdicts:
        outside = _outside(verdict, since_utc_ns, recipe)
        if isinstance(good, GoodSpan):
            if good.covers(_seen_utc_ns(verdict)):
                _count(found, verdict, outside)
            continue
        name = good.name_of(verdict)
        if name is None:
            if outside is None and verdict.bank_sha256 == bank_sha256:
                found.unconfirmed_rejects += verdict.evaluation is Evaluation.FAIL
            continue
        named.add(name)
        if good.kind == "verdict":
            _count(found, verdict, outside)
            continue
        waiting.append((name, verdict, outside))
        if outside is None:
            parts[name].add((verdict.epoch, verdict.triggered_utc_ns))
    if isinstance(good, ConfirmedParts):
        found.unknown = sorted(good.names - named)
    found.ambiguous = sorted(name for name, seen in parts.items() if len(seen) > 1)
    doubtful = set(found.ambiguous)
    for name, verdict, outside in waiting:
        _count(found, verdict, outside, is_doubtful=name in doubtful)
    return found


def _count(
    found: ConfirmedScores, verdict: Verdict, outside: str | None, *, is_doubtful: bool = False
) -> None:
    """Add a confirmed verdict's score, or the reason why it does not count."""
    reason = outside or _reason(verdict, found.bank_sha256, is_doubtful=is_doubtful)
    if reason is None and verdict.score is not None:
        _add(found, verdict, verdict.score)
    elif reason is not None:
        found.left_out[reason] += 1


def _seen_utc_ns(verdict: Verdict) -> int:
    return verdict.captured_utc_ns or verdict.decided_utc_ns


def _outside(verdict: Verdict, since_utc_ns: int, recipe: str | None) -> str | None:
    """Why a verdict is not among those asked for; None: it is."""
    if _seen_utc_ns(verdict) < since_utc_ns:
        return "of an earlier time"
    return None if recipe in {None, verdict.recipe} else "of another recipe"


def _reason(verdict: Verdict, bank_sha256: str, *, is_doubtful: bool) -> str | None:
    """Why a confirmed verdict does not count; None: it does."""
    if is_doubtful:
        return "its id names several parts"
    if verdict.score is None:
        return "without a score"
    if verdict.late:
        return "late"
    if verdict.bank_sha256 != bank_sha256:
        return "of another bank"
    return None if verdict.software == __version__ else "of another version"


def _add(found: ConfirmedScores, verdict: Verdict, score: float) -> None:
    found.scores.append(score)
    # Regions of one frame that nothing has triggered are one part as well.
    found.parts.append(verdict.triggered_utc_ns or _seen_utc_ns(verdict))
    found.names.append(f"{verdict.epoch}:{verdict.seq}")
    found.rejected += verdict.evaluation is Evaluation.FAIL
    seen_utc_ns = _seen_utc_ns(verdict)
    found.first_utc_ns = min(found.first_utc_ns or seen_utc_ns, seen_utc_ns)
    found.last_utc_ns = max(found.last_utc_ns, seen_utc_ns)
