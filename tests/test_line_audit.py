"""What the line records by itself: checks that it could not record before, and what it judges by."""

from __future__ import annotations

import fcntl
import select
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from inspectd import line_audit
from inspectd.golden.results import CheckResult, CheckVoid, GoldenLines, append_line, digest_of
from inspectd.golden.schedule import GoldenPast, GoldenSubject
from inspectd.line_audit import (
    LineAudit,
    check_entry,
    past_by_audit,
    record_changed_judgements,
    record_missing_checks,
)
from inspectd.metrics import Metrics
from inspectd.recipes import audit
from inspectd.recipes.audit import AuditAction, AuditEntry, append_record
from inspectd.recipes.clerk import DiskClerk
from inspectd.records import BankInForce
from inspectd.wire.golden import GoldenOutcome

BANK = BankInForce("cell", "ab" * 32, "stub", "none", 1, 1, 2.5)


def check(number: int, outcome: GoldenOutcome = GoldenOutcome.PASSED) -> CheckResult:
    problems = ["crack-1 on side: pass"] if outcome is GoldenOutcome.FAILED else []
    return CheckResult(number, number, f"kim-{number}", "kim", "cells", 2, "cd" * 32, outcome, problems, [])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "audit.jsonl", tmp_path / "golden.jsonl"


def test_checks_that_have_no_record_get_one_at_the_next_start(files):
    log, golden = files
    results = [check(1), check(2), check(3, GoldenOutcome.FAILED), check(4)]
    for result in results[:2]:
        append_line(golden, result)
        append_record(log, check_entry(result, "local", "due", ""))
    for result in results[2:]:
        append_line(golden, result)
    for _ in range(2):  # and no second one
        record_missing_checks(log, golden)
        records = list(audit.read(log))
        assert [record.new.partition(",")[0] for record in records] == [
            "passed",
            "passed",
            "failed",
            "passed",
        ]
    assert [record.new.split()[8] for record in records] == [f"{digest_of(result)}," for result in results]
    late = records[2]
    assert (late.who, late.door, late.object, late.action) == ("kim", "start", "cells@2", AuditAction.GOLDEN)
    assert late.why == "recorded at the next start; crack-1 on side: pass"


def test_a_pass_that_is_void_gets_its_record_as_that(files):
    log, golden = files
    for result in map(check, (1, 2, 3)):
        append_line(golden, result)
    append_line(golden, CheckVoid(4, "kim-2", "cells", 2, "cd" * 32, "a camera was changed"))
    append_line(golden, check(5))
    record_missing_checks(log, golden)
    void = "counts for nothing: a camera was changed"
    assert [record.result for record in audit.read(log)] == ["done", void, void, "done"]


def test_a_check_between_others_that_are_recorded_is_made_up_for_too(files, monkeypatch):
    log, golden = files
    for number in range(1, 4):
        result = check(number, GoldenOutcome.FAILED if number == 2 else GoldenOutcome.PASSED)
        append_line(golden, result)
        if number != 2:
            append_record(log, check_entry(result, "local", "due", ""))
    for _ in range(2):
        record_missing_checks(log, golden)
        assert [record.new.rpartition("-")[2] for record in audit.read(log)] == ["1", "3", "2"]
    monkeypatch.setattr(line_audit, "_MOST_RECORDS", 2)  # nobody knows whether the first one is recorded
    record_missing_checks(log, golden)
    assert len(list(audit.read(log))) == 3


def lost(log: Path, *checks: CheckResult) -> set[str]:
    return past_by_audit(log, GoldenLines(list(checks), 0, 0, 0)).lost


def test_a_check_that_failed_counts_where_only_the_audit_file_is_left_to_say_so(files):
    log, golden = files
    assert lost(log) == set()
    results = [check(1), check(2, GoldenOutcome.FAILED)]
    for result in results:
        append_line(golden, result)
        append_record(log, check_entry(result, "local", "due", ""))
    assert lost(log, *results) == set()
    assert lost(log, results[0]) == {"cd" * 32}  # an older golden.jsonl
    assert lost(log) == {"cd" * 32}
    assert past_by_audit(log, GoldenLines([], 0, 0, 0)).past == {"cd" * 32: GoldenPast(is_failed=True)}
    made_up = msgspec.structs.replace(check(3), utc_ns=2**62)  # it passed, and the audit file lacks that
    assert lost(log, made_up) == set()
    append_record(log, check_entry(check(4), "local", "failed", ""), "not in golden.jsonl: disk full")
    assert lost(log) == {"cd" * 32}
    append_record(log, check_entry(check(5), "local", "failed", ""))
    assert lost(log) == set()


