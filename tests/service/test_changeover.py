"""Recipes change while the line runs: what comes after the switch is judged by the new one, no part else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import msgspec
import pytest
from support.changeovers import add_recipe, ask, prepare
from support.daemon import Daemon, camera_table, settings
from support.disks import needs_root
from support.held_files import held_files

from inspectd.cli import main
from inspectd.client import (
    Accepted,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
    ask_recipe,
    ask_status,
)
from inspectd.errors import InputError
from inspectd.recipes.audit import AuditLog, AuditSummary, history, in_force, verify
from inspectd.scoring.stub import Behaviour, bank_sha256

ACTIVATE, PREPARE, UNPREPARE = RecipeAction.ACTIVATE, RecipeAction.PREPARE, RecipeAction.UNPREPARE


def line(start, small_good, *, max_recipes=4, behaviour=None) -> Daemon:
    cameras = camera_table("top", small_good, fps=25, mode='"triggered"', slots=32)
    cameras += camera_table("side", small_good, fps=25, mode='"triggered"', slots=32)
    cameras += camera_table("free", small_good, fps=20, slots=32)
    extra = f"[triggers]\nwindow_ms = 500\nmax_delay_ms = 2000\n[scoring]\nmax_recipes = {max_recipes}\n"
    return start(settings("stub.bank", cameras, deadline_ms=3000, extra=extra), **(behaviour or {})).ready()


def three_recipes(state: Path) -> None:
    for number, name in enumerate("abc", 1):
        add_recipe(state, name, number, {"top": 0.1 * number, "side": 1.0 + number, "free": 0.1 * number})


def test_parts_are_judged_by_the_recipe_their_trigger_was_accepted_under(start_daemon, plant, small_good):
    daemon = line(start_daemon, small_good)
    three_recipes(daemon.folder / "state")
    for name in "abc":
        prepare(daemon, name)
    line_plant, expected = plant(daemon), {}
    for number in range(60):
        name = "abc"[number % 3]
        answer = ask(daemon, ACTIVATE, name)
        assert isinstance(answer, RecipeAck), answer
        assert (answer.state, answer.recipe, answer.version) == (RecipeState.ACTIVE, name, 1)
        time.sleep(0.05)  # each gets a frame of its own
        accepted = line_plant.trigger(number)
        assert isinstance(accepted, Accepted), accepted
        assert (accepted.recipe, accepted.recipe_version) == (name, 1)
        expected[str(number)] = name
        if number % 2:  # else the next switch comes while the part is open
            line_plant.part(number)
    daemon.until(lambda: len(daemon.reader.parts) == 60)
    for verdict in daemon.reader.verdicts:
        if verdict.trigger_id is None:
            continue
        name = expected[verdict.trigger_id]
        assert (verdict.recipe, verdict.recipe_version) == (name, 1)
        assert verdict.evaluation != "undecidable", verdict.reason
        key = {"side": f"{name}@1/side", "top": f"{name}@1"}[verdict.camera]
        assert verdict.bank_sha256 == bank_sha256(key)
        number = "abc".index(name) + 1
        assert verdict.threshold == pytest.approx({"top": 0.1 * number, "side": 1.0 + number}[verdict.camera])
    assert daemon.stop() == 0
    counts = daemon.reader.event("stopped").counts
    assert counts.captured == counts.verdicts + counts.drops


def free_line(start, small_good, *, max_recipes=4, behaviour=None) -> Daemon:
    cameras = camera_table("free", small_good, fps=50, slots=32)
    text = settings("stub.bank", cameras, deadline_ms=1000, extra=f"[scoring]\nmax_recipes = {max_recipes}\n")
    return start(text, behaviour=behaviour or Behaviour()).ready()


def refused(daemon, action, recipe, version=None) -> RecipeRefusalReason:
    answer = ask(daemon, action, recipe, version)
    assert isinstance(answer, RecipeRefusal), answer
    return answer.reason


def failed(daemon) -> str:
    daemon.until(lambda: daemon.reader.event("recipe_failed"), 30)
    return daemon.reader.event("recipe_failed").detail


def test_a_frame_is_judged_by_what_was_in_force_when_it_was_captured(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    for number, name in enumerate("ab", 1):
        add_recipe(daemon.folder / "state", name, number, {"free": 0.5 * number})
        prepare(daemon, number)
    switches = [(0, None)]
    for number in range(20):
        answer = ask(daemon, ACTIVATE, "ab"[number % 2])
        switches.append((answer.in_force_utc_ns, answer.recipe))
        daemon.until(lambda: daemon.reader.verdicts[-1].recipe == switches[-1][1])
    assert daemon.stop() == 0
    verdicts = daemon.reader.verdicts
    for verdict in verdicts:
        at = [recipe for since_ns, recipe in switches if since_ns <= verdict.captured_utc_ns][-1]
        near = any(abs(since_ns - verdict.captured_utc_ns) < 2_000_000 for since_ns, _ in switches)
        if near:  # the two clocks of the frame and of the switch are read one after the other
            continue
        assert verdict.recipe == (at or "cell"), min(
            (since_ns - verdict.captured_utc_ns for since_ns, _ in switches), key=abs
        )
        assert verdict.recipe_version == (1 if at else None)
        assert verdict.evaluation != "undecidable", verdict.reason
        if at:
            assert verdict.threshold == {"a": 0.5, "b": 1.0}[at]
            assert verdict.bank_sha256 == bank_sha256(f"{at}@1")
    assert {v.recipe for v in verdicts} == {"cell", "a", "b"}
    counts = daemon.reader.event("stopped").counts
    assert (counts.drops, counts.captured) == (0, counts.verdicts)


def test_what_cannot_be_done_is_refused_and_changes_nothing(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good, max_recipes=2)
    state = daemon.folder / "state"
    add_recipe(state, "a", 1, {"free": 0.5})
    add_recipe(state, "b", 2, {"free": 0.6})
    add_recipe(state, "odd", 3, {"free": 0.7}, of_key="another")
    add_recipe(state, "elsewhere", 4, {"other": 0.7})
    add_recipe(state, "c", 5, {"free": 0.8})
    assert refused(daemon, PREPARE, "none") is RecipeRefusalReason.UNKNOWN
    assert refused(daemon, PREPARE, "../a") is RecipeRefusalReason.UNKNOWN
    assert refused(daemon, PREPARE, "a", 2) is RecipeRefusalReason.UNKNOWN
    assert refused(daemon, PREPARE, 9) is RecipeRefusalReason.UNKNOWN
    assert refused(daemon, PREPARE, "elsewhere") is RecipeRefusalReason.DAMAGED
    for action in (ACTIVATE, UNPREPARE):
        assert refused(daemon, action, "a") is RecipeRefusalReason.NOT_PREPARED
    assert refused(daemon, UNPREPARE, "file") is RecipeRefusalReason.IN_FORCE
    assert ask(daemon, PREPARE, "odd").state is RecipeState.LOADING
    assert "damaged: sha256 of the bank of odd@1: is" in failed(daemon)
    (state / "recipes/b/1/recipe.json").chmod(0o644)
    (state / "recipes/b/1/recipe.json").write_text("{")
    assert refused(daemon, PREPARE, "b") is RecipeRefusalReason.DAMAGED
    prepare(daemon, "a")
    assert ask(daemon, ACTIVATE, 1).before == "file"
    prepare(daemon, "c")  # the file's recipes, used the longest ago, leave
    assert daemon.reader.event("recipe_prepared").detail == "c@1 (prepare-c); no longer prepared: file"
    assert refused(daemon, ACTIVATE, "file") is RecipeRefusalReason.NOT_PREPARED
    assert ask(daemon, UNPREPARE, "c").state is RecipeState.UNLOADED
    assert refused(daemon, ACTIVATE, "c") is RecipeRefusalReason.NOT_PREPARED
    prepare(daemon, "file")
    assert ask(daemon, ACTIVATE, "file").state is RecipeState.ACTIVE
    assert daemon.stop() == 0
    assert {v.reason for v in daemon.reader.verdicts} <= {"within_threshold", "above_threshold"}
    assert not daemon.reader.event("scoring_lost")


def loads_behind(start_daemon, folder, load_seconds):
    """A daemon that scores all the time while a recipe is loaded, and the loading process's state file."""
    slow = Behaviour(latency_ms=10)
    daemon = free_line(start_daemon, folder, behaviour=slow)
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.5})
    daemon.behave(msgspec.structs.replace(slow, load_seconds=load_seconds))
    ask(daemon, PREPARE, "a")
    daemon.until(lambda: "scoring-b" in daemon.children())
    return daemon, Path(f"/proc/{daemon.children()['scoring-b']}/stat")


