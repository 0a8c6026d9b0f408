"""What a check proves counts once it is on the disk, whatever the disk does meanwhile, and in order."""

import json
import select
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.changeovers import add_recipe

from inspectd.config import (
    Config,
    GoldenPart,
    GoldenSettings,
    ImagesCamera,
    LineSettings,
    PresenceSettings,
    Recipe,
)
from inspectd.errors import UnavailableError
from inspectd.files import OwnFile
from inspectd.golden.results import CheckDue, CheckResult, past_of, read_lines
from inspectd.golden_checks import GoldenChecks
from inspectd.golden_record import GoldenRecorder
from inspectd.line_audit import LineAudit
from inspectd.metrics import Metrics
from inspectd.recipes import audit
from inspectd.recipes.audit import AuditAction
from inspectd.recipes.book import LineRecipe, RecipeBook
from inspectd.recipes.clerk import DiskClerk
from inspectd.recipes.stored import Change, RecipeRecords
from inspectd.records import BankInForce, FrameRef, Inspection, Outcome, PendingView, Score, Trigger
from inspectd.wire import Evaluation, Reason
from inspectd.wire.golden import GoldenAck, GoldenAction, GoldenOutcome, GoldenRequest

SHA = "a" * 64
SHA_OF = {"cell": SHA, "other": "b" * 64}
STORED = LineRecipe(
    id="cell", version=1, sha256="c" * 64, places={"top": "cell@1"}, deadlines_ns={"cell@1": 1}
)
PASSED, FAILED, ABANDONED = GoldenOutcome


class CheckedLine:
    """The checks of a line of one camera, without the line."""

    def __init__(
        self,
        state: Path,
        *,
        at_start: bool = True,
        proves: str = "cell",
        judges: str = "cell",
        grace_minutes: int = 0,
        interval_hours: int = 0,
        **camera: Any,
    ) -> None:
        config = self.config = Config(
            line=LineSettings(state_dir=str(state)),
            recipes=(Recipe(name="cell", bank="x"), Recipe(name="other", bank="y")),
            cameras=(
                ImagesCamera(
                    **{"name": "top", "recipe": judges, "folder": "x", "mode": "triggered"} | camera
                ),
            ),
            golden=GoldenSettings(
                parts=(GoldenPart(name="good", recipe=proves, expect="pass", cameras=("top",)),),
                grace_minutes=grace_minutes,
                interval_hours=interval_hours,
                at_start=at_start,
            ),
        )
        self.file = state / "golden.jsonl"
        self.clerk, self.events, self.records = DiskClerk(), [], []
        self.details: dict[str, str] = {}  # the last one of each event
        self.now_ns = 10**9
        metrics = self.metrics = Metrics("line", ["top"], 100.0)
        self.book = RecipeBook(RecipeRecords(config).in_force())
        audit = LineAudit(state / "audit.jsonl", self.clerk, metrics, lambda *_, **__: None)
        self.checks = GoldenChecks(
            config, self.book, sha256_of=SHA_OF.__getitem__, judges=lambda _: True, clerk=self.clerk,
            publish=self.records.append, emit=self.take_event,
            audit=audit, metrics=metrics, epoch=lambda: 1, clock=lambda: self.now_ns,
        )  # fmt: skip
        self.checks.start(None)
        banks = {
            name: BankInForce(name, sha256, "stub", "none", 1, 1, 2.5) for name, sha256 in SHA_OF.items()
        }
        audit.record_judged((SHA_OF[name], bank, name == judges) for name, bank in banks.items())

    def take_event(self, _severity: str, event: str, *, detail: str = "", **_: Any) -> None:
        self.events.append(event)
        self.details[event] = detail

    def until(self, condition) -> None:
        while not condition():
            assert select.select([self.clerk], [], [], 10)[0], "the clerk does not answer"
            self.clerk.take_answers()

    def settle(self) -> None:
        """Wait until the clerk has done what it was given."""
        written: list[object] = []
        self.clerk.ask(bool, written.append, written.append)
        self.until(lambda: written)

    def asks(self, action: GoldenAction, **more: Any) -> object:
        answers = []
        self.checks.take(GoldenRequest("kim", action, **more), "kim", "local", answers.append)
        return answers[0]

    @property
    def status(self) -> tuple[GoldenOutcome | None, str | None]:
        answer = self.asks(GoldenAction.STATUS)
        assert isinstance(answer, GoldenAck)
        return answer.outcome, answer.recipes[0].reason

    def judged(self, trigger: Trigger, evaluation: Evaluation, key: str = "cell") -> str:
        score = Score(1, 1, 0.5, b"", 0, 0, "b" * 64, {})
        outcome = Outcome(evaluation, Reason.WITHIN_THRESHOLD, self.now_ns, 0.6, score)
        return self.checks.final(PendingView(1, "top", key, trigger, 0), outcome).reason

    def shows(self, trigger_id: str, evaluation: Evaluation, key: str = "cell") -> str | None:
        refusal = self.checks.announce("good", trigger_id, "", "local")
        if refusal is None:
            trigger = Trigger(trigger_id, golden="good")
            assert self.judged(trigger, evaluation, key) == "golden"
            self.checks.close_part(trigger, [key])
        return refusal