def test_a_pass_of_a_clock_that_was_ahead_is_not_after_the_check_that_failed(files):
    log, _ = files
    ahead = msgspec.structs.replace(check(1), utc_ns=2**62)
    append_record(log, check_entry(ahead, "local", "due", ""))
    append_record(log, check_entry(check(2, GoldenOutcome.FAILED), "local", "passed", ""))
    assert lost(log, ahead) == {"cd" * 32}


def test_a_pass_that_the_audit_file_says_is_not_in_the_file_counts_no_more_where_it_is_found_there(files):
    log, _ = files
    failed, passed, again = check(1, GoldenOutcome.FAILED), check(2), check(3)
    append_record(log, check_entry(failed, "local", "due", ""))
    append_record(log, check_entry(passed, "local", "failed", ""), "not in golden.jsonl: Input/output error")
    for lines, past in (
        ([failed, passed], GoldenPast(is_failed=True)),
        ([failed, passed, again], GoldenPast(3)),
    ):
        for unbelieved in (0, 1):
            assert past_by_audit(log, GoldenLines(lines, 0, unbelieved, 0)).past == {"cd" * 32: past}
    assert lost(log, passed) == {"cd" * 32}


def test_a_pass_that_was_made_up_for_later_hides_no_failure_that_only_the_audit_file_has(files):
    log, _ = files
    before, after = check(1), msgspec.structs.replace(check(3), utc_ns=2**62)
    append_record(log, check_entry(check(2, GoldenOutcome.FAILED), "local", "due", ""))
    for made_up in (before, after):
        append_record(log, check_entry(made_up, "start", None, "recorded at the next start"))
    assert lost(log, before) == {"cd" * 32}
    assert lost(log, before, after) == set()


def test_no_pass_counts_that_an_altered_record_may_hide_a_failure_of(files):
    log, _ = files
    for who in ("kim", "ann"):
        append_record(log, AuditEntry(AuditAction.RELOAD, who, "local", "file", None, None, "a"))
    log.write_bytes(log.read_bytes().replace(b'"kim"', b'"tim"'))
    passed = check(1)
    assert past_by_audit(log, GoldenLines([passed], 0, 0, 0)).past["cd" * 32].passed_utc_ns is None
    append_record(log, check_entry(passed, "local", "due", ""))  # a later record confirms it
    assert past_by_audit(log, GoldenLines([passed], 0, 0, 0)).past["cd" * 32].passed_utc_ns == 1


def put_in_force(log: Path, new: str, result: str = audit.DONE) -> None:
    entry = AuditEntry(AuditAction.ACTIVATE, "kim", "local", "cells", "file@0 " + "ef" * 32, new)
    append_record(log, entry, result)


def test_a_pass_counts_where_it_was_recorded_after_what_put_its_recipe_in_force_whatever_the_clock_says(
    files,
):
    log, _ = files
    ahead, cells = msgspec.structs.replace(check(1), utc_ns=2**62), "cells@2 " + "cd" * 32
    subject = GoldenSubject("cells", "cd" * 32, 2)

    def counts(passed: CheckResult) -> bool:
        return past_by_audit(log, GoldenLines([passed], 0, 0, 0)).is_as_it_passed(subject)

    put_in_force(log, cells)
    assert not counts(check(1))  # there is no record of it, and by the clock it came before
    assert counts(ahead)
    append_record(log, check_entry(check(1), "local", "due", ""))
    assert counts(check(1))
    put_in_force(log, cells, "failed: disk full")
    put_in_force(log, "other@1 " + "cd" * 32)
    assert not counts(check(1))
    append_record(log, check_entry(ahead, "local", "due", ""))
    assert counts(ahead)
    put_in_force(log, cells)
    assert not counts(ahead)
    made_up = msgspec.structs.replace(ahead, who="ann")
    append_record(log, check_entry(made_up, "start", "", ""))
    assert not counts(ahead)
    assert counts(made_up)
    put_in_force(log, cells)
    assert not counts(made_up)  # whatever its clock said: it was recorded before