def stands_still(stat):
    return stat.read_text().rpartition(")")[2].split()[0] == "T"


def test_what_loads_stands_still_while_something_is_scored(start_daemon, small_good):
    daemon, stat = loads_behind(start_daemon, small_good, 2)
    seen = set()
    while not daemon.reader.event("recipe_prepared"):
        seen |= {stands_still(stat) for _ in range(100)}
        daemon.reader.read(1)
    assert seen == {False, True}
    assert not stands_still(stat)
    assert daemon.stop() == 0


def test_what_stands_still_does_not_outlive_a_line_that_is_killed(start_daemon, small_good):
    daemon, stat = loads_behind(start_daemon, small_good, 60)
    daemon.until(lambda: stands_still(stat))
    os.kill(daemon.process.pid, signal.SIGKILL)
    for _ in range(500):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.01)
    pytest.fail(f"{stat} is still there: {stat.read_text()}")


def loading(daemon: Daemon) -> str | None:
    """What the line says that it loads."""
    return ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").loading


def test_a_recipe_that_kills_who_loads_it_costs_no_part_anything(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.5})
    daemon.behave(Behaviour(load_seconds=60))
    assert loading(daemon) == ""
    assert ask(daemon, PREPARE, "a").state is RecipeState.LOADING
    assert loading(daemon) == "a@1"
    assert refused(daemon, PREPARE, "a") is RecipeRefusalReason.BUSY
    assert refused(daemon, UNPREPARE, "b") is RecipeRefusalReason.NOT_PREPARED
    assert ask(daemon, UNPREPARE, "a").state is RecipeState.UNLOADED
    assert failed(daemon) == "a@1 (prepare-a): failed: no longer wanted"
    daemon.reader.events.clear()
    daemon.until(lambda: "scoring-b" not in daemon.children())  # else the one that goes is killed
    assert ask(daemon, PREPARE, "a").state is RecipeState.LOADING
    daemon.until(lambda: "scoring-b" in daemon.children())
    os.kill(daemon.children()["scoring-b"], signal.SIGKILL)
    assert failed(daemon) == "a@1 (prepare-a): failed: killed by SIGKILL"
    assert loading(daemon) == ""
    daemon.behave(Behaviour(fault="refuse"))
    daemon.reader.events.clear()
    ask(daemon, PREPARE, "a")
    assert "the stub was asked to refuse its banks" in failed(daemon)
    daemon.behave(Behaviour())
    prepare(daemon, "a")
    ask(daemon, ACTIVATE, "a")
    daemon.until(lambda: daemon.reader.verdicts[-1].recipe == "a")
    # It serves now: its end is the line's, and the next one loads the same.
    os.kill(daemon.children()["scoring-b"], signal.SIGKILL)
    daemon.until(lambda: daemon.reader.event("scoring_lost"))
    daemon.reader.verdicts.clear()
    daemon.until(lambda: any(v.evaluation == "pass" for v in daemon.reader.verdicts))
    assert {v.recipe for v in daemon.reader.verdicts} == {"a"}
    add_recipe(daemon.folder / "state", "b", 2, {"free": 0.5})
    prepare(daemon, "b")
    daemon.until(lambda: "scoring-b" not in daemon.children())
    assert daemon.stop() == 0


