"""The configuration file is read again while the line runs: what changed is taken up, all else goes on."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.cells import SMALL_PIXELS
from support.changeovers import add_recipe, ask, begin_shadow, give_time, prepare
from support.daemon import Daemon, camera_table, settings
from support.triggers import Plant

from inspectd.capture.geometry.calibration import LensCalibration, write_calibration
from inspectd.client import Accepted, RecipeAck, RecipeAction, Refusal, Verdict, ask_status
from inspectd.recipes.audit import AuditAction, AuditSummary, read, shadowed, verify
from inspectd.scoring.stub import Behaviour, bank_sha256

TOLD = {"reloaded", "reload_refused", "reload_ignored"}


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "stub.bank"
    path.write_bytes(b"the stub reads none")
    return path


def text_of(bank: Path, good: Path, *, free_fps=20, top=None, recipe="threshold = 0.9", extra="") -> str:
    """A line with a camera that is changed, one that is not, and a triggered one."""
    cameras = camera_table("free", good, fps=free_fps, slots=32)
    cameras += camera_table("steady", good, fps=15, slots=32)
    cameras += camera_table("top", good, **{"mode": '"triggered"', "slots": 32, "fps": 25, **(top or {})})
    extra = f"[triggers]\nwindow_ms = 500\nmax_delay_ms = 2000\n{extra}"
    return settings(bank, cameras, deadline_ms=3000, recipe=recipe, extra=extra)


def told(daemon: Daemon) -> list[tuple[str, str]]:
    return [(event.event, event.detail) for event in daemon.reader.events if event.event in TOLD]


def reload(daemon: Daemon, text: str | bytes | None = None) -> tuple[str, str]:
    """Write another file, have it read, and return what the line says of it."""
    if text is not None:
        daemon.file.write_bytes(text if isinstance(text, bytes) else text.encode())
    daemon.reader.read(0)
    before = len(told(daemon))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: len(told(daemon)) > before, 20)
    return told(daemon)[before]


def of_camera(daemon: Daemon, camera: str) -> list[Verdict]:
    """Its verdicts in the order of its frames; two scoring processes may answer in another one."""
    found = [verdict for verdict in daemon.reader.verdicts if verdict.camera == camera]
    return sorted(found, key=lambda verdict: (verdict.frame_generation, verdict.frame_seq))


def assert_untouched(daemon: Daemon, camera: str) -> None:
    """Every frame of one capture process has its verdict, and is scored."""
    verdicts = of_camera(daemon, camera)
    assert {v.frame_generation for v in verdicts} == {1}
    assert [v.frame_seq for v in verdicts] == list(range(1, len(verdicts) + 1))
    assert {v.evaluation for v in verdicts} == {"pass"}
    assert sum(v.dropped_before for v in verdicts) == 0


def assert_all_accounted_for(daemon: Daemon) -> None:
    assert daemon.stop() == 0
    counts = daemon.reader.event("stopped").counts
    assert counts.captured == counts.verdicts + counts.drops
    assert counts.triggers == counts.parts


def test_a_changed_camera_starts_anew_and_no_other_loses_a_frame(start_daemon, small_good, bank, tmp_path):
    shutil.copytree(small_good, tmp_path / "new/good")
    daemon = start_daemon(text_of(bank, small_good)).ready()
    before = daemon.children()
    changed = text_of(bank, small_good, top={"slots": 16})
    answer = reload(daemon, changed.replace(str(small_good), str(tmp_path / "new"), 1))
    assert answer == ("reloaded", "camera free; camera top")
    daemon.until(lambda: of_camera(daemon, "free")[-1].frame_generation == 2, 20)
    daemon.ready()
    assert {name for name, pid in daemon.children().items() if before.get(name) != pid} == {"free", "top"}
    seen = {(v.frame_generation, str(Path(v.source).parent)) for v in of_camera(daemon, "free")}
    assert seen == {(1, "."), (2, "good")}
    assert reload(daemon) == ("reloaded", "nothing changed")
    assert_all_accounted_for(daemon)
    assert_untouched(daemon, "steady")
    assert {v.recipe for v in daemon.reader.verdicts} == {"cell"}


def test_no_picture_by_the_settings_of_before_is_judged_by_the_recipe_of_after(
    start_daemon, small_good, bank, tmp_path
):
    shutil.copytree(small_good, tmp_path / "new/good")
    daemon = start_daemon(text_of(bank, small_good, free_fps=60)).ready()
    daemon.until(lambda: len(of_camera(daemon, "free")) > 30)
    changed = text_of(bank, small_good, free_fps=60, recipe="threshold = 0.8")
    assert reload(daemon, changed.replace(str(small_good), str(tmp_path / "new"), 1))[0] == "reloaded"
    daemon.until(lambda: any(v.frame_generation == 2 for v in of_camera(daemon, "free")))
    verdicts = of_camera(daemon, "free")
    assert {v.threshold for v in verdicts if v.frame_generation == 1} <= {0.9, None}
    assert {(v.evaluation, v.reason) for v in verdicts if v.threshold is None} <= {
        ("undecidable", "camera_settings")
    }
    assert {v.threshold for v in verdicts if v.frame_generation == 2} == {0.8}
    assert_all_accounted_for(daemon)


def write_lens(path: Path, focal_length: float) -> None:
    centre = SMALL_PIXELS / 2
    matrix = np.array([[focal_length, 0, centre], [0, focal_length, centre], [0, 0, 1]])
    size = (SMALL_PIXELS, SMALL_PIXELS)
    write_calibration(path, LensCalibration(matrix, np.zeros(5), *size, None, *size), {})


def test_what_pictures_are_made_by_changes_with_a_reload_and_never_with_a_restart(
    start_daemon, small_good, bank, tmp_path
):
    lens = tmp_path / "lens.yml"
    write_lens(lens, 900)
    text = text_of(bank, small_good)
    named = f'name = "free"\ngeometry = {{ calibration = "{lens}" }}'
    daemon = start_daemon(text.replace('name = "free"', named)).ready()

    def generation() -> int:
        return of_camera(daemon, "free")[-1].frame_generation

    daemon.until(lambda: of_camera(daemon, "free"))
    os.kill(daemon.children()["free"], signal.SIGKILL)
    daemon.until(lambda: generation() == 2, 20)  # the same file: it goes on
    write_lens(lens, 910)
    os.kill(daemon.children()["free"], signal.SIGKILL)
    daemon.until(
        lambda: "has changed on disk since the line loaded it" in daemon.reader.event("camera_down").detail,
        20,
    )
    assert generation() == 2
    assert reload(daemon) == ("reloaded", "camera free")
    daemon.until(lambda: generation() > 2, 20)
    taken = generation()
    write_lens(lens, 920)
    assert reload(daemon) == ("reloaded", "camera free")
    daemon.until(lambda: generation() > taken, 20)
    assert reload(daemon) == ("reloaded", "nothing changed")
    assert_all_accounted_for(daemon)
    assert_untouched(daemon, "steady")


def test_a_triggered_camera_changes_between_two_parts(
    start_daemon, plant: Callable[[Daemon], Plant], small_good, bank
):
    daemon = start_daemon(text_of(bank, small_good)).ready()
    line = plant(daemon)
    for number in range(10):
        if number in {5, 9}:  # two parts came meanwhile
            daemon.until(lambda changes=number // 4: len(told(daemon)) == changes)
        answer = line.trigger(number)
        while isinstance(answer, Refusal):
            assert (answer.reason, answer.detail) == ("not_ready", "camera top delivers no frames")
            time.sleep(0.05)
            answer = line.trigger(number)
        assert isinstance(answer, Accepted)
        if number in {2, 6}:  # its part is open
            top = {"fps": 20 + number, "latency_ms": number}
            daemon.file.write_text(text_of(bank, small_good, top=top))
            daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
    for number in range(10):
        assert line.part(number).evaluation == "pass"
    daemon.until(lambda: len(told(daemon)) == 2)
    assert told(daemon) == [("reloaded", "camera top")] * 2
    assert {v.frame_generation for number in range(10) for v in line.views(number)} == {1, 2, 3}
    assert_all_accounted_for(daemon)
    assert_untouched(daemon, "steady")


def test_a_camera_that_is_away_and_one_that_hangs_are_mended(start_daemon, small_good, bank, tmp_path):
    text = text_of(bank, small_good)
    wrong = text.replace(f'folder = "{small_good}"', f'folder = "{tmp_path}/none"', 1)
    daemon = start_daemon(wrong)
    daemon.until(lambda: "down" in daemon.phases() and "up" in daemon.phases(), 20)
    os.kill(daemon.children()["top"], signal.SIGSTOP)
    daemon.file.write_text(text.replace("fps = 25", "fps = 26"))
    assert reload(daemon) == ("reloaded", "camera free; camera top")
    daemon.ready()
    daemon.until(lambda: of_camera(daemon, "free"), 10)
    assert_all_accounted_for(daemon)
    assert_untouched(daemon, "steady")


BROKEN = {
    "empty": b"",
    "no text": b"\xff\xfe\x00",
    "no TOML": b"[line\nname = 1",
    "deep": b"x = " + b"[" * 5000,
    "unknown key": b"[lines]\n",
    "wrong type": b"cameras = 1\nrecipes = 2\n",
}


@pytest.fixture(scope="module")
def unchanged(start_shared_daemon, small_good, tmp_path_factory) -> Iterator[tuple[Daemon, Path]]:
    """A line that refuses all files of these tests, and its bank; in the end it has lost nothing."""
    bank = tmp_path_factory.mktemp("bank") / "stub.bank"
    bank.write_bytes(b"the stub reads none")
    daemon = start_shared_daemon(text_of(bank, small_good)).ready()
    yield daemon, bank
    assert_all_accounted_for(daemon)
    for camera in ("steady", "free"):
        assert_untouched(daemon, camera)


def test_a_file_with_a_problem_changes_nothing(unchanged, small_good, tmp_path):
    daemon, bank = unchanged
    good = text_of(bank, small_good)
    refused = 0
    for broken in BROKEN.values():
        assert reload(daemon, broken)[0] == "reload_refused"
        refused += 1
    for old, new, found in [
        ("fps = 20", "fps = -1", "cameras[0].fps: got -1"),
        ('name = "steady"', 'name = "free"', "names must differ"),
        ('recipe = "cell"', 'recipe = "lid"', "no recipe 'lid'"),
        (str(bank), str(tmp_path / "none.bank"), "recipes[0].bank: "),
        (str(bank), str(tmp_path), "is not a regular file"),
        (str(bank), "a\\u0000b", "recipes[0].bank: "),
        ("threshold = 0.9", "threshold = inf", "recipes[0].threshold"),
        ("window_ms = 500", "window_ms = 0", "triggers.window_ms"),
    ]:
        name, detail = reload(daemon, good.replace(old, new))
        assert name == "reload_refused"
        assert found in detail, detail
        refused += 1
    all_at_once = good.replace("fps = 20", "fps = -1").replace("threshold = 0.9", "threshold = true")
    detail = reload(daemon, all_at_once.replace("window_ms = 500", "window_ms = 0"))[1]
    assert all(part in detail for part in ("nothing is changed: ", "fps", "threshold", "triggers.window_ms"))
    daemon.file.unlink()
    assert "cannot be read: No such file" in reload(daemon)[1]
    assert refused > 10
    for camera in ("steady", "free"):
        assert_untouched(daemon, camera)
    assert {e.severity for e in daemon.reader.events if e.event == "reload_refused"} == {"alarm"}
    assert "Traceback" not in daemon.log.read_text()


def test_what_takes_a_restart_is_named_and_nothing_is_half_applied(unchanged, small_good):
    daemon, bank = unchanged
    changed = text_of(bank, small_good, free_fps=5, recipe="threshold = 0.1", extra="[journal]\ndays = 3\n")
    changed = changed.replace('name = "line"', 'name = "other"').replace(
        'mode = "triggered"', 'mode = "free"'
    )
    name, detail = reload(daemon, changed)
    assert name == "reload_refused"
    for setting in (
        "line.name: is 'other', the line runs with 'line'",
        "journal.days: ",
        "cameras[2].mode: ",
    ):
        assert setting in detail
    assert detail.count("takes a restart") == 3
    one_more = text_of(bank, small_good) + camera_table("new", small_good)
    assert "to add, remove, rename or reorder cameras takes a restart" in reload(daemon, one_more)[1]
    for camera in ("steady", "free"):
        assert_untouched(daemon, camera)


def test_a_threshold_changes_under_load_and_no_verdict_is_of_two_minds(
    start_daemon, plant: Callable[[Daemon], Plant], small_good, bank
):
    daemon = start_daemon(text_of(bank, small_good), behaviour=Behaviour(latency_ms=5)).ready()
    line, opened = plant(daemon), 0
    thresholds = [0.9, 0.95, 0.85]
    for threshold in thresholds[1:]:
        daemon.file.write_text(text_of(bank, small_good, recipe=f"threshold = {threshold}"))
        seen = len(told(daemon))
        daemon.process.send_signal(signal.SIGHUP)
        while len(told(daemon)) == seen:
            assert isinstance(line.trigger(opened), Accepted)
            opened += 1
            time.sleep(0.045)
        assert told(daemon)[-1] == ("reloaded", "recipe cell: threshold")
    for number in range(opened):
        line.part(number)
    daemon.reader.read(300)
    assert_all_accounted_for(daemon)
    banks = {0.9: bank_sha256("cell"), 0.95: bank_sha256("cell#1"), 0.85: bank_sha256("cell#2")}
    judged = [v for v in daemon.reader.verdicts if v.threshold is not None]
    assert {(v.threshold, v.bank_sha256) for v in judged} == set(banks.items())
    assert {(v.recipe, v.recipe_version) for v in judged} == {("cell", None)}
    assert len({v.recipe_sha256 for v in judged}) == 3
    for camera in ("steady", "free"):
        assert_untouched(daemon, camera)
        in_turn = [v.threshold for v in of_camera(daemon, camera)]
        assert in_turn == sorted(in_turn, key=thresholds.index)
    audit = daemon.folder / "state/audit.jsonl"
    records = [record for record in read(audit) if record.action is not AuditAction.THRESHOLD]
    assert [(r.action, r.who, r.door, r.object, r.result) for r in records] == [
        (AuditAction.RELOAD, "signal", "signal", "file", "done")
    ] * 2
    assert records[0].new == records[1].old
    assert records[0].why == "recipe cell: threshold"
    assert isinstance(verify(audit), AuditSummary)


def test_a_recipe_of_the_store_stays_in_force(start_daemon, small_good, bank):
    daemon = start_daemon(text_of(bank, small_good)).ready()
    cameras = {"free": 0.9, "steady": 0.9, "top": 0.9}
    add_recipe(daemon.folder / "state", "a", 1, cameras)
    prepare(daemon, "a")
    assert isinstance(ask(daemon, RecipeAction.ACTIVATE, "a"), RecipeAck)
    changed = text_of(bank, small_good, free_fps=35, recipe="threshold = 0.8")
    said = "recipe cell: threshold; camera free; a@1 of the recipe store stays in force"
    assert reload(daemon, changed) == ("reloaded", said)
    daemon.reader.verdicts.clear()
    daemon.until(lambda: [v for v in of_camera(daemon, "free") if v.frame_generation == 2], 10)
    assert {v.recipe for v in daemon.reader.verdicts} == {"a"}
    answer = ask(daemon, RecipeAction.ACTIVATE, "file", 0)  # it is loaded, and is what the file says now
    assert isinstance(answer, RecipeAck), answer
    assert (answer.recipe, answer.version, answer.before) == ("file", 1, "a@1")
    daemon.until(lambda: daemon.reader.verdicts[-1].threshold == 0.8, 5)
    actions = [record.action for record in read(daemon.folder / "state/audit.jsonl")]
    assert actions == ["threshold", "activate", "reload", "activate", "threshold"]
    assert ask(daemon, RecipeAction.UNPREPARE, "a").state == "unloaded"


def test_what_the_file_said_before_a_reload_is_prepared_by_nobody_after_it(start_daemon, small_good, bank):
    daemon = start_daemon(text_of(bank, small_good)).ready()
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.9, "steady": 0.9, "top": 0.9})
    prepare(daemon, "a")
    assert isinstance(ask(daemon, RecipeAction.ACTIVATE, "a"), RecipeAck)
    assert ask(daemon, RecipeAction.UNPREPARE, "file").state == "unloaded"
    daemon.behave(Behaviour(load_seconds=60))
    assert ask(daemon, RecipeAction.PREPARE, "file").state == "loading"
    assert reload(daemon, text_of(bank, small_good, recipe="threshold = 0.8"))[0] == "reloaded"
    daemon.until(lambda: daemon.reader.event("recipe_failed"))
    said = daemon.reader.event("recipe_failed").detail
    assert said.startswith("file (prepare-file): failed: the configuration file was read again meanwhile")
    assert ask(daemon, RecipeAction.ACTIVATE, "file").reason == "not_prepared"
    daemon.behave(Behaviour())
    prepare(daemon, "file")
    answer = ask(daemon, RecipeAction.ACTIVATE, "file")
    assert (answer.version, answer.before) == (1, "a@1")
    daemon.until(lambda: daemon.reader.verdicts[-1].threshold == 0.8, 5)


def test_recipes_that_cannot_be_loaded_leave_all_as_it_was(start_daemon, small_good, bank):
    daemon = start_daemon(text_of(bank, small_good)).ready()
    daemon.behave(Behaviour(fault="refuse"))
    name, detail = reload(daemon, text_of(bank, small_good, free_fps=5, recipe="threshold = 0.1"))
    assert name == "reload_refused"
    assert "the recipes cannot be loaded: failed: " in detail
    assert "the stub was asked to refuse its banks" in detail
    daemon.behave(Behaviour())
    audit = daemon.folder / "state/audit.jsonl"
    audit.rename(audit.with_name("moved"))
    audit.mkdir()
    name, detail = reload(daemon)
    assert (name, "not_recorded" in detail) == ("reload_refused", True)
    audit.rmdir()
    audit.with_name("moved").rename(audit)
    daemon.reader.read(200)
    assert {v.threshold for v in daemon.reader.verdicts} == {0.9}
    assert reload(daemon) == ("reloaded", "recipe cell: threshold; camera free")
    shutil.copy(bank, bank.with_name("new"))
    bank.with_name("new").replace(bank)
    assert reload(daemon) == ("reloaded", "recipe cell: bank file replaced")
    daemon.behave(Behaviour(digests={f"cell#{number}": "f" * 64 for number in range(9)}))  # another bank
    bank.write_bytes(b"another")
    name, detail = reload(daemon)
    assert name == "reload_refused"
    assert "it judges now: give the new bank a file name of its own, or restart the line" in detail
    daemon.behave(Behaviour())
    assert_all_accounted_for(daemon)


def test_a_shadow_of_the_file_goes_on_by_what_that_says_now(start_daemon, small_good, bank):
    daemon = start_daemon(text_of(bank, small_good)).ready()
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.9, "steady": 0.9, "top": 0.9})
    prepare(daemon, "a")
    assert isinstance(ask(daemon, RecipeAction.ACTIVATE, "a"), RecipeAck)
    begin_shadow(daemon, "file")
    daemon.reader.events.clear()
    assert reload(daemon, text_of(bank, small_good, recipe="threshold = 0.8"))[0] == "reloaded"
    daemon.until(lambda: daemon.reader.event("shadow_ended"))
    assert daemon.reader.event("shadow_ended").detail.startswith("file: file@1 takes its place; ")
    assert ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").shadow.recipe == "file@1"
    give_time(daemon)
    daemon.until(lambda: daemon.reader.event("shadow_started"))
    daemon.until(lambda: daemon.reader.shadows and daemon.reader.shadows[-1].threshold == 0.8)
    prepare(daemon, "file")
    assert ask(daemon, RecipeAction.PROMOTE, "file").version == 1
    assert shadowed(daemon.folder / "state/audit.jsonl") is None


def test_a_refused_reload_says_that_the_recipes_of_the_file_had_to_leave(start_daemon, small_good, bank):
    two = "[scoring]\nmax_recipes = 2\n"
    daemon = start_daemon(text_of(bank, small_good, extra=two)).ready()
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.9, "steady": 0.9, "top": 0.9})
    prepare(daemon, "a")
    assert isinstance(ask(daemon, RecipeAction.ACTIVATE, "a"), RecipeAck)
    audit = daemon.folder / "state/audit.jsonl"
    audit.rename(audit.with_name("moved"))
    audit.mkdir()
    left = "nothing is changed, but file had to leave and is no longer prepared (prepare file again): not_rec"
    name, detail = reload(daemon, text_of(bank, small_good, recipe="threshold = 0.8", extra=two))
    assert (name, detail[: len(left)]) == ("reload_refused", left)
    assert ask(daemon, RecipeAction.ACTIVATE, "file").reason == "not_prepared"
    assert reload(daemon)[1].startswith("nothing is changed: not_recorded")
    audit.rmdir()
    audit.with_name("moved").rename(audit)
    prepare(daemon, "file")
    assert ask(daemon, RecipeAction.ACTIVATE, "file").version == 0  # of the file as it was


def test_a_storm_of_signals_and_one_at_a_bad_moment(start_daemon, small_good, bank):
    starts = Behaviour(load_seconds=1.0)
    daemon = start_daemon(text_of(bank, small_good), behaviour=starts)
    daemon.until(lambda: daemon.reader.event("started"), 20)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.reader.event("reload_ignored"), 5)
    daemon.behave(Behaviour())
    daemon.ready()
    for number in range(50):
        text = text_of(bank, small_good, free_fps=20 + number % 2, recipe=f"threshold = 0.9{number}")
        daemon.file.write_text(text)  # it may be read while only half of it is there
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    daemon.reader.read(0)
    daemon.until(lambda: daemon.reader.verdicts[-1].threshold == 0.949, 15)  # by the last one
    assert len(told(daemon)) <= 52
    daemon.process.send_signal(signal.SIGHUP)  # it may come too late
    assert_all_accounted_for(daemon)
    assert_untouched(daemon, "steady")


def test_a_recipe_that_a_reload_takes_away_and_one_brings_back_is_recorded(start_daemon, small_good, bank):
    both = text_of(bank, small_good, extra=f'[[recipes]]\nname = "spare"\nbank = "{bank}"\n')
    daemon = start_daemon(both).ready()
    for text in (text_of(bank, small_good), both):
        assert reload(daemon, text)[0] == "reloaded"
    assert daemon.stop() == 0
    records = [each for each in read(daemon.folder / "state/audit.jsonl") if each.object == "spare"]
    assert [record.action for record in records] == [AuditAction.THRESHOLD] * 3
    assert records[1].new == "not in the configuration file"
    assert (records[1].old, records[2].old) == (records[0].new, records[1].new)


def test_a_recipe_that_moved_from_the_file_into_the_store_is_meant_by_its_name(
    start_daemon, small_good, bank
):
    spare = f'[[recipes]]\nname = "spare"\nbank = "{bank}"\nthreshold = 0.8\n'
    daemon = start_daemon(text_of(bank, small_good, extra=spare)).ready()
    add_recipe(daemon.folder / "state", "spare", 1, dict.fromkeys(("free", "steady", "top"), 0.1))
    assert reload(daemon, text_of(bank, small_good))[0] == "reloaded"
    prepare(daemon, "spare")
    plant = Plant(daemon)
    assert plant.trigger(1, recipe="spare").recipe_version == 1
    plant.close()


def test_a_line_that_is_killed_during_a_reload_starts_by_the_file(start_daemon, small_good, bank):
    daemon = start_daemon(text_of(bank, small_good)).ready()
    daemon.behave(Behaviour(load_seconds=30))
    daemon.file.write_text(text_of(bank, small_good, free_fps=21, recipe="threshold = 0.8"))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: "scoring-b" in daemon.children(), 10)
    daemon.process.kill()
    daemon.process.wait()
    again = start_daemon(daemon.file.read_text(), {"STATE_DIRECTORY": str(daemon.folder / "state")}).ready()
    again.until(lambda: of_camera(again, "steady") and again.reader.verdicts[-1].threshold == 0.8, 10)
    assert reload(again) == ("reloaded", "nothing changed")