def test_what_judged_last_that_nobody_can_know_is_another_than_now(files):
    log, _ = files
    passed = msgspec.structs.replace(check(1), recipe="cell", recipe_version=None, recipe_sha256="11" * 32)

    def counts(sha256: str = "11" * 32, *, is_default: bool = True) -> bool:
        found = past_by_audit(log, GoldenLines([passed], 0, 0, 0))
        return found.is_as_it_passed(GoldenSubject("cell", sha256, None, is_default))

    assert not counts()
    record_changed_judgements(log, [("11" * 32, BANK, True)])
    append_record(log, check_entry(passed, "local", "due", ""))
    assert counts()
    assert not counts(is_default=False)
    assert not counts("22" * 32)
    record_changed_judgements(log, [("11" * 32, BANK, False)])
    record_changed_judgements(log, [("11" * 32, BANK, True)])
    assert not counts()
    append_record(log, check_entry(passed, "local", "due", ""))
    put_in_force(log, "other@1 " + "33" * 32)
    assert counts()
    log.write_bytes(log.read_bytes().replace(b'"action":"threshold"', b'"action":"threshole"'))
    assert not counts()


def test_what_the_file_of_a_run_lacked_needs_a_check_once_it_is_back(files):
    log, _ = files
    passed = msgspec.structs.replace(check(1), recipe="cell", recipe_version=None, recipe_sha256="11" * 32)
    cell, other = ("11" * 32, BANK, True), ("22" * 32, msgspec.structs.replace(BANK, recipe="other"), True)

    def counts() -> bool:
        found = past_by_audit(log, GoldenLines([passed], 0, 0, 0))
        return found.is_as_it_passed(GoldenSubject("cell", "11" * 32))

    record_changed_judgements(log, [cell])
    append_record(log, check_entry(passed, "local", "due", ""))
    record_changed_judgements(log, [other], {"cell", "other"})  # it is in the file, but its bank is not known
    assert counts()
    record_changed_judgements(log, [other])
    record_changed_judgements(log, [other])  # once
    *_, gone = audit.read(log)
    assert (gone.object, gone.new, gone.seq) == ("cell", "not in the configuration file", 4)
    assert not counts()
    record_changed_judgements(log, [cell])  # as a reload, or a start with the first file
    assert not counts()
    append_record(log, check_entry(passed, "local", "due", ""))
    assert counts()


def as_it_passed(log: Path, passed: CheckResult, *, is_default: bool) -> bool:
    subject = GoldenSubject(passed.recipe, passed.recipe_sha256, None, is_default)
    return past_by_audit(log, GoldenLines([passed], 0, 0, 0)).is_as_it_passed(subject)


@pytest.mark.parametrize("is_default", [True, False])
def test_an_upgrade_that_says_more_of_a_recipe_makes_no_check_due(files, is_default):
    log, _ = files
    passed = msgspec.structs.replace(check(1), recipe="cell", recipe_version=None, recipe_sha256="11" * 32)
    said = f"threshold 2.5, bank {'ab' * 32}, recipe {'11' * 32}"  # by the version before, whatever judges
    earlier = AuditEntry(
        AuditAction.THRESHOLD, "unknown", "start", "cell", None, said, "the first record of it"
    )
    append_record(log, earlier)
    append_record(log, check_entry(passed, "local", "due", ""))
    for _ in range(2):
        assert as_it_passed(log, passed, is_default=is_default)
        record_changed_judgements(log, [("11" * 32, BANK, is_default)])
    *_, last = audit.read(log)
    assert (last.seq, last.old, last.why[:35]) == (3, said, "nothing changed; this version also ")
    assert not as_it_passed(log, passed, is_default=not is_default)
    append_record(log, earlier._replace(old=last.new))  # that version runs once more
    assert as_it_passed(log, passed, is_default=is_default)
    record_changed_judgements(log, [("11" * 32, BANK, not is_default)])
    record_changed_judgements(log, [("11" * 32, BANK, is_default)])
    assert not as_it_passed(log, passed, is_default=is_default)


def fill(log: Path, count: int) -> None:
    for number in range(count):
        append_record(
            log, AuditEntry(AuditAction.TEACH, "kim", "page", f"case 1-{number}", None, "good", "a")
        )