def test_what_was_acknowledged_is_in_force_after_any_end(start_daemon, small_good, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    for number, name in enumerate("ab", 1):
        add_recipe(state, name, number, {"free": 0.5 * number})
    environment = {"STATE_DIRECTORY": str(state)}
    text = settings("stub.bank", camera_table("free", small_good, fps=50, slots=32), deadline_ms=1000)
    acknowledged = "cell"
    for number in range(4):
        daemon = start_daemon(text, environment).ready()
        reader = daemon.reader
        reader.until(lambda: any(v.reason != "restarted" for v in reader.verdicts))  # noqa: B023 - called at once
        assert {v.recipe for v in reader.verdicts if v.reason != "restarted"} == {acknowledged}
        for name in "abab"[number:]:
            prepare(daemon, name)
            answer = ask(daemon, ACTIVATE, name, why="a test")
            assert isinstance(answer, RecipeAck)
            acknowledged = answer.recipe
        daemon.process.kill()
        daemon.process.wait()
    assert isinstance(verify(state / "audit.jsonl"), AuditSummary)
    assert {record.why for record in history(state / "audit.jsonl")} == {"a test"}
    (state / "recipes" / acknowledged / "1" / "recipe.json").chmod(0o644)
    (state / "recipes" / acknowledged / "1" / "recipe.json").write_text("{}")
    daemon = start_daemon(text, environment)
    assert daemon.process.wait(20) == 2
    assert f"recipe {acknowledged}@1 is in force by" in daemon.log.read_text()
    assert "Traceback" not in daemon.log.read_text()


def test_who_names_no_version_gets_the_one_that_was_in_force_last(start_daemon, plant, small_good, tmp_path):
    state, camera = tmp_path / "state", camera_table("top", small_good, fps=25, mode='"triggered"', slots=32)
    text = settings("stub.bank", camera, deadline_ms=3000, extra="[triggers]\nmax_delay_ms = 2000\n")
    state.mkdir()
    for name, number, threshold in (("a", 1, 0.1), ("a", 1, 0.2), ("b", 2, 0.3)):
        add_recipe(state, name, number, {"top": threshold})
    daemon = start_daemon(text, {"STATE_DIRECTORY": str(state)}).ready()
    line_plant = plant(daemon)
    for name, version in (("a", 1), ("a", 2), ("b", 1)):
        prepare(daemon, name, version)
    for action, name, version in (
        (ACTIVATE, "a", 1), (ACTIVATE, "a", 2), (RecipeAction.ROLLBACK, "a", 1), (ACTIVATE, "b", 1)
    ):  # fmt: skip
        assert isinstance(ask(daemon, action, name, version), RecipeAck)
    line_plant.trigger(1, cameras={"top": "a"})
    line_plant.part(1)
    assert [(v.recipe, v.recipe_version) for v in daemon.reader.verdicts if v.trigger_id] == [("a", 1)]
    add_recipe(state, "a", 1, {"top": 0.4})
    for named in (1, "a"):
        assert ask(daemon, PREPARE, named).version == ask(daemon, ACTIVATE, named).version == 1
        assert isinstance(ask(daemon, ACTIVATE, "b"), RecipeAck)
    assert daemon.stop() == 0
    daemon = start_daemon(text, {"STATE_DIRECTORY": str(state)}).ready()
    prepare(daemon, "a", 3)
    assert refused(daemon, ACTIVATE, 1) is RecipeRefusalReason.NOT_PREPARED  # a@1 is not, and a@3 never was
    assert plant(daemon).trigger(2, cameras={"top": "a"}).reason == "unknown_recipe"
    prepare(daemon, 1)
    assert ask(daemon, ACTIVATE, 1).version == 1
    assert ask(daemon, ACTIVATE, "a", 3).before == "a@1"
    assert (ask(daemon, ACTIVATE, "b").before, ask(daemon, ACTIVATE, 1).version) == ("a@3", 3)
    assert daemon.stop() == 0


def test_where_the_audit_file_is_damaged_the_line_guesses_no_version(
    start_daemon, plant, small_good, tmp_path
):
    state, camera = tmp_path / "state", camera_table("top", small_good, fps=25, mode='"triggered"', slots=32)
    text = settings("stub.bank", camera, deadline_ms=3000, extra="[triggers]\nmax_delay_ms = 2000\n")
    state.mkdir()
    for name, number, threshold in (("a", 1, 0.1), ("a", 1, 0.2), ("b", 2, 0.3), ("c", 3, 0.4)):
        add_recipe(state, name, number, {"top": threshold})
    daemon = start_daemon(text, {"STATE_DIRECTORY": str(state)}).ready()
    for name in ("a", "b"):
        prepare(daemon, name, 1)
        assert isinstance(ask(daemon, ACTIVATE, name, 1), RecipeAck)
    assert daemon.stop() == 0
    audit = state / "audit.jsonl"
    audit.write_bytes(audit.read_bytes().replace(b"anna", b"eve", 1))
    daemon = start_daemon(text, {"STATE_DIRECTORY": str(state)}).ready()
    assert "so name versions" in failed(daemon)
    prepare(daemon, "a", 2)  # which nobody has put in force
    assert refused(daemon, ACTIVATE, 1) is RecipeRefusalReason.NOT_PREPARED
    assert plant(daemon).trigger(1, cameras={"top": "a"}).reason == "unknown_recipe"
    prepare(daemon, 3)  # of which there is one version
    assert [ask(daemon, ACTIVATE, *named).before for named in ((3,), ("a", 2), ("b",), (1,))] == [
        "b@1", "c@1", "a@2", "b@1"
    ]  # fmt: skip
    assert daemon.stop() == 0


def test_what_the_store_holds_no_more_or_holds_as_another_one_comes_in_force_by_nobody(
    start_daemon, small_good
):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    for threshold in (0.5, 5.0):
        add_recipe(state, "a", 1, {"free": threshold})
    for version in (2, 1):
        prepare(daemon, "a", version)
    assert ask(daemon, ACTIVATE, "a", 1).state is RecipeState.ACTIVE
    shutil.rmtree(state / "recipes/a/2")
    assert refused(daemon, PREPARE, "a", 2) is RecipeRefusalReason.UNKNOWN
    assert refused(daemon, ACTIVATE, "a", 2) is RecipeRefusalReason.DAMAGED
    add_recipe(state, "a", 1, {"free": 0.01})  # without a look at the audit file it is a@2 again
    for action in (PREPARE, ACTIVATE, RecipeAction.ROLLBACK):
        answer = ask(daemon, action, "a", 2)
        expected = (
            RecipeRefusalReason.NOT_BEFORE if action is RecipeAction.ROLLBACK else RecipeRefusalReason.DAMAGED
        )
        assert answer.reason is expected, answer
    assert "has another one under that name" in ask(daemon, ACTIVATE, "a", 2).detail
    assert [record.new[:3] for record in history(state / "audit.jsonl")] == ["a@1"]
    assert not daemon.reader.event("recipe_not_recorded")
    assert ask(daemon, UNPREPARE, "a", 2).state is RecipeState.UNLOADED
    assert daemon.stop() == 0


def test_a_person_changes_recipes_by_command(start_daemon, small_good, monkeypatch, capsys):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_dir))
    monkeypatch.setenv("STATE_DIRECTORY", str(state))

    def run(*words, expect=0):
        capsys.readouterr()
        assert main(["recipe", *words, "--config", str(daemon.file)]) == expect
        return "".join(capsys.readouterr())

    for name in ("a", "a", "b"):
        add_recipe(state, name, "ab".index(name) + 1, {"free": 0.5})
    command = ["recipe", "activate", "a", "--why", "order 7", "--config", str(daemon.file)]
    done = subprocess.run(
        [sys.executable, "-m", "inspectd", *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "a@2: in force, instead of file\n"), done
    assert run("prepare", "b") == "b@1: prepared\n"
    assert "b: in_force" not in run("unprepare", "b")
    assert run("activate", "a@1") == "a@1: in force, instead of a@2\n"
    assert run("rollback", "--why", "too many rejects") == "a@2: in force, instead of a@1\n"
    assert "was itself a rollback, from a@1: " in run("rollback", expect=2)
    assert "c" in run("activate", "c", expect=2)
    assert "a@2: in_force: a@2 is in force" in run("unprepare", "a@2", expect=1)
    shown = run("history")
    assert "rollback by" in shown
    assert "why: too many rejects" in shown
    daemon.until(lambda: daemon.reader.verdicts and daemon.reader.verdicts[-1].recipe_version == 2)
    assert daemon.stop() == 0
    assert run("activate", "file") == "file: in force from the line's next start, instead of a@2\n"
    assert run("activate", "file") == "file: in force already\n"
    assert run("rollback") == "a@2: in force from the line's next start, instead of file\n"
    assert "was itself a rollback, from file: " in run("rollback", expect=2)
    assert isinstance(verify(state / "audit.jsonl"), AuditSummary)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP])
