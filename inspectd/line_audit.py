"""What the line itself has to say in its audit file: golden checks that ended, and what it judges by.

Both are facts whether or not they are recorded, so what cannot be written is told. Of checks the next start
makes up for it by `golden.jsonl`. What judged nothing else tells a later start, so that is tried again until
the disk takes it, in its order, and as the line ends. The clerk reads and writes: nothing here waits for it.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from inspectd.alarms import EmitEvent
from inspectd.errors import InputError, InspectdError
from inspectd.files import OwnFile
from inspectd.golden.results import CheckResult, GoldenLines, digest_of, newest_checks, past_of
from inspectd.golden.schedule import GoldenPast, GoldenSubject
from inspectd.metrics import Metrics
from inspectd.recipes.audit import (
    DONE,
    AuditAction,
    AuditEntry,
    AuditRecord,
    append_record,
    changes_among,
    newest_first,
    refuse_unwritable_log,
)
from inspectd.recipes.book import FILE, title_of
from inspectd.recipes.clerk import DiskClerk
from inspectd.records import BankInForce
from inspectd.wire.golden import GoldenOutcome

_MOST_RECORDS: Final = 10_000
"""Looked through from the newest on for what is recorded already."""
_MOST_CHECKS: Final = 100
"""Made up for at a start."""
_MOST_OWED: Final = 100
_AGAIN_NS: Final = 10_000_000_000
"""What judges is tried again so often: each time reads some records."""
_LOOK_NS: Final = 60_000_000_000
"""Whether the file would take a record is looked at so often while nothing is written."""
_LINE: Final = re.compile(r"line of golden\.jsonl ([0-9a-f]{64})")
_OF_CAMERA: Final = ", as a camera has it"
_OF_TRIGGER: Final = ", where a trigger names it"
_HOW: Final = f"({_OF_CAMERA}|{_OF_TRIGGER})?"
"""Whether a recipe of the configuration file judges parts whose triggers name none; earlier versions do not
say it, and what nobody said counts as unchanged."""
_CHECKED: Final = re.compile(r"(passed|failed), \d+ shown, recipe ([0-9a-f]{64}), " + _LINE.pattern + _HOW)
"""`new` of a check's record begins so; those of earlier versions have no recipe's sha256."""
_JUDGED: Final = re.compile(r"recipe ([0-9a-f]{64})" + _HOW + "$")
"""`new` of a record of what a recipe of the configuration file judges by ends so."""
_GONE: Final = "not in the configuration file"
"""`new` of such a record where the file in use has no recipe of that name."""
_START: Final = "start"
"""The door of what the line found when it started."""


class LineAudit:
    """Has the clerk write the line's own records; tells and counts what could not be written."""

    def __init__(
        self,
        path: Path,
        clerk: DiskClerk,
        metrics: Metrics,
        emit: EmitEvent,
        clock: Callable[[], int] = time.monotonic_ns,
        *,
        own: OwnFile | None = None,
    ) -> None:
        """Write into an audit file.

        Args:
            path: the file.
            clerk: writes it.
            metrics: counts what could not be written.
            emit: publishes events.
            clock: monotonic, in nanoseconds.
            own: `path`, as who writes it beside this knows it; None: nobody does.

        Raises:
            UnavailableError: the file cannot be looked at.
        """
        self._path = path
        self._clerk = clerk
        self._metrics = metrics
        self._emit = emit
        self._clock = clock
        self._own = OwnFile(path) if own is None else own
        self._owed: deque[Callable[[], object]] = deque()
        """What writes by what the line judged, the oldest first; the clerk's thread puts it in and out."""
        self._again_ns: int | None = None
        self._look_ns = 0
        self._is_asked = False
        """The disk has not answered yet whether it takes anything."""
        self._is_unwritable = False
        self._problem = ""

    def conditions(self) -> list[tuple[str, str]]:
        """Name and detail of what is wrong now, for the line's health."""
        if not self._problem:
            return []
        what = "; recipes cannot be changed, and checks are not recorded" if self._is_unwritable else ""
        return [("audit_failed", f"{self._problem}{what}")]

    def record_check(
        self,
        result: CheckResult,
        *,
        door: str,
        old: str,
        why: str,
        is_default: bool | None = None,
        problem: str = "",
    ) -> None:
        """A check with golden parts ended.

        Args:
            result: as `golden.jsonl` has it.
            door: by which it was begun.
            old: state of its recipe when it began.
            why: in words; empty: it has passed.
            is_default: as its `GoldenSubject` has it; None: not known.
            problem: why it counts for nothing, as where `golden.jsonl` does not have it; empty: it counts.
        """
        entry = check_entry(result, door, old, why, is_default=is_default)
        self._write_owed()  # if any is, or the check would seem to have ended before
        work = partial(append_record, self._path, entry, problem or DONE)
        self._ask(work, f"check {result.check} of {result.recipe}: {result.outcome}")

    def make_up_for(self, golden: Path) -> None:
        """Record the checks of `golden.jsonl` that an earlier run ended and could not record."""
        self._ask(partial(record_missing_checks, self._path, golden), "checks of earlier runs")

    def record_judged(
        self, judged: Iterable[tuple[str, BankInForce, bool]], others: Iterable[str] = ()
    ) -> None:
        """The configuration file's recipes are in force; record those that judge otherwise than last time.

        Args:
            judged: what identifies each recipe's settings, threshold and bank, its bank, and whether it
                judges parts whose triggers name no recipe.
            others: names of the file's recipes of which nothing more is known now.
        """
        work = partial(record_changed_judgements, self._path, list(judged), set(others))
        failed = partial(self._on_owed_failed, is_told=False)
        self._clerk.ask(partial(self._take_owed, work), self._on_written, failed)

    def turn(self, now_ns: int) -> None:
        """Try again what the disk did not take, and look whether it takes anything."""
        if self._again_ns is not None and now_ns >= self._again_ns:
            self._write_owed()
        if now_ns >= self._look_ns and not self._is_asked:
            self._is_asked = True
            self._look_ns = now_ns + (_AGAIN_NS if self._problem else _LOOK_NS)
            self._clerk.ask(self._look, self._on_writable, self._on_unwritable)

    def close(self) -> None:
        """The line ends, and its clerk next: try once more what the disk did not take."""
        if self._owed:
            self._write_owed()

    def _write_owed(self) -> None:
        self._again_ns = None
        self._clerk.ask(self._take_owed, self._on_written, self._on_owed_failed)

    def _take_owed(self, newest: Callable[[], object] | None = None) -> None:
        """In the clerk's thread: write all that is owed, the oldest first."""
        if newest is not None:
            if len(self._owed) == _MOST_OWED:  # an altered file takes none of them until it is mended
                self._owed.pop()  # of what judged for a while, and no longer
            self._owed.append(newest)
        while self._owed:
            self._write(self._owed[0])
            self._owed.popleft()

    def _on_owed_failed(self, error: InspectdError, *, is_told: bool = True) -> None:
        self._again_ns = self._clock() + _AGAIN_NS
        self._problem = str(error)
        if not is_told:
            self._on_failed("thresholds and banks", error)

    def _ask(self, work: Callable[[], object], what: str) -> None:
        self._clerk.ask(partial(self._write, work), self._on_written, partial(self._on_failed, what))

    def _write(self, work: Callable[[], object]) -> None:
        """In the clerk's thread: write into no other file than the one of the start."""
        with self._own.writing():
            work()

    def _look(self) -> None:
        """In the clerk's thread: where the file takes no record, people who change a recipe are refused."""
        self._own.refuse_other()
        if os.path.lexists(self._path):
            refuse_unwritable_log(self._path)

    def _on_written(self, _: None) -> None:
        if self._problem:  # there may have been nothing to write
            self._look_ns = 0

    def _on_writable(self, _: None) -> None:
        self._is_asked = self._is_unwritable = False
        if not self._owed:
            self._problem = ""

    def _on_unwritable(self, error: InspectdError) -> None:
        self._is_asked, self._is_unwritable = False, True
        if not self._problem:
            self._on_failed("it takes no records", error)
        self._problem = str(error)

    def _on_failed(self, what: str, error: InspectdError) -> None:
        self._problem, self._look_ns = str(error), self._clock() + _AGAIN_NS
        self._metrics.audit_failed()
        self._emit("alarm", "audit_failed", detail=f"{what}: {error}")