def test_a_pass_counts_however_many_records_came_after_what_says_by_what_the_line_judges(files, monkeypatch):
    monkeypatch.setattr(line_audit, "_MOST_RECORDS", 20)
    log, _ = files
    passed = msgspec.structs.replace(check(1), recipe="cell", recipe_version=None, recipe_sha256="11" * 32)

    def start(sha256: str = "11" * 32) -> audit.AuditRecord:
        record_changed_judgements(log, [(sha256, BANK, True)])
        return list(audit.read(log))[-1]

    start()
    fill(log, 30)
    append_record(log, check_entry(passed, "local", "due", "", is_default=True))
    assert as_it_passed(log, passed, is_default=True)  # by the check's own record
    assert not as_it_passed(log, passed, is_default=False)
    anew = start()
    assert (anew.old, anew.why[:32]) == (anew.new, "nothing changed; written anew, a")
    assert as_it_passed(log, passed, is_default=True)
    fill(log, 5)
    assert start().action is AuditAction.TEACH
    for _ in range(3):  # at each start before it lies too far back, also of the check
        fill(log, 12)
        assert start().old == anew.new
        assert as_it_passed(log, passed, is_default=True)
    assert start("22" * 32).why.startswith("found by the line")
    fill(log, 30)
    assert not as_it_passed(log, passed, is_default=True)
    assert start().why == "the first record of it among the last 20"
    append_record(log, check_entry(passed, "local", "due", "", is_default=True))
    fill(log, 19)
    assert start("22" * 32).old == f"recipe {'11' * 32}, as a camera has it"
    assert not as_it_passed(log, passed, is_default=True)


def test_the_name_of_a_check_cannot_push_its_line_out_of_the_record(files):
    log, golden = files
    failed = msgspec.structs.replace(check(1, GoldenOutcome.FAILED), check="\x01" * 64)
    append_line(golden, failed)
    for _ in range(2):
        record_missing_checks(log, golden)
        assert len(list(audit.read(log))) == 1
    assert lost(log) == {"cd" * 32}


def test_a_line_without_checks_records_none(files):
    record_missing_checks(*files)
    assert not files[0].exists()


def test_another_threshold_bank_or_setting_is_recorded_once(files):
    log, _ = files
    for sha256, bank in (
        ("11" * 32, BANK),
        ("11" * 32, BANK),
        ("22" * 32, msgspec.structs.replace(BANK, threshold=2.75)),
        ("22" * 32, msgspec.structs.replace(BANK, threshold=2.75, recipe="cell#1")),  # it was read again
    ):
        record_changed_judgements(log, [(sha256, bank, True)])
    first, second = audit.read(log)
    assert (first.object, first.old, first.who, first.door) == ("cell", None, "unknown", "start")
    assert (first.why, second.why[:17]) == ("the first record of it", "found by the line")
    assert first.new == f"threshold 2.5, bank {'ab' * 32}, recipe {'11' * 32}, as a camera has it"
    assert (second.old, second.new[:14]) == (first.new, "threshold 2.75")


@pytest.mark.parametrize("is_at_the_end", [False, True])
def test_what_judged_is_recorded_in_its_order_once_the_disk_takes_it(tmp_path, is_at_the_end):
    log, away = tmp_path / "state" / "audit.jsonl", tmp_path / "away"
    record_changed_judgements(log, [("11" * 32, BANK, True)])  # by the run before
    now, told, answers, clerk = [0], [], [], DiskClerk()
    line = LineAudit(
        log, clerk, Metrics("line", ["top"], 100.0), lambda *_, **__: told.append("event"), lambda: now[0]
    )

    def settled(do: Callable[[], object]) -> None:
        do()
        clerk.ask(lambda: None, lambda _: answers.append("answer"), answers.append)
        while not answers:
            assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
            clerk.take_answers()
        answers.clear()

    log.parent.rename(away)
    for sha256 in ("22" * 32, "11" * 32):  # another bank, and the first one again
        settled(lambda sha256=sha256: line.record_judged([(sha256, BANK, True)]))
    now[0] = 10 * 10**9
    settled(lambda: line.turn(now[0]))
    assert told == ["event"] * 2  # and none of what is tried again
    away.rename(log.parent)
    settled(lambda: line.turn(19 * 10**9))
    assert len(list(audit.read(log))) == 1
    settled(line.close if is_at_the_end else lambda: line.turn(20 * 10**9))
    clerk.close()
    recipes = [record.new.partition("recipe ")[2][:64] for record in audit.read(log)]
    assert recipes == ["11" * 32, "22" * 32, "11" * 32]


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_state_folder_that_went_away_is_a_condition_though_nothing_is_to_be_written(tmp_path, is_made_anew):
    log, away = tmp_path / "state" / "audit.jsonl", tmp_path / "away"
    record_changed_judgements(log, [("11" * 32, BANK, True)])
    told, answers, clerk = [], [], DiskClerk()
    line = LineAudit(
        log, clerk, Metrics("line", ["top"], 100.0), lambda *_, detail: told.append(detail), lambda: 0
    )
    log.parent.rename(away)
    if is_made_anew:
        log.parent.mkdir()
    line.turn(0)
    clerk.ask(lambda: None, answers.append, answers.append)
    while not answers:
        assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
        clerk.take_answers()
    clerk.close()
    [(name, detail)] = line.conditions()
    how = "another one" if is_made_anew else "gone"
    assert (name, f"its folder is {how}" in detail, len(told)) == ("audit_failed", True, 1)