def test_nobody_waits_for_a_recipe_of_a_line_that_is_gone_or_stands_still(
    start_daemon, small_good, monkeypatch, capsys, by
):
    daemon = free_line(start_daemon, small_good)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_dir))
    monkeypatch.setenv("STATE_DIRECTORY", str(daemon.folder / "state"))
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.5})
    daemon.behave(Behaviour(load_seconds=60))
    with ThreadPoolExecutor(1) as beside:
        done = beside.submit(main, ["recipe", "activate", "a", "--config", str(daemon.file)])
        daemon.until(lambda: "scoring-b" in daemon.children())
        before = len(daemon.reader.heartbeats)
        daemon.until(lambda: len(daemon.reader.heartbeats) > before + 2)  # so the command has one too
        if by == signal.SIGSTOP:
            daemon.process.send_signal(by)
        else:
            daemon.stop(by)
        assert done.result(20) == 3
        daemon.process.send_signal(signal.SIGCONT)
    told = "the line stopped before it was loaded"
    if by != signal.SIGTERM:  # who asked cannot know whether it goes on
        told = "the line does not answer, and nothing was put in force; it may still load it"
    assert f"a@1: {told}" in capsys.readouterr().err


@pytest.mark.parametrize("removed", ["directory", "socket"])
def test_a_line_whose_sockets_were_removed_is_not_taken_for_a_stopped_one(
    start_daemon, small_good, monkeypatch, capsys, removed
):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_dir))
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    activate = ["recipe", "activate", "a@1", "--config", str(daemon.file)]
    add_recipe(state, "a", 1, {"free": 0.5})
    if removed == "directory":
        shutil.rmtree(daemon.runtime_dir)
    else:
        (daemon.runtime_dir / "control.sock").unlink()
    assert main(activate) == 3
    said = capsys.readouterr().err
    assert "a line runs by it and has no socket in " in said
    assert f" or {daemon.runtime_dir}: name its directory of sockets in {daemon.file}" in said
    assert "(line.runtime_dir), or, where the line tells sockets_gone, restart it" in said
    assert [record.action for record in history(state / "audit.jsonl")] == []
    daemon.until(
        lambda: "sockets_gone" in {each.condition for each in daemon.reader.heartbeats[-1].conditions}
    )
    assert daemon.stop() == 0
    assert main(activate) == 0
    assert "in force from the line's next start" in capsys.readouterr().out


