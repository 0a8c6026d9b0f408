"""A shadow scores what was judged, and has no say in it, whatever becomes of it."""

from __future__ import annotations

import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.changeovers import add_recipe, ask, begin_shadow, give_time, prepare, standing_back
from support.daemon import Daemon, camera_table, settings

from inspectd.client import (
    LineStatus,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeState,
    ShadowResult,
    ask_status,
)
from inspectd.recipes.audit import AuditAction, AuditLog, read, shadowed
from inspectd.scoring.stub import Behaviour

SHADOW, UNSHADOW, PROMOTE = RecipeAction.SHADOW, RecipeAction.UNSHADOW, RecipeAction.PROMOTE
THRESHOLD = 0.6
"""Of the shadow: about half of the good images are brighter."""


def free_line(start, images, *, state=None) -> Daemon:
    cameras = camera_table("free", images, fps=40, slots=32)
    environment = {} if state is None else {"STATE_DIRECTORY": str(state)}
    return start(settings("stub.bank", cameras, deadline_ms=1000), environment).ready()


def status(daemon: Daemon) -> LineStatus:
    return ask_status(f"ipc://{daemon.runtime_dir}/sync.sock")


def test_no_shadow_ends_while_another_one_is_being_recorded(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    for number, name in enumerate("ab", 1):
        add_recipe(state, name, number, {"free": THRESHOLD})
    begin_shadow(daemon, "a")
    with ThreadPoolExecutor(1) as asking:
        with AuditLog(state / "audit.jsonl"):  # somebody writes a record, and the line waits for it
            answer = asking.submit(ask, daemon, SHADOW, "b")
            with pytest.raises(TimeoutError):
                answer.result(0.2)
            assert ask(daemon, UNSHADOW, "a").reason is RecipeRefusalReason.BUSY
        assert answer.result(10).state is RecipeState.LOADING
    assert shadowed(state / "audit.jsonl").id == "b"


def test_a_shadow_that_is_ended_twice_at_once_has_one_end_by_the_audit_file(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    add_recipe(state, "a", 1, {"free": THRESHOLD})
    begin_shadow(daemon, "a")
    with ThreadPoolExecutor(1) as asking:
        with AuditLog(state / "audit.jsonl"):  # somebody writes a record, and the line waits for it
            answer = asking.submit(ask, daemon, UNSHADOW, "a")
            with pytest.raises(TimeoutError):
                answer.result(0.2)
            assert ask(daemon, UNSHADOW, "a").reason is RecipeRefusalReason.BUSY
        assert answer.result(10).state is RecipeState.UNLOADED
    assert ask(daemon, UNSHADOW, "a").reason is RecipeRefusalReason.NO_SHADOW
    told = [each.new is None for each in read(state / "audit.jsonl") if each.action is AuditAction.SHADOW]
    assert told == [False, True]
    begin_shadow(daemon, "a")  # one may begin again


def test_a_shadow_compares_and_is_promoted(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    add_recipe(state, "b", 2, {"free": THRESHOLD})
    for action in (UNSHADOW, PROMOTE):
        assert isinstance(ask(daemon, action, "b"), RecipeRefusal)
    begin_shadow(daemon, "b")
    daemon.until(lambda: len(daemon.reader.shadows) > 60)
    prepare(daemon, "b")
    answer = ask(daemon, PROMOTE, 2, why="finds more")
    assert isinstance(answer, RecipeAck)
    assert (answer.state, answer.before) == (RecipeState.ACTIVE, "file")
    daemon.until(lambda: daemon.reader.event("shadow_ended"))
    assert "it is in force now; " in daemon.reader.event("shadow_ended").detail
    assert status(daemon).shadow is None
    daemon.until(lambda: daemon.reader.verdicts[-1].recipe == "b")
    assert ask(daemon, RecipeAction.ROLLBACK, "file").state is RecipeState.ACTIVE
    assert daemon.stop() == 0
    verdicts = {(v.epoch, v.seq): v for v in daemon.reader.verdicts}
    for shadow in daemon.reader.shadows:
        verdict = verdicts[shadow.epoch, shadow.seq]
        assert (shadow.recipe, shadow.recipe_version, shadow.threshold) == ("b", 1, THRESHOLD)
        assert shadow.evaluation == ("pass" if shadow.score <= THRESHOLD else "fail")
        assert (shadow.verdict, shadow.verdict_score) == (verdict.evaluation, verdict.score)
        assert shadow.score == verdict.score  # the stub knows but one way to score
    assert {s.evaluation for s in daemon.reader.shadows} == {"pass", "fail"}
    assert {v.evaluation for v in daemon.reader.verdicts if v.recipe == "cell"} == {"pass"}
    assert {v.recipe for v in daemon.reader.verdicts} == {"cell", "b"}
    counts = daemon.reader.event("stopped").counts
    assert (counts.drops, counts.captured) == (0, counts.verdicts)
    actions = [(r.action, r.object, r.why) for r in read(state / "audit.jsonl") if r.action != "threshold"]
    assert actions == [("shadow", "b", None), ("promote", "b", "finds more"), ("rollback", "file", None)]


def test_status_tells_what_would_be_judged_otherwise(start_daemon, small_good):
    cameras = camera_table("free", small_good, fps=40, slots=32)
    text = settings("stub.bank", cameras, deadline_ms=1000)
    daemon = start_daemon(text).ready()
    state = daemon.folder / "state"
    add_recipe(state, "same", 1, {"free": 1.0})
    add_recipe(state, "other", 2, {"free": THRESHOLD})
    begin_shadow(daemon, "same")
    daemon.until(lambda: len(daemon.reader.shadows) > 40)
    same = status(daemon).shadow
    assert (same.recipe, same.against, same.state) == ("same@1", "file", "running")
    assert (same.to_fail, same.to_pass, same.undecidable) == (0, 0, 0)
    assert same.shares == same.verdict_shares
    assert set(same.shares) == set(same.behind_ms) == {"p50", "p95", "p99"}
    daemon.reader.shadows.clear()
    begin_shadow(daemon, "other")
    daemon.until(lambda: len(daemon.reader.shadows) > 40)
    assert "same@1: other@1 takes its place; " in daemon.reader.event("shadow_ended").detail
    other = status(daemon).shadow
    daemon.reader.read(0)
    flips = sum(s.verdict == "pass" and s.evaluation == "fail" for s in daemon.reader.shadows)
    assert 0 < other.to_fail <= flips <= other.to_fail + 10  # more came since
    assert ask(daemon, UNSHADOW, "other").state is RecipeState.UNLOADED
    assert status(daemon).shadow is None
    daemon.until(lambda: "shadow" not in daemon.children())


def test_frames_that_a_shadow_would_not_judge_are_part_of_its_sum(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    add_recipe(daemon.folder / "state", "b", 2, {"free": THRESHOLD})
    daemon.behave(Behaviour(image_sizes=((1, 1),)))  # those of banks that are loaded from now on
    begin_shadow(daemon, "b")
    daemon.until(lambda: status(daemon).shadow.unjudged > 10)
    assert isinstance(ask(daemon, UNSHADOW, "b"), RecipeAck)
    daemon.until(lambda: daemon.reader.event("shadow_ended"))
    assert re.search(r"passed 0 fails and not judged [1-9]", daemon.reader.event("shadow_ended").detail)


def test_whatever_becomes_of_it_parts_are_judged(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    state = daemon.folder / "state"
    add_recipe(state, "b", 2, {"free": THRESHOLD})
    add_recipe(state, "odd", 3, {"free": THRESHOLD}, of_key="another")
    for recipe in ("none", "../b", "b@1", 9):
        assert isinstance(ask(daemon, SHADOW, recipe), RecipeRefusal)
    ask(daemon, SHADOW, "odd")
    give_time(daemon)
    daemon.until(lambda: daemon.reader.event("shadow_failed"))
    assert "its bank is another than the recipe names" in daemon.reader.event("shadow_failed").detail
    assert daemon.reader.event("shadow_failed").detail.endswith("`inspectd recipe unshadow` ends it")
    assert [c.condition for c in status(daemon).conditions] == ["shadow_down"]
    begin_shadow(daemon, "b")
    assert status(daemon).conditions == []
    killed = daemon.children()["shadow"]
    os.kill(killed, signal.SIGKILL)
    daemon.until(lambda: daemon.reader.event("shadow_lost"))
    daemon.until(lambda: daemon.children().get("shadow", killed) != killed)
    give_time(daemon)
    daemon.reader.shadows.clear()
    daemon.until(lambda: daemon.reader.shadows)
    stopped = daemon.children()["shadow"]
    os.kill(stopped, signal.SIGSTOP)
    asked = time.monotonic()
    daemon.until(lambda: time.monotonic() - asked > 3)  # longer than slots are held
    os.kill(stopped, signal.SIGCONT)
    daemon.until(lambda: status(daemon).shadow.frames.get(ShadowResult.GIVEN_BACK))
    frames = status(daemon).shadow.frames
    assert {ShadowResult.BUSY, ShadowResult.SCORED} < set(frames)
    assert daemon.stop() == 0
    assert {v.evaluation for v in daemon.reader.verdicts} == {"pass"}
    counts = daemon.reader.event("stopped").counts
    assert (counts.drops, counts.captured) == (0, counts.verdicts)
    assert not daemon.reader.event("scoring_lost")


def test_it_goes_on_after_a_restart(start_daemon, small_good, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    add_recipe(state, "b", 2, {"free": THRESHOLD})
    daemon = free_line(start_daemon, small_good, state=state)
    begin_shadow(daemon, "b")
    daemon.process.kill()
    daemon.process.wait()
    daemon = free_line(start_daemon, small_good, state=state)
    give_time(daemon)
    daemon.until(lambda: daemon.reader.shadows)
    assert daemon.reader.event("shadow_started").detail.startswith("b@1 (resumed): ")
    prepare(daemon, "b")
    assert isinstance(ask(daemon, PROMOTE, "b"), RecipeAck)
    daemon.process.kill()
    daemon.process.wait()
    daemon = free_line(start_daemon, small_good, state=state)
    assert status(daemon).in_force == "b@1"
    assert status(daemon).shadow is None
    assert daemon.stop() == 0


def test_it_comes_behind_all_else(start_daemon, small_good):
    daemon = free_line(start_daemon, small_good)
    add_recipe(daemon.folder / "state", "b", 2, {"free": THRESHOLD})
    ask(daemon, SHADOW, "b")
    daemon.until(lambda: standing_back(daemon))
    assert os.sched_getscheduler(daemon.children()["shadow"]) == os.SCHED_IDLE
    give_time(daemon)
    daemon.until(lambda: daemon.reader.event("shadow_started"))
    daemon.behave(Behaviour(latency_ms=200))  # parts wait now, which leaves no time for the shadow
    daemon.until(lambda: status(daemon).waiting)
    daemon.reader.shadows.clear()
    before = status(daemon).shadow.frames.get(ShadowResult.BUSY, 0)
    daemon.until(lambda: status(daemon).shadow.frames.get(ShadowResult.BUSY, 0) > before + 3)
    assert daemon.stop() == 0