def check_entry(
    result: CheckResult, door: str, old: str | None, why: str, *, is_default: bool | None = None
) -> AuditEntry:
    """The record of a check; the digest in it is that of the check's line in `golden.jsonl`."""
    version = "" if result.recipe_version is None else f"@{result.recipe_version}"
    how = "" if is_default is None or result.recipe_version is not None else _how(is_default)
    new = (  # the name last: it may be so long that it is cut
        f"{result.outcome}, {len(result.showings)} shown, recipe {result.recipe_sha256}, "
        f"line of golden.jsonl {digest_of(result)}{how}, check {result.check}"
    )
    who = result.who or "a trigger"
    return AuditEntry(AuditAction.GOLDEN, who, door, f"{result.recipe}{version}", old, new, why)


class _Judgement(msgspec.Struct, frozen=True):
    """What a record says of a recipe of the configuration file."""

    sha256: str
    is_default: bool | None
    """As `GoldenSubject` has it; None: the record does not say it."""

    def is_of(self, sha256: str, *, is_default: bool) -> bool:
        return self.sha256 == sha256 and self.is_default in {None, is_default}


class OfAudit(msgspec.Struct, frozen=True):
    """What a line knows at its start of earlier checks, by `golden.jsonl` and by the audit file."""

    past: dict[str, GoldenPast]
    """What a schedule goes on from, by the sha256 of what was checked."""
    lost: set[str] = set()
    """Those whose failure only the audit file has."""
    outdated: set[str] = set()
    """Those that were put in force after their last check passed."""
    judged: dict[str, _Judgement] = {}
    """Of each recipe of the configuration file of the last run, what its last record says."""

    def is_as_it_passed(self, subject: GoldenSubject) -> bool:
        """Whether it was in force in all runs since its last check passed: this start changes nothing.

        What a changeover makes due is written a moment later than what judges, or by no run at all where a
        command, or another configuration file, changed that of a stopped line: the order of the audit file's
        records tells. What it cannot tell is not so.
        """
        judged = self.judged.get(subject.recipe)
        is_known = subject.version is not None or (
            judged is not None and judged.is_of(subject.sha256, is_default=subject.is_default)
        )
        return is_known and subject.sha256 not in self.outdated