@needs_root
def test_who_activates_what_is_in_force_without_end_has_the_disk_asked_once_at_a_time(
    start_daemon, small_good
):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    before: dict[Path, bytes] = {}
    for name in "ab":
        before = {path: path.read_bytes() for path in state.glob("audit.*")}
        add_recipe(state, name, "ab".index(name) + 1, {"free": 0.5})
        prepare(daemon, name)
        assert isinstance(ask(daemon, ACTIVATE, name), RecipeAck)
    for path, data in before.items():
        path.write_bytes(data)  # as where a copy is put back: each look at it is an alarm

    def alarms() -> int:
        return sum(event.event == "recipe_not_recorded" for event in daemon.reader.events)

    with held_files(state, lambda name: name == "audit.jsonl") as held:
        assert refused(daemon, ACTIVATE, "b") == "not_recorded"  # the disk does not answer
        for _ in range(20):
            assert refused(daemon, ACTIVATE, "b") == "busy"
        assert held.is_held.wait(10)
        held.let_go()
    daemon.until(alarms)
    assert refused(daemon, ACTIVATE, "b") == "not_recorded"
    daemon.until(lambda: alarms() > 1)
    assert alarms() == 2
    assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["emptied", "replaced"])
def test_what_judges_is_told_as_in_force_only_once_the_next_start_goes_by_it(
    start_daemon, small_good, monkeypatch, capsys, how
):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    audit = state / "audit.jsonl"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_dir))
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    activate = ["recipe", "activate", "a@2", "--config", str(daemon.file)]
    for version in (1, 2):
        add_recipe(state, "a", 1, {"free": 0.5})
        prepare(daemon, "a", version)
        assert isinstance(ask(daemon, ACTIVATE, "a", version), RecipeAck)
        if version == 1:
            shutil.copy(audit, daemon.folder / "older")
    if how == "emptied":  # in its place, where the line goes on writing
        audit.write_bytes(b"")
        assert main(activate) == 0
    else:
        (daemon.folder / "older").replace(audit)
        before = audit.read_bytes()
        assert main(activate) == 1
        assert "not_recorded" in (said := capsys.readouterr().err)
        assert "is another file since the line began to use it" in said
        assert audit.read_bytes() == before
        with pytest.raises(InputError, match="say what is in force once the line is stopped"):
            in_force(audit)
    assert daemon.stop() == 0
    if how == "replaced":
        assert main(activate) == 0
    found = in_force(audit)
    assert found is not None
    assert (found.id, found.version) == ("a", 2)


