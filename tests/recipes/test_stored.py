"""What a line records of its recipes: a change that was acknowledged to nobody judges at no start."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from support.changeovers import add_recipe
from support.daemon import camera_table, settings

from inspectd import config
from inspectd.errors import InputError, UnavailableError
from inspectd.files import OwnFile
from inspectd.meant_asker import MeantAsker
from inspectd.recipe_watch import RecipeWatch
from inspectd.recipes.audit import (
    AuditAction,
    AuditLog,
    AuditRecord,
    changes_in_force,
    history,
    in_force,
    log,
)
from inspectd.recipes.audit.mark import AuditMark, write_mark
from inspectd.recipes.book import RecipeBook, of_file
from inspectd.recipes.clerk import DiskClerk
from inspectd.recipes.stored import (
    Change,
    NotBeforeError,
    NotStoredError,
    RecipeNotFoundError,
    RecipeRecords,
    recipe_before,
    sha256_of_file,
)


def oldest_first(audit: Path) -> list[AuditRecord]:
    return [*changes_in_force(audit)][::-1]


ASKED = Change(AuditAction.ACTIVATE, "anna", "local", "order 7")


@pytest.fixture
def records(tmp_path: Path, stub_bank: Path, good_folder: Path) -> RecipeRecords:
    state = tmp_path / "state"
    state.mkdir()
    for number, name in enumerate("ab", 1):
        add_recipe(state, name, number, {"cam": 0.5 * number})
    file = tmp_path / "line.toml"
    file.write_text(settings(stub_bank, camera_table("cam", good_folder)))
    return RecipeRecords(config.load(file), state)


def test_a_change_that_was_given_up_meanwhile_is_taken_back(records: RecipeRecords, tmp_path: Path) -> None:
    a, b = records.read("a", 1), records.read("b", 1)
    records.record(ASKED, records.file, a)
    with pytest.raises(UnavailableError, match="taken back"):
        records.record(ASKED, a, b, lambda: False)
    assert records.in_force().name == "a@1"
    assert [record.new for record in oldest_first(tmp_path / "state" / "audit.jsonl")] == [f"a@1 {a.sha256}"]
    said = [(record.action, (record.new or "")[:3]) for record in history(tmp_path / "state" / "audit.jsonl")]
    assert said == [("activate", "a@1"), ("activate", "b@1"), ("rollback", "a@1")]


def test_no_word_of_who_asks_makes_a_change_one_that_was_taken_back(
    records: RecipeRecords, tmp_path: Path
) -> None:
    audit, a, b = tmp_path / "state" / "audit.jsonl", records.read("a", 1), records.read("b", 1)
    records.change(ASKED, records.file, a, lambda: True)
    with pytest.raises(UnavailableError, match="taken back"):
        records.record(ASKED, a, b, lambda: False)
    taken_back = list(history(audit))[-1]
    assert taken_back.door == "late"
    for action in (AuditAction.ACTIVATE, AuditAction.ROLLBACK):
        same_words = Change(action, taken_back.who, "local", taken_back.why or "")
        records.record(same_words, a, b)
        assert (oldest_first(audit)[-1].action, oldest_first(audit)[-1].why) == (action, taken_back.why)
        records.record(ASKED, b, a)
    assert len(oldest_first(audit)) == 5


@pytest.mark.parametrize("is_first", [True, False])
def test_what_a_killed_line_had_recorded_and_told_nobody_is_taken_back_by_the_next_start(
    records: RecipeRecords, tmp_path: Path, is_first: bool
) -> None:
    audit = tmp_path / "state" / "audit.jsonl"
    a, b = records.read("a", 1), records.read("b", 1)
    old = records.file
    if not is_first:
        records.record(ASKED, records.file, a)
        old = a

    class KilledError(BaseException):
        """Where the line is killed."""

    def kill() -> bool:
        raise KilledError

    with pytest.raises(KilledError):
        records.record(ASKED, old, b, kill)
    assert records.in_force().name == old.name
    for _ in range(2):
        records.settle()
        assert records.in_force().name == old.name
    last = list(history(audit))[-1]  # now that it is settled
    assert (last.action, last.who, last.door) == ("rollback", "inspectd", "start")
    assert last.old == f"b@1 {b.sha256}"
    assert (last.new or "").startswith(old.name)
    assert len(list(history(audit))) == (2 if is_first else 3)
    records.record(ASKED, old, b)
    assert records.in_force().name == "b@1"


def test_what_a_killed_line_left_is_taken_back_once_nobody_else_writes_a_record(
    records: RecipeRecords, tmp_path: Path
) -> None:
    audit, a, b = tmp_path / "state" / "audit.jsonl", records.read("a", 1), records.read("b", 1)
    records.record(ASKED, records.file, a)

    class KilledError(BaseException):
        """Where the line is killed."""

    def kill() -> bool:
        raise KilledError

    with pytest.raises(KilledError):
        records.record(ASKED, a, b, kill)
    with ThreadPoolExecutor(1) as asking:
        with AuditLog(audit):
            change = asking.submit(records.record, ASKED, a, b)
            with pytest.raises(TimeoutError):
                change.result(0.1)
        change.result(10)
    assert [(each.action, (each.new or "")[:3]) for each in history(audit)][2:] == [
        ("rollback", "a@1"),
        ("activate", "b@1"),
    ]


def test_what_is_taken_back_never_counts_whenever_that_is_killed(
    records: RecipeRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = records.read("a", 1), records.read("b", 1)
    records.record(ASKED, records.file, a)
    written = 0
    for last in range(1, 6):  # of all marks that are written until it is taken back
        written = 0

        def write(audit: Path, mark: AuditMark, most: int = last) -> None:
            nonlocal written
            written += 1
            if written == most:
                raise UnavailableError("killed")
            write_mark(audit, mark)

        monkeypatch.setattr(log, "write_mark", write)
        with pytest.raises(UnavailableError):
            records.record(ASKED, a, b, lambda: False)
        monkeypatch.undo()
        assert records.in_force().name == "a@1"
        assert [record.object for record in oldest_first(tmp_path / "state" / "audit.jsonl")] == ["a"]
    records.settle()
    assert records.in_force().name == "a@1"
    records.record(ASKED, a, b)
    assert [record.object for record in oldest_first(tmp_path / "state" / "audit.jsonl")] == ["a", "b"]


def test_a_restored_file_is_guarded_again_from_the_next_start_on(
    records: RecipeRecords, tmp_path: Path
) -> None:
    audit = tmp_path / "state" / "audit.jsonl"
    records.settle()
    assert not audit.exists()
    records.record(ASKED, records.file, records.read("a", 1))
    audit.with_suffix(".mark").unlink()  # as who restores a copy does
    records.settle()
    audit.write_bytes(b"")
    with pytest.raises(InputError, match="record 1, which put a@1 in force, is gone"):
        in_force(audit)
    records.confirm(ASKED, records.read("b", 1))  # by which a running line judges
    assert records.in_force().name == "b@1"


def test_what_a_version_that_notes_nothing_puts_in_force_counts_and_is_guarded_from_the_next_start_on(
    records: RecipeRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit, a, b = tmp_path / "state" / "audit.jsonl", records.read("a", 1), records.read("b", 1)
    records.record(ASKED, records.file, a)

    def fill(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "pwrite", fill)
        with pytest.raises(UnavailableError, match="nothing was changed"):
            records.record(ASKED, a, b)
    assert records.in_force().name == "a@1"
    noted = audit.with_suffix(".mark").read_bytes()
    assert b"pending_sha256" in noted
    records.record(Change(AuditAction.ACTIVATE, "eve", "command", "by an older version"), a, b)
    audit.with_suffix(".mark").write_bytes(noted)  # as such a version leaves it
    assert records.in_force().name == "b@1"
    records.settle()
    assert records.in_force().name == "b@1"
    assert [record.object for record in oldest_first(audit)] == ["a", "b"]
    *rest, _last = audit.read_bytes().splitlines(keepends=True)
    audit.write_bytes(b"".join(rest))
    with pytest.raises(InputError, match="record 2, which put b@1 in force, is gone"):
        records.in_force()


def test_a_change_that_an_earlier_version_announced_by_its_number_does_not_count_either(
    records: RecipeRecords, tmp_path: Path
) -> None:
    audit, a, b = tmp_path / "state" / "audit.jsonl", records.read("a", 1), records.read("b", 1)
    records.record(ASKED, records.file, a)
    noted = json.loads(audit.with_suffix(".mark").read_bytes())
    records.record(ASKED, a, b)
    audit.with_suffix(".mark").write_text(
        json.dumps({name: noted[name] for name in ("seq", "sha256", "new")} | {"pending": 2})
    )
    assert records.in_force().name == "a@1"
    records.settle()
    assert records.in_force().name == "a@1"
    assert [record.object for record in oldest_first(audit)] == ["a"]


def test_an_id_or_number_means_the_version_that_was_in_force_last_of_those_still_there(
    records: RecipeRecords, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    a1, b = records.read("a", None), records.read("b", 1)
    add_recipe(state, "a", 1, {"cam": 0.7})
    a2 = records.read(1, None)
    assert (a1.name, a2.name) == ("a@1", "a@2")  # none was in force, so the newest
    for old, new in ((records.file, a1), (a1, a2), (a2, a1), (a1, b)):  # that is, a@2 was rolled back
        records.record(ASKED, old, new)
    with pytest.raises(UnavailableError, match="taken back"):
        records.record(ASKED, b, a2, lambda: False)
    add_recipe(state, "a", 3, {"cam": 0.9})  # nobody puts it in force, so its number is nobody's
    anew = RecipeRecords(config.load(tmp_path / "line.toml"), state)
    for each in (records, anew):
        assert (each.read("a", None).name, each.read(1, None).name) == ("a@1", "a@1")
        assert each.read("a", None, is_newest_meant=True).name == "a@3"
        assert each.meant.of_those_put_in_force() == ({"a": 1, "b": 1}, None)
        with pytest.raises(RecipeNotFoundError, match="no recipe has number 3"):
            each.read(3, None)
    records.record(ASKED, b, records.file)
    for each in (records, RecipeRecords(config.load(tmp_path / "line.toml"), state)):
        assert list(each.meant.of_those_put_in_force()[0].items()) == [("file", 0), ("b", 1), ("a", 1)]
    shutil.rmtree(state / "recipes" / "a" / "1")
    assert (records.read("a", None).name, anew.read("a", None).name) == ("a@2", "a@2")
    records.record(ASKED, b, records.read("a", 3))
    assert (records.read("a", None).name, records.read(3, None).name) == ("a@3", "a@3")


def test_a_disk_that_does_not_say_at_the_start_what_an_id_means_is_asked_again(
    records: RecipeRecords, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    add_recipe(state, "a", 1, {"cam": 0.7})
    versions = records.read("a", 1), records.read("a", 2)
    records.record(ASKED, records.file, versions[0])
    audit, away = state / "audit.jsonl", state / "away"
    audit.rename(away)
    audit.symlink_to(audit)  # nothing can be opened there
    book, told, now, clerk = RecipeBook(records.file), [], [0], DiskClerk()
    for each in versions:
        book.add(each)
    anew = RecipeRecords(config.load(tmp_path / "line.toml"), state)
    asker = MeantAsker(book, anew, clerk, lambda *_, detail="", **__: told.append(detail), lambda: now[0])

    def answered() -> None:
        assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
        clerk.take_answers()

    asker.ask()
    answered()
    assert book.find("a", None) is None
    asker.ask_again(59 * 10**9)
    assert asker.is_waiting
    asker.ask_again(60 * 10**9)
    assert not asker.is_waiting
    answered()
    assert asker.is_waiting
    audit.unlink()
    away.rename(audit)
    asker.ask_again()  # as somebody has a recipe prepared
    answered()
    assert (book.find("a", None), asker.is_waiting) == (versions[0], False)
    (detail,) = told
    assert "is not known yet (it is asked again every minute), so name versions, or put the version" in detail
    clerk.close()


def test_that_nobody_asks_any_more_what_an_id_means_is_told_who_was_promised_it(
    records: RecipeRecords, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    add_recipe(state, "a", 1, {"cam": 0.7})
    for _ in range(2):
        records.record(ASKED, records.file, records.read("a", 1))
    audit, away = state / "audit.jsonl", state / "away"
    audit.rename(away)
    audit.symlink_to(audit)  # nothing can be opened there
    told, now, clerk = [], [0], DiskClerk()
    anew = RecipeRecords(config.load(tmp_path / "line.toml"), state)
    asker = MeantAsker(
        RecipeBook(records.file), anew, clerk, lambda *_, detail="", **__: told.append(detail), lambda: now[0]
    )

    def answered() -> None:
        assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
        clerk.take_answers()

    asker.ask()
    answered()
    audit.unlink()
    audit.write_bytes(away.read_bytes().replace(b"file@0", b"filo@0", 1))  # that record was altered
    now[0] = 60 * 10**9
    asker.ask_again(now[0])
    answered()
    assert not asker.is_waiting
    clerk.close()
    assert ["asked again" in detail for detail in told] == [True, False]


def test_a_line_whose_state_came_after_its_start_judges_by_another_recipe_than_it_says(
    records: RecipeRecords, tmp_path: Path
) -> None:
    state, away = tmp_path / "state", tmp_path / "away"
    records.record(ASKED, records.file, records.read("a", 1))
    state.rename(away)
    state.mkdir()  # as below a mount point
    book, told, clerk = RecipeBook(records.in_force()), [], DiskClerk()
    watch = RecipeWatch(book, records, clerk, lambda *_, detail="", **__: told.append(detail))

    def looks(second: int) -> list[tuple[str, str]]:
        watch.turn(second * 10**9, is_recording=False)
        assert select.select([clerk], [], [], 10)[0], "the clerk does not answer"
        clerk.take_answers()
        return watch.conditions()

    assert looks(0) == []
    state.rmdir()
    away.rename(state)
    watch.turn(59 * 10**9, is_recording=False)
    watch.turn(60 * 10**9, is_recording=True)
    assert not select.select([clerk], [], [], 0)[0]
    ((condition, detail),) = looks(60)
    assert looks(65) == [(condition, detail)]
    assert detail in told
    assert "says that a@1 0" in detail.replace(records.read("a", 1).sha256, "0")
    assert (
        "and the line judges by file; was it replaced, or is its disk away? Put it back, or restart" in detail
    )
    records.record(ASKED, records.read("a", 1), records.file)
    assert (looks(70), len(told)) == ([], 1)
    clerk.close()


def test_a_running_line_writes_into_the_audit_file_of_its_start_and_into_no_other(
    records: RecipeRecords, tmp_path: Path
) -> None:
    state, away = tmp_path / "state", tmp_path / "away"
    a, b = records.read("a", 1), records.read("b", 1)
    records.record(ASKED, records.file, a)
    line = config.load(tmp_path / "line.toml")
    of_line = RecipeRecords(line, state, OwnFile(state / "audit.jsonl"))
    shutil.copytree(state, tmp_path / "copy")
    state.rename(away)

    def refused(told: str, *writers: Callable[[], object]) -> None:
        before = {path: path.read_bytes() for path in state.glob("audit.*")}
        for write in writers:
            with pytest.raises(UnavailableError, match=told):
                write()
        assert {path: path.read_bytes() for path in state.glob("audit.*")} == before

    (tmp_path / "copy").rename(state)
    refused(
        "its folder is another one",
        lambda: of_line.change(ASKED, a, b, lambda: True),
        lambda: of_line.change(ASKED._replace(action=AuditAction.ROLLBACK), a, b, lambda: True),
        lambda: of_line.record(ASKED, a, b),
        lambda: of_line.record_shadow(ASKED, None, b),
        of_line.settle,
    )
    RecipeRecords(line, state).record(ASKED, a, b)  # as a command does, where no line runs
    state.rename(tmp_path / "copy")
    away.rename(state)
    (state / "audit.jsonl").rename(away)
    refused("is gone since the line began to use it", lambda: of_line.confirm(ASKED, a))
    away.rename(state / "audit.jsonl")
    of_line.change(ASKED, a, b, lambda: True)
    assert records.in_force().name == "b@1"


def test_only_what_the_store_holds_comes_in_force(records: RecipeRecords, tmp_path: Path) -> None:
    store = tmp_path / "state" / "recipes"
    a, b = records.read("a", 1), records.read("b", 1)
    records.change(ASKED, records.file, a, lambda: True)
    with pytest.raises(NotStoredError, match=r"b@1 is loaded with sha256 0000.*another one under that name"):
        records.change(ASKED, a, msgspec.structs.replace(b, sha256="0" * 64), lambda: True)
    shutil.rmtree(store / "b" / "1")
    with pytest.raises(NotStoredError, match=r"b@1 is loaded .* the store does not hold it"):
        records.change(ASKED, a, b, lambda: True)
    assert records.in_force().name == "a@1"
    records.change(ASKED, a, records.file, lambda: True)


def test_of_the_configuration_file_only_what_it_says_now_comes_in_force_or_judges_untold(
    records: RecipeRecords, tmp_path: Path
) -> None:
    a, before = records.read("a", 1), records.file
    records.change(ASKED, before, a, lambda: True)
    file = tmp_path / "line.toml"
    file.write_text(file.read_text().replace("[[recipes]]", "[[recipes]]\nthreshold = 0.1"))
    read_again = config.load(file)
    assert sha256_of_file(read_again) != before.sha256
    records.use_file(read_again, of_file(read_again, sha256_of_file(read_again), 1))
    with pytest.raises(NotStoredError, match=r"^file with .* before it was read again, expected file@1 with"):
        records.change(ASKED, a, before, lambda: True)
    assert records.in_force().name == "a@1"
    records.change(ASKED, a, records.file, lambda: True)
    records.refuse_contradiction(records.file)
    with pytest.raises(InputError, match="is what the configuration file said before it was read again"):
        records.refuse_contradiction(before)


def test_where_the_audit_file_is_damaged_no_version_is_guessed(
    records: RecipeRecords, tmp_path: Path
) -> None:
    state, a, b = tmp_path / "state", records.read("a", 1), records.read("b", 1)
    for name in "ab":
        add_recipe(state, name, "ab".index(name) + 1, {"cam": 0.7})
    records.record(ASKED, records.file, a)
    records.record(ASKED, a, b)
    audit = state / "audit.jsonl"
    audit.write_bytes(audit.read_bytes().replace(b"a@1", b"a@2", 1))
    anew = RecipeRecords(config.load(tmp_path / "line.toml"), state)
    assert (anew.read("b", None).name, anew.read(2, None).name, anew.read("a", 1).name) == (
        "b@1",
        "b@1",
        "a@1",
    )
    for named in ("a", 1):
        with pytest.raises(
            RecipeNotFoundError, match=r"which version of a was in force last, so name .*1, 2"
        ):
            anew.read(named, None)


def test_nor_where_what_the_rest_of_it_tells_was_taken_out_of_the_store(
    records: RecipeRecords, tmp_path: Path
) -> None:
    state, a1 = tmp_path / "state", records.read("a", 1)
    add_recipe(state, "a", 1, {"cam": 0.7})  # which nobody puts in force
    add_recipe(state, "a", 1, {"cam": 0.9})
    records.record(ASKED, records.file, a1)
    records.record(ASKED, a1, records.read("a", 3))
    audit = state / "audit.jsonl"
    audit.write_bytes(audit.read_bytes().replace(b"a@1", b"a@2", 1))
    anew = RecipeRecords(config.load(tmp_path / "line.toml"), state)
    assert anew.read("a", None).name == "a@3"
    shutil.rmtree(state / "recipes" / "a" / "3")
    with pytest.raises(RecipeNotFoundError, match=r"which version of a was in force last, so name .*1, 2"):
        anew.read("a", None)


def test_a_rollback_leads_only_to_what_was_in_force_before_the_last_change(records: RecipeRecords) -> None:
    a, b, file = records.read("a", 1), records.read("b", 1), records.file
    back = Change(AuditAction.ROLLBACK, "quinn", "local", "rejects")
    with pytest.raises(NotBeforeError, match="no recipe was put in force yet"):
        records.change(back, file, a, lambda: True)
    records.change(ASKED, file, a, lambda: True)
    with pytest.raises(UnavailableError, match="taken back"):
        records.change(ASKED, a, b, lambda: False)
    with pytest.raises(NotBeforeError, match=r"b@1 is not what was in force before .* that was file"):
        records.change(back, a, b, lambda: True)
    assert records.in_force().name == "a@1"
    records.change(back, a, file, lambda: True)
    assert records.in_force().name == "file"
    for other in (a, b):  # a second one would put in force again what somebody has just gone back from
        with pytest.raises(NotBeforeError, match=r"by quinn, was itself a rollback, from a@1: .* ID@VERSION"):
            records.change(back, file, other, lambda: True)
    assert records.in_force().name == "file"
    records.change(ASKED, file, a, lambda: True)
    records.change(ASKED, a, b, lambda: True)
    records.change(back, b, a, lambda: True)
    assert records.in_force().name == "a@1"
    records.record(ASKED, None, b)
    with pytest.raises(NotBeforeError, match="nobody knew what was in force before"):
        records.change(back, b, a, lambda: True)


def test_a_rollback_beyond_an_altered_record_leads_to_activate(
    records: RecipeRecords, tmp_path: Path
) -> None:
    a, b, audit = records.read("a", 1), records.read("b", 1), tmp_path / "state" / "audit.jsonl"
    records.change(ASKED, records.file, a, lambda: True)
    records.change(ASKED, a, b, lambda: True)
    records.record(ASKED, b, b)
    first, second, last = audit.read_bytes().splitlines(keepends=True)
    audit.write_bytes(first + second.replace(b"anna", b"otto") + last)
    with pytest.raises(
        InputError, match=r"copy of the file, or say which it is to be: .* activate ID@VERSION"
    ):
        recipe_before(audit)
    audit.write_bytes(first + second + last.replace(b"anna", b"otto"))
    with pytest.raises(InputError, match=r"move it aside, keep it, and say what is in force"):
        recipe_before(audit)


def test_a_rollback_of_a_file_that_was_lost_does_not_say_that_nothing_was_ever_changed(
    records: RecipeRecords, tmp_path: Path
) -> None:
    records.change(ASKED, records.file, records.read("a", 1), lambda: True)
    audit = tmp_path / "state" / "audit.jsonl"
    audit.unlink()
    with pytest.raises(InputError, match=r"which put a@1 in force, is gone: .* say what is in force"):
        recipe_before(audit)


def test_a_version_that_is_not_there_is_told_with_those_that_are(records: RecipeRecords) -> None:
    with pytest.raises(RecipeNotFoundError, match=r"^the store has a in version 1, got version 7$"):
        records.read("a", 7)
