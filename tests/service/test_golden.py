"""Golden parts on a running line, seen from outside: overdue, failed, passed; no gate opens for them."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.changeovers import add_recipe, ask, prepare
from support.daemon import WELL, Daemon, camera_table, settings
from support.triggers import Plant

from inspectd.client import RecipeAction, Refusal, RefusalReason, ask_status
from inspectd.client.golden import GoldenAsker
from inspectd.errors import UnavailableError
from inspectd.golden.results import past_of, read_lines
from inspectd.recipes import audit
from inspectd.scoring.stub import Behaviour
from inspectd.wire.golden import (
    GoldenAck,
    GoldenAction,
    GoldenOutcome,
    GoldenRefusal,
    GoldenRefusalReason,
    GoldenState,
)


def part(name: str, expect: str, camera: str, *, recipe: str = "cell", **more: object) -> str:
    lines = [f'name = "{name}"', f'recipe = "{recipe}"', f'expect = "{expect}"', f'cameras = ["{camera}"]']
    return "\n".join(["[[golden.parts]]", *lines, *(f"{key} = {value}" for key, value in more.items()), ""])


def golden(parts: str, **more: object) -> str:
    return "\n".join(["[golden]", *(f"{key} = {value}" for key, value in more.items()), parts])


@pytest.fixture
def folders(tmp_path, small_good):
    """The same pictures as good parts, and as bad ones: the stub goes by the folder."""
    bad = tmp_path / "bad"
    (bad / "defective").mkdir(parents=True)
    for path in small_good.iterdir():
        (bad / "defective" / path.name).symlink_to(path)
    return small_good, bad


def line(
    start, folders, text: str, *, mode: str = "triggered", environment=None, behaviour=WELL, max_delay_ms=2000
) -> Daemon:
    cameras = "".join(
        camera_table(name, folder, fps=25, mode=f'"{mode}"', slots=32)
        for name, folder in zip(("g", "b"), folders, strict=True)
    )
    triggers = f"[triggers]\nwindow_ms = 500\nmax_delay_ms = {max_delay_ms}\n"
    return start(
        settings("stub.bank", cameras, deadline_ms=3000, extra=triggers + text), environment, behaviour
    ).ready()


def asked(daemon: Daemon, action: GoldenAction, **more: str) -> GoldenAck | GoldenRefusal:
    with GoldenAsker(f"ipc://{daemon.runtime_dir}/control.sock", who="kim") as asker:
        return asker.ask(action, **more)


def test_a_showing_that_the_line_reads_late_is_refused(start_daemon, folders):
    parts = golden(part("good-1", "pass", "g"))
    daemon = line(start_daemon, folders, parts, mode="free", max_delay_ms=700)
    with GoldenAsker(f"ipc://{daemon.runtime_dir}/control.sock", who="kim") as asker:
        assert isinstance(asker.ask(GoldenAction.BEGIN), GoldenAck)
        daemon.process.send_signal(signal.SIGSTOP)
        with pytest.raises(UnavailableError, match="may be done all the same: ask for the status"):
            asker.ask(GoldenAction.SHOW, part="good-1", timeout_seconds=1)
        daemon.process.send_signal(signal.SIGCONT)
        answer = asker.ask(
            GoldenAction.SHOW, part="good-1"
        )  # of a part that is being shown it would be `busy`
    assert isinstance(answer, GoldenAck), answer


def test_no_golden_part_is_shown_while_nothing_would_judge_it(start_daemon, folders):
    daemon = line(start_daemon, folders, golden(part("good-1", "pass", "g")), mode="free")
    assert isinstance(asked(daemon, GoldenAction.BEGIN), GoldenAck)
    daemon.behave(Behaviour(load_seconds=60))
    os.kill(daemon.children()["scoring"], signal.SIGKILL)
    daemon.until(lambda: daemon.reader.event("scoring_lost"))
    shown = asked(daemon, GoldenAction.SHOW, part="good-1")
    assert (shown.reason, shown.detail) == (
        GoldenRefusalReason.NOT_READY, "scoring is not ready for recipe cell",
    )  # fmt: skip
    assert asked(daemon, GoldenAction.END).outcome is GoldenOutcome.ABANDONED
    assert asked(daemon, GoldenAction.BEGIN).reason is GoldenRefusalReason.NOT_READY
    assert daemon.stop() == 0


def last_outcome(daemon: Daemon) -> str | None:
    return ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").golden[0].last_outcome


def state(daemon: Daemon) -> str:
    return asked(daemon, GoldenAction.STATUS).recipes[0].state


def judged(plant: Plant, number: object, **more: object) -> tuple[str, str]:
    answer = plant.trigger(number, cameras=["g"], **more)
    assert not isinstance(answer, Refusal), answer
    found = plant.part(number)
    return found.evaluation, found.reason


def why_failed(daemon: Daemon) -> bool:
    """Whether the line says which part failed, and on which camera, in its status and as a condition."""
    status = ask_status(f"ipc://{daemon.runtime_dir}/sync.sock")
    (condition,) = (each for each in status.conditions if each.condition == "golden_failed")
    said = "bad-1 on b: fail with score"
    return said in status.golden[0].problems[0] and f"; {said}" in condition.detail


def test_no_part_passes_until_a_check_has_passed_and_none_after_one_failed(
    start_daemon, plant, folders, tmp_path
):
    parts = part("good-1", "pass", "g") + part("bad-1", "fail", "b", repeats=2)
    environment = {"STATE_DIRECTORY": str(tmp_path / "state")}
    daemon = line(start_daemon, folders, golden(parts, grace_minutes=0), environment=environment)
    line_plant = plant(daemon)
    assert judged(line_plant, 1) == ("undecidable", "golden_overdue")
    assert state(daemon) == GoldenState.OVERDUE
    unknown = line_plant.trigger(2, golden="bad-7")
    assert (unknown.reason, unknown.detail) == (
        RefusalReason.GOLDEN, "no golden part 'bad-7', expected one of: good-1, bad-1",
    )  # fmt: skip
    for number, name in enumerate(("good-1", "bad-1", "bad-1"), 3):
        answer = line_plant.trigger(number, golden=name)
        assert not isinstance(answer, Refusal), answer
        found = line_plant.part(number)
        assert (found.evaluation, found.reason) == ("undecidable", "golden")
        assert all(view.score is None for view in line_plant.views(number))
    daemon.until(lambda: daemon.reader.event("golden_passed"))
    assert asked(daemon, GoldenAction.STATUS).outcome is GoldenOutcome.PASSED
    assert judged(line_plant, 6) == ("pass", "within_threshold")
    assert daemon.stop() == 0
    judges, passed = audit.read(tmp_path / "state" / "audit.jsonl")
    assert (judges.action, judges.object, judges.door) == ("threshold", "cell", "start")
    assert (passed.action, passed.who, passed.door) == ("golden", "a trigger", "local")
    assert (passed.object, passed.old, passed.result) == ("cell", "overdue", "done")
    assert passed.new.startswith("passed, 3 shown, recipe ")
    assert ", as a camera has it, check " in passed.new

    # Another line of the same state, whose bad part is said to be good.
    parts = part("good-1", "pass", "g") + part("bad-1", "pass", "b")
    text = golden(parts, at_start="false", interval_hours=1)
    daemon = line(start_daemon, folders, text, environment=environment)
    line_plant = plant(daemon)
    assert state(daemon) == GoldenState.PASSED  # as it was before the restart
    assert judged(line_plant, 1) == ("pass", "within_threshold")
    assert line_plant.trigger(2, golden="bad-1")
    daemon.until(lambda: daemon.reader.event("golden_failed"))
    assert "bad-1 on b: fail with score" in daemon.reader.event("golden_failed").detail
    assert judged(line_plant, 3) == ("undecidable", "golden_failed")
    begun = asked(daemon, GoldenAction.BEGIN)
    assert (begun.who, asked(daemon, GoldenAction.END).outcome) == ("kim", GoldenOutcome.ABANDONED)
    assert why_failed(daemon)  # one that is broken off hides nothing of it
    daemon.process.kill()
    daemon.process.wait()
    daemon = line(start_daemon, folders, text, environment=environment)
    assert state(daemon) == GoldenState.FAILED
    assert why_failed(daemon)
    assert judged(plant(daemon), 1) == ("undecidable", "golden_failed")
    assert daemon.stop() == 0
    (tmp_path / "state" / "golden.jsonl").unlink()  # the audit file still says so
    daemon = line(start_daemon, folders, text, environment=environment)
    daemon.until(lambda: daemon.reader.event("golden_not_recorded"))
    assert "golden.jsonl has no record of it" in daemon.reader.event("golden_not_recorded").detail
    assert judged(plant(daemon), 1) == ("undecidable", "golden_failed")
    assert daemon.stop() == 0


@contextmanager
def unwritable_for_now(path: Path) -> Iterator[None]:
    """Who opens the file for writing waits, as for a slow disk, until this ends."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with path.open("rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        yield
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    signal.signal(signal.SIGIO, before)