def test_a_stop_lets_no_change_come_that_nobody_is_told_of(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    add_recipe(state, "a", 1, {"free": 0.5})
    prepare(daemon, "a")
    with AuditLog(state / "audit.jsonl"):  # somebody writes a record, and the line waits for it
        request = RecipeRequest("late", ACTIVATE, "a", None, who="anna")
        with ThreadPoolExecutor(1) as asking:
            control = f"ipc://{daemon.runtime_dir}/control.sock"
            answer = asking.submit(ask_recipe, control, request, timeout_seconds=10)
            with pytest.raises(TimeoutError):
                answer.result(0.2)
            daemon.process.send_signal(signal.SIGTERM)
            refusal = answer.result(10)
    assert (refusal.reason, refusal.detail) == (RecipeRefusalReason.NOT_READY, "the line stops")
    assert daemon.process.wait(20) == 0
    found = in_force(state / "audit.jsonl")
    assert found is None or found.is_file


@needs_root
def test_a_change_that_counts_when_the_line_is_stopped_is_acknowledged_first(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    add_recipe(state, "a", 1, {"free": 0.5})
    prepare(daemon, "a")
    marks = count(1)

    def is_the_second_mark(name: str) -> bool:
        """The first says that the record does not count yet, the second that it does."""
        return name == "audit.mark.new" and next(marks) == 2

    with held_files(state, is_the_second_mark) as held, ThreadPoolExecutor(1) as asking:
        request = RecipeRequest("late", ACTIVATE, "a", None, who="anna")
        control = f"ipc://{daemon.runtime_dir}/control.sock"
        answer = asking.submit(ask_recipe, control, request, timeout_seconds=10)
        assert held.is_held.wait(10)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.until(lambda: daemon.reader.event("draining"))
        with pytest.raises(TimeoutError):
            answer.result(0.5)
        held.let_go()
        acknowledged = answer.result(10)
    assert isinstance(acknowledged, RecipeAck)
    assert daemon.process.wait(20) == 0
    found = in_force(state / "audit.jsonl")
    assert (found.id, found.version) == ("a", 1)


def test_a_running_line_goes_by_its_audit_file_and_by_what_it_knows(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    state, audit = daemon.folder / "state", daemon.folder / "state" / "audit.jsonl"
    for name in "ab":
        add_recipe(state, name, "ab".index(name) + 1, {"free": 0.5})
        prepare(daemon, name)
        assert isinstance(ask(daemon, ACTIVATE, name), RecipeAck)
        audit.rename(state / name)  # such as where the disk is unmounted
        assert refused(daemon, ACTIVATE, "file") is RecipeRefusalReason.NOT_RECORDED
        assert not audit.exists()
        (state / name).rename(audit)
    assert ask(daemon, ACTIVATE, "file").before == "b@1"
    shutil.copytree(state, state.with_name("copy"))
    state.rename(state.with_name("away"))
    state.with_name("copy").rename(state)  # what is changed there is gone with the next start
    assert refused(daemon, ACTIVATE, "b") is RecipeRefusalReason.NOT_RECORDED
    state.rename(state.with_name("copy"))
    state.with_name("away").rename(state)
    # Where it was emptied, the line says anew what is in force.
    assert isinstance(ask(daemon, ACTIVATE, "a"), RecipeAck)
    audit.write_bytes(b"")
    assert refused(daemon, ACTIVATE, "b") is RecipeRefusalReason.NOT_RECORDED
    assert ask(daemon, ACTIVATE, "a").before is None
    assert ask(daemon, ACTIVATE, "b").before == "a@1"
    said = list(history(audit))
    assert [(record.object, record.old is None) for record in said] == [("a", True), ("b", False)]
    assert daemon.stop() == 0