@pytest.fixture
def line(tmp_path):
    line = CheckedLine(tmp_path / "state")
    line.settle()  # that a check is due is written
    yield line
    line.clerk.close()


def test_a_pass_counts_once_it_is_on_the_disk_and_nothing_is_checked_meanwhile(line):
    disk_answers = threading.Event()
    line.clerk.ask(disk_answers.wait, bool, bool)
    assert line.shows("T1", Evaluation.PASS) is None
    assert line.status == (None, "golden_overdue")
    # What failed now would be overruled by the pass before it, once that is written.
    assert line.shows("T2", Evaluation.FAIL) == "the end of check T1 is being recorded; try again"
    disk_answers.set()
    line.until(lambda: line.status == (PASSED, None))
    assert line.shows("T2", Evaluation.FAIL) is None
    assert line.status == (FAILED, "golden_failed")


@pytest.mark.parametrize(
    ("shown", "disk_takes_it", "outcome", "why"),
    [
        (Evaluation.PASS, True, ABANDONED, "passed, but counts for nothing: a camera was changed before"),
        (Evaluation.PASS, False, ABANDONED, "passed, but not recorded: "),
        (Evaluation.FAIL, False, FAILED, "good on top: fail"),
        (Evaluation.UNDECIDABLE, False, ABANDONED, ""),
    ],
)
def test_the_end_of_a_check_is_published_and_counted_once_whatever_comes_of_its_record(
    line, shown, disk_takes_it, outcome, why
):
    if not disk_takes_it:
        line.file.rename(line.file.with_name("away"))
    disk_answers = threading.Event()
    line.clerk.ask(disk_answers.wait, bool, bool)
    assert line.shows("T1", shown) is None
    if shown is Evaluation.UNDECIDABLE:
        line.asks(GoldenAction.END)
    elif disk_takes_it:
        line.checks.change_cameras(line.config.cameras, {})
    disk_answers.set()
    line.until(lambda: not line.checks.is_recording)
    (end,) = (record for record in line.records if record.outcome is not None)
    assert (end.outcome, "; ".join(end.problems)[: len(why)]) == (outcome, why)
    counted = [
        line.metrics.registry.get_sample_value(
            "inspectd_golden_checks_total", {"line": "line", "outcome": each}
        )
        for each in GoldenOutcome
    ]
    assert counted == [float(each is outcome) for each in GoldenOutcome]


def test_a_pass_counts_for_nothing_where_its_camera_was_changed_before_it_was_recorded(line):
    disk_answers = threading.Event()
    line.clerk.ask(disk_answers.wait, bool, bool)
    assert line.shows("T1", Evaluation.PASS) is None
    line.checks.change_cameras(line.config.cameras, {})
    disk_answers.set()
    line.until(lambda: line.status[0] is not None)
    assert line.status == (ABANDONED, "golden_overdue")
    assert line.shows("T2", Evaluation.PASS) is None
    line.until(lambda: line.status == (PASSED, None))


def test_a_pass_on_its_way_counts_where_a_reload_leaves_its_recipe_alone(line, monkeypatch):
    disk_answers = threading.Event()
    line.clerk.ask(disk_answers.wait, bool, bool)
    assert line.shows("T1", Evaluation.PASS) is None
    monkeypatch.setitem(SHA_OF, "other", "d" * 64)
    reloaded = msgspec.structs.replace(line.book.in_force, sha256="e" * 64)
    line.book.put_in_force(reloaded, line.now_ns)
    line.checks.change_over()
    disk_answers.set()
    line.until(lambda: line.status[0] is not None)
    assert line.status == (PASSED, None)