def past_by_audit(audit: Path, golden: GoldenLines) -> OfAudit:
    """What a schedule goes on from: `golden.jsonl`, and what the audit file knows of checks that it lacks.

    A check that failed by the audit file holds although `golden.jsonl` was lost, cut or replaced by an older
    copy. A pass that the audit file says is not in it does not count where it is found there all the same, as
    the disk failed under it. Where an altered record hides what comes before it, no pass counts that no later
    record confirms.

    Raises:
        UnavailableError: the audit file cannot be read now.
    """
    newest: dict[str, tuple[str, str, int]] = {}
    recorded: dict[str, AuditRecord] = {}
    refused: set[str] = set()
    records, is_whole = [], True
    try:
        for record in islice(newest_first(audit), _MOST_RECORDS):
            records.append(record)
            found = _CHECKED.match(record.new or "") if record.action is AuditAction.GOLDEN else None
            # A pass that was not on the disk did not count.
            if found is not None and (found[1] == GoldenOutcome.FAILED or record.result == DONE):
                recorded.setdefault(found[3], record)
                # A pass that was made up for may have come before a failure that was recorded at once.
                if found[1] == GoldenOutcome.FAILED or record.door != _START:
                    newest.setdefault(found[2], (found[1], found[3], record.utc_ns))
            elif found is not None:
                refused.add(found[3])
    except InputError:
        is_whole = False  # `make_up_for` comes upon it too, and tells
    golden = _without(golden, refused - recorded.keys())
    digests = {digest_of(check): check for check in golden.checks}
    later = {
        check.recipe_sha256: check.utc_ns
        for digest, check in digests.items()
        if check.outcome is GoldenOutcome.PASSED
        and (digest not in recorded or recorded[digest].door == _START)
    }
    past = past_of(golden.lines, golden.unbelieved)
    if not is_whole:
        for sha256 in past.keys() - newest.keys():
            past[sha256] = msgspec.structs.replace(past[sha256], passed_utc_ns=None)
    lost = {
        sha256
        for sha256, (outcome, digest, utc_ns) in newest.items()
        if outcome == GoldenOutcome.FAILED and digest not in digests and utc_ns > later.get(sha256, -1)
    }
    for sha256 in lost:
        past[sha256] = msgspec.structs.replace(past.get(sha256, GoldenPast()), is_failed=True)
    # What an altered record hides may be what a check's record would stand in for.
    telling = records if is_whole else [each for each in records if each.action is AuditAction.THRESHOLD]
    said = {recipe: _judgement(record) for recipe, record in _last_of_recipes(telling).items()}
    judged = {recipe: found for recipe, found in said.items() if found is not None}
    return OfAudit(past, lost, _outdated(audit, records, golden, recorded), judged)