def test_a_check_that_passes_just_before_a_stop_counts_and_is_in_the_audit_file(start_daemon, plant, folders):
    long = "[line]\ndrain_seconds = 20\n"
    daemon = line(
        lambda whole, *more: start_daemon(whole.replace("[line]\n", long), *more),
        folders,
        golden(part("good-1", "pass", "g")),
    )
    line_plant = plant(daemon)
    record, log = (daemon.folder / "state" / name for name in ("golden.jsonl", "audit.jsonl"))
    daemon.until(lambda: log.exists() and list(audit.read(log)))  # and before it that the check is due
    with unwritable_for_now(record):
        line_plant.trigger(1, golden="good-1")
        line_plant.part(1)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.until(lambda: daemon.reader.event("draining"))
        assert "line stops" in asked(daemon, GoldenAction.BEGIN).detail
        stopped_at = time.monotonic() + 1  # without waiting for the disk
        while time.monotonic() < stopped_at and not daemon.reader.event("stopped"):
            daemon.reader.read()
    assert daemon.process.wait(20) == 0
    daemon.reader.read_to_the_end()
    assert daemon.reader.event("golden_passed")
    _, passed = audit.read(log)
    assert (passed.action, passed.door, passed.result) == ("golden", "local", "done")


def test_a_failure_that_the_disk_did_not_take_is_recorded_as_the_line_stops(start_daemon, plant, folders):
    daemon = line(start_daemon, folders, golden(part("bad-1", "pass", "b")))
    line_plant, record = plant(daemon), daemon.folder / "state" / "golden.jsonl"
    daemon.until(record.exists)  # that the check is due
    record.rename(record.with_name("away"))
    line_plant.trigger(1, golden="bad-1")
    daemon.until(lambda: daemon.reader.event("golden_not_recorded"))
    record.with_name("away").rename(record)
    assert daemon.stop() == 0
    assert past_of(read_lines(record).lines).popitem()[1].is_failed