def test_what_became_due_or_overdue_while_a_pass_was_on_its_way_is_not_recorded_behind_it(tmp_path):
    line = CheckedLine(tmp_path, grace_minutes=15)
    line.settle()
    disk_answers = threading.Event()
    line.clerk.ask(disk_answers.wait, bool, bool)
    assert line.shows("T1", Evaluation.PASS) is None
    line.now_ns += 16 * 60 * 10**9
    line.checks.turn(line.now_ns)
    assert line.status == (None, "golden_overdue")
    disk_answers.set()
    line.until(lambda: line.status == (PASSED, None))
    line.clerk.close()
    again = CheckedLine(tmp_path, grace_minutes=15, at_start=False)
    assert (again.status[1], again.checks.conditions()) == (None, [])
    again.clerk.close()


@pytest.mark.parametrize("held_by", ["golden_overdue", "golden_failed"])
@pytest.mark.parametrize("change", ["camera", "recipe"])
def test_a_restart_keeps_what_a_pass_that_counts_for_nothing_has_not_lifted(tmp_path, held_by, change):
    line = CheckedLine(tmp_path, grace_minutes=15)
    if held_by == "golden_failed":
        assert line.shows("T1", Evaluation.FAIL) is None
    line.now_ns += 16 * 60 * 10**9
    line.checks.turn(line.now_ns)
    line.settle()
    disk_answers = threading.Event()
    line.clerk.ask(disk_answers.wait, bool, bool)
    assert line.shows("T2", Evaluation.PASS) is None
    if change == "camera":
        line.checks.change_cameras(line.config.cameras, {})
    else:
        for recipe in (STORED, line.book.in_force):
            line.book.put_in_force(recipe, line.now_ns)
            line.checks.change_over()
    disk_answers.set()
    line.until(lambda: line.status == (ABANDONED, held_by))
    conditions = line.checks.conditions()
    line.clerk.close()
    again = CheckedLine(tmp_path, grace_minutes=15, exposure_us=900.0 if change == "camera" else None)
    assert (again.status[1], again.checks.conditions()) == (held_by, conditions)
    again.clerk.close()
    *_, record = audit.read(tmp_path / "audit.jsonl")
    assert record.result.startswith("counts for nothing: ")


def test_what_became_due_just_before_another_recipe_is_put_in_force_is_told_and_recorded(tmp_path):
    line = CheckedLine(tmp_path, grace_minutes=15, interval_hours=1)
    assert line.shows("T1", Evaluation.PASS) is None
    line.until(lambda: line.status == (PASSED, None))
    line.events.clear()
    line.now_ns += 3600 * 10**9
    line.book.put_in_force(STORED, line.now_ns)
    line.checks.change_over()
    line.clerk.close()
    assert line.events == ["golden_due", "golden_due"]  # of what leaves, and of what is new
    due = [each for each in read_lines(line.file).lines[-2:] if isinstance(each, CheckDue)]
    assert [each.recipe_sha256 for each in due] == [SHA, "c" * 64]


@pytest.mark.parametrize(
    ("shown", "reason"), [(Evaluation.PASS, "within_threshold"), (Evaluation.FAIL, "golden_failed")]
)
def test_parts_under_way_are_held_by_what_their_recipe_has_shown_also_once_it_is_no_longer_prepared(
    line, shown, reason
):
    from_file = line.book.in_force
    line.book.add(STORED)
    for recipe in (STORED, from_file, from_file):
        line.book.put_in_force(recipe, line.now_ns)
        line.checks.change_over()
        if recipe is STORED:
            assert line.shows("T1", shown, "cell@1") is None
            line.until(lambda: line.status[0] is not None)
        line.now_ns += 11 * 10**9  # it is none any more that was in force a moment ago
    line.book.remove(STORED)
    assert line.judged(Trigger("T2"), Evaluation.PASS, "cell@1") == reason


def test_a_pass_counts_after_a_restart_for_the_pictures_that_it_was_shown_alone(line, tmp_path):
    assert line.shows("T1", Evaluation.PASS) is None
    line.until(lambda: line.status == (PASSED, None))
    line.clerk.close()
    belt = tmp_path / "empty"
    belt.mkdir()
    reasons = []
    for camera in ({}, {"exposure_us": 900.0}, {"presence": PresenceSettings(empty_folder=str(belt))}):
        again = CheckedLine(tmp_path / "state", at_start=False, **camera)
        reasons.append(again.status[1])
        again.clerk.close()
    assert reasons == [None, "golden_overdue", "golden_overdue"]


