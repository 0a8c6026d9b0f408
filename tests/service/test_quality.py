"""Frames unlike their bank's good images, through the real daemon: undecidable by cause, told and kept."""

from __future__ import annotations

import os
import signal

import msgspec
from support.changeovers import add_recipe, ask, prepare
from support.daemon import camera_table, settings

from inspectd.client import RecipeAction, RecipeRefusalReason, ask_status
from inspectd.evidence.record import read_record
from inspectd.records import MeasureLimit
from inspectd.scoring.stub import Behaviour
from inspectd.wire import Evaluation, Reason


def test_dark_frames_are_undecidable_and_everybody_is_told(start_daemon, small_mixed):
    cameras = camera_table("cam", small_mixed, fps=40, loop=True)
    evidence = "[evidence]\nundecidables = true\nmax_per_second = 100\n"
    limit = MeasureLimit(255.0, low=254.0)  # no cell is as bright
    daemon = start_daemon(
        settings("stub.bank", cameras, extra=evidence), behaviour=Behaviour(mean_grey=limit)
    )
    daemon.ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 100)
    seen = {(verdict.evaluation, verdict.reason, verdict.score) for verdict in daemon.reader.verdicts}
    assert seen == {(Evaluation.UNDECIDABLE, Reason.QUALITY_EXPOSURE, None)}
    daemon.until(lambda: any(each.event == "frame_unlike_bank" for each in daemon.reader.events))
    daemon.until(lambda: any(each.event == "drift" for each in daemon.reader.events))
    status = ask_status(f"ipc://{daemon.runtime_dir}/sync.sock")
    found = {(each.condition, each.camera) for each in status.conditions}
    assert {("quality_exposure", "cam"), ("drift_light", "cam")} <= found
    assert status.cameras[0].drift["light"] > 1
    kept = next((daemon.folder / "state/evidence").rglob("evidence.json")).parent
    record = read_record(kept)
    assert "mean_grey is" in record.detail
    assert record.measures["mean_grey"] < 254


def test_a_change_that_is_not_recorded_while_scoring_starts_anew_forgets_no_drift(start_daemon, small_mixed):
    dark = Behaviour(mean_grey=MeasureLimit(255.0, low=254.0))
    cameras = camera_table("cam", small_mixed, fps=40, loop=True)
    daemon = start_daemon(settings("stub.bank", cameras), behaviour=dark).ready()
    add_recipe(daemon.folder / "state", "a", 1, {"cam": 0.5})
    prepare(daemon, "a")
    daemon.until(lambda: daemon.reader.event("drift"))
    daemon.until(lambda: len(scoring_processes(daemon)) == 1)
    daemon.behave(msgspec.structs.replace(dark, load_seconds=60))
    os.kill(scoring_processes(daemon)[0], signal.SIGKILL)
    daemon.until(lambda: daemon.reader.event("scoring_lost"))
    audit = daemon.folder / "state/audit.jsonl"
    audit.unlink(missing_ok=True)
    audit.mkdir()
    assert ask(daemon, RecipeAction.ACTIVATE, "a").reason is RecipeRefusalReason.NOT_RECORDED
    daemon.reader.verdicts.clear()
    daemon.until(lambda: len(daemon.reader.verdicts) > 20)
    assert ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").cameras[0].drift["light"] > 1
    assert daemon.reader.event("drift_over") is None


def scoring_processes(daemon) -> list[int]:
    return [pid for name, pid in daemon.children().items() if name.startswith("scoring")]