def _without(golden: GoldenLines, refused: Collection[str]) -> GoldenLines:
    """The file as it would be read without these lines."""
    kept = [digest_of(line) not in refused for line in golden.lines] if refused else []
    if all(kept):
        return golden
    return msgspec.structs.replace(
        golden,
        lines=[line for line, is_kept in zip(golden.lines, kept, strict=True) if is_kept],
        unbelieved=sum(kept[: golden.unbelieved]),
    )


def _outdated(
    audit: Path, records: list[AuditRecord], golden: GoldenLines, recorded: dict[str, AuditRecord]
) -> set[str]:
    """Those that were put in force, or out of it, after their last check passed.

    Args:
        audit: the audit file.
        records: of it, the newest first.
        golden: the checks.
        recorded: the record of each check, by the digest of its line.
    """
    since: dict[str, AuditRecord] = {}  # by the sha256 of what was put in force, or by FILE
    for record in changes_among(audit, records):
        if record.new is not None and record.old != record.new:
            name, _, sha256 = record.new.partition(" ")
            since.setdefault(FILE if name.startswith(f"{FILE}@") else sha256, record)
    for record in records:
        if record.action is AuditAction.THRESHOLD and not _is_alike(record.old, record.new):
            for text in (record.new, record.old):
                if found := _JUDGED.search(text or ""):
                    since.setdefault(found[1], record)
    passed = {each.recipe_sha256: each for each in golden.checks if each.outcome is GoldenOutcome.PASSED}

    def is_after(put: AuditRecord | None, check: CheckResult) -> bool:
        record = recorded.get(digest_of(check))
        if put is None:
            return False
        if record is not None and put.seq > record.seq:
            return True
        # It passed before it was recorded, but how long before, one that is made up for does not say.
        return (record is None or record.door == _START) and put.utc_ns >= check.utc_ns

    return {
        sha256
        for sha256, check in passed.items()
        if is_after(since.get(sha256), check)
        or (check.recipe_version is None and is_after(since.get(FILE), check))
    }


def _last_of_recipes(records: Iterable[AuditRecord]) -> dict[str, AuditRecord]:
    """The last record of what each recipe of the configuration file judges by; `records`: the newest first.

    That of a check only where no other one is among them: it may be written after what judged then was left.
    """
    last: dict[str, AuditRecord] = {}
    of_checks: dict[str, AuditRecord] = {}
    for record in records:
        if record.action is AuditAction.THRESHOLD:
            last.setdefault(record.object or "", record)
        elif record.action is AuditAction.GOLDEN and _judgement(record) is not None:
            of_checks.setdefault(record.object or "", record)
    return of_checks | last


def _judgement(record: AuditRecord) -> _Judgement | None:
    """What a record says that a recipe of the configuration file judges by; None: nothing, or it is gone."""
    if record.action is AuditAction.THRESHOLD:
        found = _JUDGED.search(record.new or "")
        return None if found is None else _Judgement(found[1], _is_default(found[2]))
    # One that is made up for at a start says nothing of the run before; one of the store has its version.
    is_told = record.door != _START and "@" not in (record.object or "")
    found = _CHECKED.match(record.new or "") if is_told else None
    return None if found is None else _Judgement(found[2], _is_default(found[4]))