def test_a_failure_is_told_with_its_own_problems_whatever_was_checked_since(line, tmp_path):
    line.book.put_in_force(STORED, line.now_ns)
    line.checks.change_over()
    assert line.shows("T1", Evaluation.FAIL, "cell@1") is None
    line.until(lambda: line.status[0] is FAILED)
    line.clerk.close()
    again = CheckedLine(tmp_path / "state", at_start=False)
    assert again.shows("T2", Evaluation.PASS) is None
    again.until(lambda: again.status[0] is PASSED)
    again.book.put_in_force(STORED, again.now_ns)
    again.checks.change_over()
    again.clerk.close()
    told = [each.details["golden_failed"] for each in (line, again)]
    assert told == ["recipe cell: good on top: fail with score 0.5 at threshold 0.6, expected pass"] * 2


def test_a_restart_compares_the_cameras_of_a_recipe_that_triggers_alone_name(tmp_path):
    """It judges by no camera's default, so any camera may make its pictures."""
    reasons = []
    for camera in ({}, {}, {"exposure_us": 900.0}):
        line = CheckedLine(tmp_path, at_start=False, proves="other", **camera)
        if not reasons:
            assert line.shows("T1", Evaluation.PASS, "other") is None
            line.until(lambda line=line: line.status[0] is not None)
        reasons.append(line.judged(Trigger("T2"), Evaluation.PASS, "other"))
        line.clerk.close()
    assert reasons == ["within_threshold", "within_threshold", "golden_overdue"]


def test_a_recipe_that_another_file_put_in_force_between_two_starts_is_checked_anew(tmp_path):
    reasons = []
    for judges in ("cell", "cell", "other", "cell", "cell"):
        line = CheckedLine(tmp_path, at_start=False, judges=judges)
        reasons.append(line.status[1])
        if len(reasons) == 1:
            assert line.shows("T1", Evaluation.PASS) is None
            line.until(lambda line=line: line.status == (PASSED, None))
        line.clerk.close()
    assert reasons == ["golden_overdue", None, "golden_overdue", "golden_overdue", "golden_overdue"]


def test_what_a_command_puts_in_force_on_a_stopped_line_is_checked_anew(tmp_path):
    add_recipe(tmp_path, "cell", 1, {"top": 1.5})
    reasons = []

    def run(*, shows: bool = False) -> RecipeRecords:
        line = CheckedLine(tmp_path, at_start=False)
        reasons.append(line.status[1])
        if shows:
            assert line.shows("T1", Evaluation.PASS, "cell@1") is None
            line.until(lambda: line.status == (PASSED, None))
        line.clerk.close()
        return RecipeRecords(line.config)

    records = run()
    change = Change(AuditAction.ACTIVATE, "kim", "command", "")
    stored = records.read("cell", 1)
    records.record(change, records.file, stored)
    run(shows=True)
    run()
    records.record(change, stored, records.file)
    records.record(change, records.file, stored)
    run()
    assert reasons == ["golden_overdue", "golden_overdue", None, "golden_overdue"]


def test_a_check_that_a_trigger_began_is_said_to_be_of_a_trigger(tmp_path):
    line = CheckedLine(tmp_path)
    assert line.checks.announce("good", "T1", "", "local") is None
    assert "check T1, begun by a trigger, is under way" in line.asks(GoldenAction.BEGIN).detail
    line.clerk.close()


def test_a_start_says_that_lines_cannot_be_read_until_a_check_has_passed(tmp_path):
    file = tmp_path / "golden.jsonl"
    file.write_bytes(b"\0\n\xff\n")
    line = CheckedLine(tmp_path, at_start=False)
    assert f"2 lines of {file} cannot be read" in line.details["golden_not_recorded"]
    assert line.shows("T1", Evaluation.PASS) is None
    line.until(lambda: line.status == (PASSED, None))
    line.clerk.close()
    again = CheckedLine(tmp_path, at_start=False)
    again.clerk.close()
    assert (again.status, "golden_not_recorded" in again.events) == ((None, None), False)


def test_a_pass_that_cannot_be_recorded_changes_nothing(line):
    line.file.rename(line.file.with_name("away"))
    line.file.mkdir()
    assert line.shows("T1", Evaluation.PASS) is None
    line.until(lambda: "golden_not_recorded" in line.events)
    assert line.status == (ABANDONED, "golden_overdue")


