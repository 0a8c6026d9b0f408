"""Banks that are damaged, or are others than they were, when a scoring process starts anew."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.changeovers import add_recipe, ask, prepare
from support.daemon import Daemon, camera_table, settings
from support.disks import needs_root
from support.held_files import held_files

from inspectd.client import (
    RecipeAction,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
    ask_recipe,
    ask_status,
)
from inspectd.scoring.stub import Behaviour
from inspectd.wire import HealthStatus


def line(start, small_good: Path, extra: str = "", parts: str = "") -> Daemon:
    cameras = camera_table("free", small_good, fps=30, slots=32)
    return start(settings("stub.bank", cameras, deadline_ms=3000, extra=extra + parts)).ready()


def kill_scoring(daemon: Daemon) -> None:
    """The one that scores, once one of before has ended."""

    def scoring() -> list[int]:
        return [pid for name, pid in daemon.children().items() if name.startswith("scoring")]

    daemon.until(lambda: len(scoring()) == 1)
    os.kill(scoring()[0], signal.SIGKILL)


def judges_again(daemon: Daemon) -> None:
    """Parts are judged by the process that came after the one that was killed."""
    daemon.until(lambda: sum(event.event == "scoring_ready" for event in daemon.reader.events) == 2)
    daemon.reader.verdicts.clear()
    daemon.until(lambda: any(verdict.evaluation == "pass" for verdict in daemon.reader.verdicts))


@pytest.mark.parametrize(
    "behaviour",
    [Behaviour(digests={"a@1": "f" * 64}), Behaviour(damaged=("a@1",))],
    ids=["another", "damaged"],
)
@pytest.mark.parametrize("is_prepared", [True, False])
def test_a_bank_that_judges_nothing_is_left_out(start_daemon, small_good, behaviour, is_prepared):
    daemon = line(start_daemon, small_good)
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.5})
    prepare(daemon, "a")
    if not is_prepared:
        ask(daemon, RecipeAction.UNPREPARE, "a")
    daemon.behave(behaviour)
    kill_scoring(daemon)
    judges_again(daemon)
    status = ask_status(f"ipc://{daemon.runtime_dir}/sync.sock")
    assert list(status.prepared) == []
    told = [event.detail for event in daemon.reader.events if event.event == "recipe_failed"]
    assert any("a@1" in detail for detail in told) is is_prepared
    daemon.behave(Behaviour())
    prepare(daemon, "a")
    assert ask(daemon, RecipeAction.ACTIVATE, "a").state is RecipeState.ACTIVE


def test_what_is_put_in_force_while_a_process_leaves_it_out_judges_once_it_can(start_daemon, small_good):
    daemon = line(start_daemon, small_good)
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.5})
    prepare(daemon, "a")
    daemon.behave(Behaviour(load_seconds=60, damaged=("a@1",)))
    kill_scoring(daemon)
    daemon.until(lambda: daemon.reader.event("scoring_lost"))
    daemon.until(lambda: any(name.startswith("scoring") for name in daemon.children()))  # and leaves it out
    assert ask(daemon, RecipeAction.ACTIVATE, "a").state is RecipeState.ACTIVE
    daemon.reader.events.clear()
    daemon.behave(Behaviour(damaged=("a@1",)))
    daemon.until(lambda: daemon.reader.event("scoring_lost"))
    assert "it has not loaded what is in force: a@1" in daemon.reader.event("scoring_lost").detail
    daemon.behave(Behaviour())
    daemon.until(lambda: any(v.recipe == "a" and v.evaluation == "pass" for v in daemon.reader.verdicts))
    assert daemon.stop() == 0


@needs_root
def test_what_is_left_out_while_it_cannot_be_recorded_is_prepared_no_longer(start_daemon, small_good):
    daemon = line(start_daemon, small_good)
    state = daemon.folder / "state"
    add_recipe(state, "a", 1, {"free": 0.5})
    prepare(daemon, "a")
    control, request = (
        f"ipc://{daemon.runtime_dir}/control.sock",
        RecipeRequest("1", RecipeAction.ACTIVATE, "a"),
    )
    with held_files(state, lambda name: name == "audit.mark.new") as held:
        with ThreadPoolExecutor(1) as asking:
            answer = asking.submit(ask_recipe, control, request, timeout_seconds=20)
            assert held.is_held.wait(10)
            assert answer.result(20).reason is RecipeRefusalReason.NOT_RECORDED
        daemon.behave(Behaviour(damaged=("a@1",)))
        kill_scoring(daemon)
        judges_again(daemon)
        assert daemon.reader.event("recipe_failed") is None
        held.let_go()
    daemon.until(lambda: daemon.reader.event("recipe_failed"))
    assert list(ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").prepared) == []
    assert daemon.stop() == 0


def test_a_bank_that_nothing_names_since_a_reload_is_not_asked_for(start_daemon, small_good, tmp_path):
    old, new = tmp_path / "old.bank", tmp_path / "new.bank"
    for path in (old, new):
        path.write_bytes(path.name.encode())
    text = settings(old, camera_table("free", small_good, fps=30, slots=32), deadline_ms=3000)
    daemon = start_daemon(text).ready()
    daemon.file.write_text(text.replace(str(old), str(new)))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.reader.event("reloaded"))
    daemon.behave(Behaviour(damaged=("cell",), digests={"cell": "f" * 64}))
    kill_scoring(daemon)
    judges_again(daemon)


def test_a_process_whose_bank_is_refused_counts_as_none(start_daemon, small_good):
    daemon = line(start_daemon, small_good)
    daemon.behave(Behaviour(bank="another"))
    kill_scoring(daemon)
    daemon.until(lambda: daemon.reader.event("bank_changed"))
    daemon.reader.heartbeats.clear()
    daemon.until(lambda: daemon.reader.heartbeats)
    heartbeat = daemon.reader.heartbeats[-1]
    assert heartbeat.health == HealthStatus.FAILURE
    assert "scoring_down" in {condition.condition for condition in heartbeat.conditions}
    assert ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").recipes == []
    daemon.behave(Behaviour())
    kill_scoring(daemon)
    judges_again(daemon)


def test_a_bank_in_force_that_is_another_one_is_told_and_no_intact_recipe_is_called_damaged(
    start_daemon, small_good
):
    daemon = line(start_daemon, small_good)
    add_recipe(daemon.folder / "state", "a", 1, {"free": 0.5})
    daemon.behave(Behaviour(digests={"cell": "f" * 64}))
    kill_scoring(daemon)
    daemon.until(lambda: daemon.reader.event("bank_changed"))
    conditions = ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").conditions
    (told,) = [each.detail for each in conditions if each.condition == "scoring_down"]
    assert told.startswith("another bank: cell is ffffffffffff..., was ")
    ask(daemon, RecipeAction.PREPARE, "a")
    daemon.until(lambda: daemon.reader.event("recipe_failed"))
    assert "it judges now" in daemon.reader.event("recipe_failed").detail