def test_a_camera_that_a_reload_changes_makes_a_check_due(start_daemon, plant, folders, tmp_path):
    bank = tmp_path / "there.bank"
    bank.write_bytes(b"what the stub does not read")
    parts = part("good-1", "pass", "g") + part("bad-1", "fail", "b")
    text = golden(parts, interval_hours=1)
    daemon = line(
        lambda whole, *more: start_daemon(whole.replace("stub.bank", str(bank)), *more), folders, text
    )
    line_plant = plant(daemon)
    for number, name in enumerate(("good-1", "bad-1"), 1):
        assert line_plant.trigger(number, golden=name)
        line_plant.part(number)
    daemon.until(lambda: daemon.reader.event("golden_passed"))
    assert state(daemon) == GoldenState.PASSED
    file = daemon.file.read_text()
    daemon.file.write_text(file.replace('name = "g"', 'name = "g"\ngeometry = { flip = "horizontal" }'))
    assert daemon.file.read_text() != file
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.reader.event("reloaded"))
    assert state(daemon) == GoldenState.DUE
    assert daemon.stop() == 0


def test_of_a_free_running_camera_the_next_frame_is_the_golden_part(start_daemon, folders):
    parts = part("good-1", "pass", "g") + part("bad-1", "fail", "b")
    daemon = line(start_daemon, folders, golden(parts, grace_minutes=0), mode="free")
    daemon.until(lambda: len(daemon.reader.verdicts) > 10)
    assert {v.reason for v in daemon.reader.verdicts} == {"golden_overdue"}
    assert asked(daemon, GoldenAction.SHOW, part="good-1").reason is GoldenRefusalReason.NO_CHECK
    log = daemon.folder / "state" / "audit.jsonl"
    log.rename(log.with_name("moved"))
    log.mkdir()  # a check that cannot be recorded there counts all the same
    assert asked(daemon, GoldenAction.BEGIN).recipe == "cell"
    assert asked(daemon, GoldenAction.BEGIN).reason is GoldenRefusalReason.BUSY
    for shown, name in enumerate(("good-1", "bad-1"), 1):
        assert isinstance(asked(daemon, GoldenAction.SHOW, part=name), GoldenAck)
        daemon.until(lambda n=shown: asked(daemon, GoldenAction.STATUS).shown == n)
    daemon.until(lambda: daemon.reader.event("golden_passed"))
    daemon.until(lambda: daemon.reader.verdicts[-1].evaluation == "pass")
    assert sum(v.reason == "golden" for v in daemon.reader.verdicts) == 2
    daemon.until(lambda: daemon.reader.event("audit_failed"))
    assert "cell: passed: " in daemon.reader.event("audit_failed").detail
    assert daemon.stop() == 0


def test_an_interlock_that_only_warns_leaves_judgements_as_they_are(start_daemon, plant, folders):
    text = golden(part("good-1", "pass", "g"), grace_minutes=0, interlock='"warn"')
    daemon = line(start_daemon, folders, text)
    assert judged(plant(daemon), 1) == ("pass", "within_threshold")
    assert daemon.reader.event("golden_overdue")
    daemon.until(lambda: daemon.reader.heartbeats[-1].health == "failure")
    assert daemon.stop() == 0