def test_a_failure_is_recorded_when_the_disk_takes_it_again(line):
    away = line.file.parent.rename(line.file.parent.with_name("away"))
    assert line.shows("T1", Evaluation.FAIL) is None  # into no other file than the one of the start
    line.until(lambda: "golden_not_recorded" in line.events)
    assert not line.file.parent.exists()
    away.rename(line.file.parent)
    line.now_ns += 4 * 10**9
    line.checks.turn(line.now_ns)
    line.now_ns += 10**9
    line.checks.turn(line.now_ns)
    line.until(lambda: past_of(read_lines(line.file).lines)[SHA].is_failed)
    assert line.events.count("golden_not_recorded") == 1


@pytest.mark.parametrize("fate", ["failed", "is void", "is void, not yet told", "comes too late"])
def test_what_the_disk_did_not_take_is_written_as_the_line_ends(tmp_path, fate):
    line = CheckedLine(tmp_path / "state")
    line.settle()
    state, away = line.file.parent, tmp_path / "away"
    disk_answers = threading.Event()
    if fate == "failed":
        state.rename(away)
        assert line.shows("T1", Evaluation.FAIL) is None
        line.until(lambda: not line.checks.is_writing)
        away.rename(state)
    else:
        line.clerk.ask(disk_answers.wait, bool, bool)
        assert line.shows("T1", Evaluation.PASS) is None
        if fate != "comes too late":
            line.checks.change_cameras(line.config.cameras, {})
        if fate == "is void":  # the pass is on the disk, and what says that it is void finds none
            line.clerk.ask(partial(state.rename, away), bool, bool)
            disk_answers.set()
            line.until(lambda: "golden_not_recorded" in line.events)
            away.rename(state)
    line.checks.close()
    line.checks.close()  # in the drain, and as everything is closed
    disk_answers.set()
    line.until(lambda: not line.checks.is_writing)  # as what is published last takes the answers too
    assert line.status[0] is (FAILED if fate == "failed" else ABANDONED)
    line.clerk.close()
    lines = [json.loads(each) for each in line.file.read_text().splitlines()]
    recorded = [each.get("outcome", each["schema"]) for each in lines]
    assert recorded[1:] == (["failed"] if fate == "failed" else ["passed", "golden_void/1"])
    again = CheckedLine(state, at_start=False)
    assert again.judged(Trigger("T2"), Evaluation.PASS).startswith("golden_")
    again.clerk.close()


def test_what_the_disk_does_not_take_as_the_line_ends_either_is_told(line):
    line.file.parent.rename(line.file.parent.with_name("away"))
    assert line.shows("T1", Evaluation.FAIL) is None
    line.until(lambda: not line.checks.is_writing)
    line.checks.close()
    line.until(lambda: not line.checks.is_writing)
    assert "the next start may not know that a check failed" in line.details["golden_not_recorded"]


def test_a_failure_goes_into_no_other_copy_of_the_state_folder(line):
    state = line.file.parent
    files = line.file, state / "audit.jsonl"
    copy = Path(shutil.copytree(state, state.with_name("copy")))
    away = state.rename(state.with_name("away"))
    copy.rename(state)
    before = [file.read_bytes() for file in files]
    assert line.shows("T1", Evaluation.FAIL) is None
    line.until(lambda: "golden_not_recorded" in line.events)
    line.settle()
    assert [file.read_bytes() for file in files] == before
    # Where a restart would judge parts that are held, nobody is told to make one.
    assert "or is its disk away? Put it back while the line runs" in line.details["golden_not_recorded"]
    assert "restart the line" not in line.details["golden_not_recorded"]
    state.rename(state.with_name("wrong"))
    away.rename(state)
    line.now_ns += 5 * 10**9
    line.checks.turn(line.now_ns)
    line.until(lambda: past_of(read_lines(line.file).lines)[SHA].is_failed)


def test_a_file_that_is_not_there_yet_is_told_by_its_folder(tmp_path):
    state, away = tmp_path / "state", tmp_path / "away"
    state.mkdir()
    own = OwnFile(state / "golden.jsonl")
    own.refuse_other()
    state.rename(away)
    with pytest.raises(UnavailableError, match="its folder is gone"):
        own.refuse_other()
    state.mkdir()
    with pytest.raises(UnavailableError, match="its folder is another one"):
        own.refuse_other()
    state.rmdir()
    away.rename(state)
    own.refuse_other()