def _how(is_default: bool) -> str:  # noqa: FBT001 - the one thing that it is about
    return _OF_CAMERA if is_default else _OF_TRIGGER


def _is_default(how: str | None) -> bool | None:
    return None if how is None else how == _OF_CAMERA


def _is_alike(old: str | None, new: str | None) -> bool:
    """Whether nothing changed from one record's words to another's, as far as both say it."""
    if old is None or new is None or old == new:
        return old == new
    cores = [text.removesuffix(_OF_CAMERA).removesuffix(_OF_TRIGGER) for text in (old, new)]
    return cores[0] == cores[1] and bool({old, new} & set(cores))


def record_missing_checks(audit: Path, golden: Path) -> None:
    """Record those of the newest checks of `golden.jsonl` that are not, also between others that are.

    Raises:
        InputError: `golden` is no regular file, or a record was altered.
        UnavailableError: a file cannot be read or written now.
    """
    records = list(islice(newest_first(audit), _MOST_RECORDS))
    known = {
        found[1]
        for record in records
        if record.action is AuditAction.GOLDEN and (found := _LINE.search(record.new or ""))
    }
    # What is older may have a record that lies too far back.
    since_ns = records[-1].utc_ns if len(records) == _MOST_RECORDS else 0
    missing = [
        (result, void_by)
        for digest, result, void_by in newest_checks(golden, _MOST_CHECKS)
        if result.utc_ns >= since_ns and not known & {digest, digest_of(result)}
    ]
    for result, void_by in reversed(missing):
        why = "; ".join(["recorded at the next start", *result.problems])
        problem = f"counts for nothing: {void_by}" if void_by else DONE
        append_record(audit, check_entry(result, _START, None, why), problem)


def record_changed_judgements(
    audit: Path, judged: list[tuple[str, BankInForce, bool]], others: Collection[str] = ()
) -> None:
    """Record each recipe whose settings, threshold or bank are others than its last record says.

    So are those that the file in use no longer has: until they come back, another file's recipes judge. What
    did not change is written anew before its record lies too far back to be found.

    Args:
        audit: the audit file.
        judged: see `LineAudit.record_judged`.
        others: likewise.

    Raises:
        InputError: a record was altered.
        UnavailableError: the file cannot be read or written now.
    """
    records = list(islice(newest_first(audit), _MOST_RECORDS))
    last = _last_of_recipes(records)
    near = {record.seq for record in records[: _MOST_RECORDS // 2] if record.action is AuditAction.THRESHOLD}
    for sha256, bank, is_default in judged:
        recipe = title_of(bank.recipe)[0]
        core = f"threshold {bank.threshold:.6g}, bank {bank.bank_sha256}, recipe {sha256}"
        record, new = last.get(recipe), core + _how(is_default)
        old = None if record is None else _words(record, core)
        if old != new or record is None or record.seq not in near:
            _append_judgement(audit, recipe, old, new, is_all=len(records) < _MOST_RECORDS)
    names = {title_of(bank.recipe)[0] for _, bank, _ in judged}.union(others)
    for recipe, record in last.items():
        if recipe not in names and (found := _judgement(record)) is not None:
            _append_judgement(audit, recipe, _words(record, f"recipe {found.sha256}"), _GONE)


def _words(record: AuditRecord, core: str) -> str | None:
    """What a record says in the words of a `threshold` record; `core`: without the end, where it may fit."""
    found = _judgement(record)
    if record.action is AuditAction.THRESHOLD or found is None:
        return record.new
    how = "" if found.is_default is None else _how(found.is_default)
    return (core if core.endswith(found.sha256) else f"recipe {found.sha256}") + how


def _append_judgement(audit: Path, recipe: str, old: str | None, new: str, *, is_all: bool = True) -> None:
    if old is None:
        why = "the first record of it" + ("" if is_all else f" among the last {_MOST_RECORDS}")
    elif old == new:
        why = "nothing changed; written anew, as many records came after the last one"
    elif _is_alike(old, new):
        why = "nothing changed; this version also says whether a camera has it, or triggers alone name it"
    else:
        why = "found by the line; who changed it is not known to it"
    append_record(audit, AuditEntry(AuditAction.THRESHOLD, "unknown", _START, recipe, old, new, why))