def test_a_golden_frame_stays_one_when_its_check_ends_before_its_verdict(start_daemon, folders):
    text = golden(part("good-1", "pass", "g"), grace_minutes=60)
    slow = Behaviour(latency_ms=400)
    daemon = line(start_daemon, folders, text, mode="free", behaviour=slow)
    add_recipe(daemon.folder / "state", "a", 1, {"g": 1.0, "b": 1.0})
    prepare(daemon, "a")
    assert asked(daemon, GoldenAction.BEGIN).recipe == "cell"
    assert isinstance(asked(daemon, GoldenAction.SHOW, part="good-1"), GoldenAck)
    time.sleep(0.1)  # its frame has come, and is with scoring
    assert ask(daemon, RecipeAction.ACTIVATE, "a").before == "file"
    assert asked(daemon, GoldenAction.STATUS).outcome is GoldenOutcome.ABANDONED
    daemon.until(lambda: any(v.reason == "golden" for v in daemon.reader.verdicts), 10)
    assert daemon.stop() == 0


def test_each_version_is_held_by_what_it_has_shown_itself_whatever_is_in_force(start_daemon, plant, folders):
    text = golden(part("bad-1", "fail", "b", recipe="a"), grace_minutes=60)
    daemon = line(start_daemon, folders, text, behaviour=Behaviour(latency_ms=200))
    folder, line_plant = daemon.folder / "state", plant(daemon)
    for name, number, threshold in (("a", 1, 100.0), ("a", 1, 0.0001), ("z", 2, 0.0001)):
        add_recipe(folder, name, number, {"g": threshold, "b": threshold})
    prepare(daemon, "a", 1)
    prepare(daemon, "a", 2)
    ask(daemon, RecipeAction.ACTIVATE, "a", 1)
    line_plant.trigger(1, golden="bad-1", cameras=["b"])
    daemon.until(lambda: daemon.reader.event("golden_failed"))
    daemon.until(lambda: last_outcome(daemon) == "failed")  # once it is recorded
    line_plant.trigger(2, cameras=["g"])
    assert ask(daemon, RecipeAction.ACTIVATE, "a", 2).before == "a@1"
    assert last_outcome(daemon) is None
    assert line_plant.part(2).reason == "golden_failed"  # a@1 judges it, and a@2 has its grace
    prepare(daemon, "z")
    line_plant.trigger(3, golden="bad-1", cameras={"b": "z"})  # as if z judged for a
    ask(daemon, RecipeAction.UNPREPARE, "z")
    line_plant.part(3)
    last = asked(daemon, GoldenAction.STATUS).last
    assert (last.trigger_id, last.agreement) == ("3", "undecided")
    assert "judged by recipe z@1" in last.problems[0]
    assert daemon.stop() == 0


def test_a_changeover_to_a_recipe_without_golden_parts_is_told(start_daemon, plant, folders):
    unused = '[[recipes]]\nname = "a"\nbank = "stub.bank"\n'
    text = golden(part("bad-1", "fail", "b", recipe="a"), grace_minutes=60) + unused
    daemon = line(start_daemon, folders, text)
    line_plant = plant(daemon)

    def conditions() -> dict[str, str]:
        status = ask_status(f"ipc://{daemon.runtime_dir}/sync.sock")
        return {each.condition: each.detail for each in status.conditions}

    assert conditions()["golden_none"].startswith("recipe cell has none in golden.parts")
    for number, name in enumerate("az", 1):
        add_recipe(daemon.folder / "state", name, number, {"g": 100.0, "b": 0.0001})
        prepare(daemon, name)
    ask(daemon, RecipeAction.ACTIVATE, "a")
    assert "golden_none" not in conditions()
    told = len([each for each in daemon.reader.events if each.event == "golden_none"])
    ask(daemon, RecipeAction.ACTIVATE, "z")
    daemon.until(lambda: len([each for each in daemon.reader.events if each.event == "golden_none"]) > told)
    assert conditions()["golden_none"].startswith("recipe z has none in golden.parts")
    line_plant.trigger(1, cameras=["g"])
    assert line_plant.part(1).evaluation == "pass"
    assert daemon.stop() == 0


def test_what_judged_is_recorded_as_the_line_ends_where_another_process_had_the_audit_file_at_the_start(
    start_daemon, folders, tmp_path
):
    log = tmp_path / "state" / "audit.jsonl"
    log.parent.mkdir()
    with log.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        daemon = line(start_daemon, folders, "", environment={"STATE_DIRECTORY": str(log.parent)})
        daemon.until(lambda: daemon.reader.event("audit_failed"))
    assert daemon.stop() == 0
    assert [(record.action, record.object) for record in audit.read(log)] == [("threshold", "cell")]