def test_a_pass_overrules_a_failure_that_was_not_recorded(tmp_path):
    now, told = [0], []
    clerk = DiskClerk()
    file = tmp_path / "golden.jsonl"
    recorder = GoldenRecorder(file, clerk, lambda *_, **__: told.append("event"), lambda: now[0])
    failed, passed = (CheckResult(9, 9, "c", "", "a", None, SHA, each, [], []) for each in (FAILED, PASSED))

    def write(line: CheckResult | CheckDue) -> None:
        told.clear()
        recorder.write(line, "it", lambda: told.append("done"), lambda _: told.append("failed"))
        while told[-1:] not in (["done"], ["failed"]):
            assert select.select([clerk], [], [], 10)[0]
            clerk.take_answers()

    file.mkdir()
    write(failed)
    write(CheckDue(9, "a", None, SHA))
    assert told == ["event", "failed"]
    file.rmdir()
    write(passed)
    now[0] += 10**10
    recorder.turn(now[0])
    write(passed)  # after what would be tried again
    assert read_lines(file).lines == [passed, passed]
    clerk.close()


@pytest.mark.parametrize(
    ("fate", "recorded"),
    [
        ("counts", ["passed"]),
        ("is void", ["passed", "golden_void/1", "failed", "golden_due/1"]),
        ("fails", ["failed", "golden_due/1"]),
    ],
)
def test_what_waits_for_a_pass_of_its_recipe_follows_unless_that_counts(tmp_path, fate, recorded):
    now, told = [0], []
    clerk = DiskClerk()
    file = tmp_path / "golden.jsonl"
    recorder = GoldenRecorder(file, clerk, lambda *_, **__: None, lambda: now[0])

    def write(line: CheckResult | CheckDue) -> None:
        recorder.write(line, "it", lambda: told.append(line), lambda _: told.append(line))

    def until_told(*lines: object) -> None:
        while told != list(lines):
            assert select.select([clerk], [], [], 10)[0]
            clerk.take_answers()

    failed, passed = (CheckResult(9, 9, "c", "", "a", None, SHA, each, [], []) for each in (FAILED, PASSED))
    file.mkdir()
    write(failed)
    until_told(failed)
    disk_answers = threading.Event()
    clerk.ask(disk_answers.wait, bool, bool)
    write(passed)
    write(CheckDue(9, "a", None, SHA))
    if fate == "is void":
        recorder.outdate("a camera was changed")
    if fate != "fails":
        file.rmdir()
    now[0] += 5 * 10**9
    recorder.turn(now[0])  # the failure would be tried again
    disk_answers.set()
    until_told(failed, passed)
    if fate == "fails":
        file.rmdir()
    now[0] += 5 * 10**9
    recorder.turn(now[0])
    clerk.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line.get("outcome", line["schema"]) for line in lines] == recorded


def test_checks_that_nobody_shows_a_part_in_are_no_lines_and_wait_for_no_disk(line):
    before = line.file.read_bytes()
    disk_answers = threading.Event()
    line.clerk.ask(disk_answers.wait, bool, bool)
    for _ in range(100):
        assert line.asks(GoldenAction.BEGIN).outcome is None
        assert line.asks(GoldenAction.END).outcome is ABANDONED
    disk_answers.set()
    assert line.shows("T1", Evaluation.PASS) is None
    line.until(lambda: line.status == (PASSED, None))
    assert line.file.read_bytes().count(b"\n") == before.count(b"\n") + 1


def test_a_golden_trigger_that_is_refused_begins_no_check(line):
    assert line.checks.announce("good", "T1", "", "local") is None
    line.checks.drop()
    assert line.asks(GoldenAction.BEGIN).outcome is None


def test_a_golden_part_is_in_no_frame_that_may_have_been_exposed_before_it_was_announced(tmp_path):
    line = CheckedLine(tmp_path / "state", mode="free")
    line.settle()
    line.asks(GoldenAction.BEGIN)
    line.asks(GoldenAction.SHOW, part="good")
    reasons = []
    for seq, at_ns in enumerate((line.now_ns + 30, line.now_ns + 31), 1):
        frame = FrameRef("top", 1, seq, seq, at_ns, 0, 2, 2, latency_ns=(0, 30))
        line.checks.claim(frame)
        outcome = Outcome(Evaluation.PASS, Reason.WITHIN_THRESHOLD, at_ns, 0.6)
        reasons.append(line.checks.final(Inspection(seq, frame, "cell", at_ns, at_ns), outcome).reason)
    line.clerk.close()
    assert reasons[0] != "golden"
    assert reasons[1] == "golden"