def test_a_file_that_takes_no_records_is_a_condition_until_it_takes_some(tmp_path):
    log, away = tmp_path / "state" / "audit.jsonl", tmp_path / "away"
    record_changed_judgements(log, [("11" * 32, BANK, True)])
    now, told, answers, clerk = [0], [], [], DiskClerk()
    line = LineAudit(
        log, clerk, Metrics("line", ["top"], 100.0), lambda *_, detail: told.append(detail), lambda: now[0]
    )

    def settled(do: Callable[[], object]) -> list[tuple[str, str]]:
        do()
        clerk.ask(lambda: None, answers.append, answers.append)
        while not answers:
            assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
            clerk.take_answers()
        answers.clear()
        return line.conditions()

    assert settled(lambda: line.turn(0)) == []
    log.rename(away)
    log.symlink_to(away)  # by which readers go, and no writer
    assert settled(lambda: line.turn(59 * 10**9)) == []
    assert settled(lambda: line.turn(60 * 10**9))[0][0] == "audit_failed"
    line.make_up_for(tmp_path / "golden.jsonl")  # nothing to write
    assert settled(lambda: line.turn(70 * 10**9)) != []
    why = "is a symbolic link, expected the file itself; stop the line and move the file here"
    assert told == [f"it takes no records: {log}: cannot be opened: {why}"]
    log.unlink()
    away.rename(log)
    assert settled(lambda: line.turn(80 * 10**9)) == []
    with log.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        settled(lambda: line.record_judged([("22" * 32, BANK, True)]))
        assert "another process has it" in line.conditions()[0][1]
        assert settled(lambda: line.turn(89 * 10**9)) != []
    now[0] = 90 * 10**9
    settled(lambda: line.turn(now[0]))
    assert settled(lambda: line.turn(now[0])) == []
    clerk.close()
    assert len(list(audit.read(log))) == 2


def test_of_more_than_can_be_owed_what_judges_now_is_recorded(tmp_path, monkeypatch):
    log, away, clerk = tmp_path / "state" / "audit.jsonl", tmp_path / "away", DiskClerk()
    log.parent.mkdir()
    line = LineAudit(log, clerk, Metrics("line", ["top"], 100.0), lambda *_, **__: None)
    log.parent.rename(away)
    monkeypatch.setattr("inspectd.line_audit._MOST_OWED", 2)
    for number in range(1, 6):
        line.record_judged([(f"{number}" * 64, BANK, True)])
    answers = []
    clerk.ask(lambda: away.rename(log.parent), answers.append, answers.append)
    while not answers:
        assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
        clerk.take_answers()
    line.close()
    clerk.close()
    assert [record.new.partition("recipe ")[2][0] for record in audit.read(log)] == ["1", "5"]


def test_what_judged_is_recorded_before_a_check_that_comes_after_it(tmp_path):
    log, away, clerk = tmp_path / "state" / "audit.jsonl", tmp_path / "away", DiskClerk()
    log.parent.mkdir()
    line = LineAudit(log, clerk, Metrics("line", ["top"], 100.0), lambda *_, **__: None)
    log.parent.rename(away)
    line.record_judged([("11" * 32, BANK, True)])
    assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
    away.rename(log.parent)
    line.record_check(check(1), door="local", old="due", why="")
    clerk.close()
    assert [record.action for record in audit.read(log)] == [AuditAction.THRESHOLD, AuditAction.GOLDEN]
