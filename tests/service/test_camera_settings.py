"""Recipes with different exposures change while the line runs: no frame of another one is judged."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.changeovers import add_recipe, ask, prepare
from support.daemon import Daemon, camera_table, settings

from inspectd.client import (
    Accepted,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    ask_status,
)
from inspectd.ipc.child import take_part
from inspectd.scoring.stub import Behaviour

ACTIVATE, PREPARE = RecipeAction.ACTIVATE, RecipeAction.PREPARE
GREY = {"cell": 0.2, "dark": 0.1, "bright": 0.4, "as-dark": 0.1}
"""Brightness of a frame under each recipe; the stub's score is just that."""


@pytest.fixture
def grey_folder(tmp_path) -> Path:
    folder = tmp_path / "grey"
    folder.mkdir()
    for number in range(40):
        picture = np.full((48, 64, 3), 51, np.uint8)
        picture[:, number] = 71  # no two are the same
        assert cv2.imwrite(str(folder / f"{number:02}.png"), picture)
    return folder


def line(start, folder: Path, **plain_camera: object) -> Daemon:
    """A triggered and a free-running camera that show a exposure after 60 ms, and one without settings."""
    more = {"slots": 32, "exposure_us": 10_000.0, "settle_ms": 60.0}
    cameras = camera_table("top", folder, fps=40, mode='"triggered"', **more)
    cameras += camera_table("free", folder, fps=40, **more)
    cameras += camera_table("plain", folder, fps=20, slots=32, **plain_camera)
    extra = "[triggers]\nwindow_ms = 500\nmax_delay_ms = 2000\n"
    text = settings("stub.bank", cameras, deadline_ms=3000, extra=extra)
    return start(text, behaviour=Behaviour()).ready()


def recipe(daemon: Daemon, name: str, number: int, exposure_us: float, **more: object) -> None:
    exposures_us = {"top": float(exposure_us), "free": float(exposure_us), **more}
    thresholds = {"top": 0.9, "free": 0.9, "plain": 0.9}
    add_recipe(daemon.folder / "state", name, number, thresholds, exposures_us=exposures_us)


def assert_judged_frames_are_right(daemon: Daemon) -> dict[tuple[str, str], int]:
    """Counts of verdicts, by camera and reason; all that judge are of frames of the right brightness."""
    counts: dict[tuple[str, str], int] = {}
    for verdict in daemon.reader.verdicts:
        counts[verdict.camera, verdict.reason] = counts.get((verdict.camera, verdict.reason), 0) + 1
        if verdict.evaluation != "undecidable":
            expected = GREY["cell"] if verdict.camera == "plain" else GREY[verdict.recipe]
            assert verdict.score == pytest.approx(expected, abs=0.01), verdict
        else:
            assert verdict.reason in {"camera_settings", "missed_trigger", "shutdown"}, verdict
    return counts


def test_under_load_nothing_is_judged_by_a_frame_of_the_other_exposure(start_daemon, plant, grey_folder):
    daemon = line(start_daemon, grey_folder)
    for number, (name, exposure_us) in enumerate(
        {"dark": 5000, "bright": 20_000, "as-dark": 5000}.items(), 1
    ):
        recipe(daemon, name, number, exposure_us)
        prepare(daemon, name)
    line_plant, sent = plant(daemon), 0
    for round_number in range(6):
        assert isinstance(ask(daemon, ACTIVATE, ("dark", "bright")[round_number % 2]), RecipeAck)
        for _ in range(14):  # 30 ms apart: some before the new exposure shows, some after
            assert isinstance(line_plant.trigger(sent), Accepted)
            sent += 1
            time.sleep(0.03)
    daemon.until(lambda: len(daemon.reader.parts) == sent)
    counts = assert_judged_frames_are_right(daemon)
    for camera in ("top", "free"):
        assert counts[camera, "camera_settings"] >= 6
        assert counts[camera, "within_threshold"] >= 30
    assert ("plain", "camera_settings") not in counts
    passed = {part.trigger_id for part in daemon.reader.parts if part.evaluation == "pass"}
    assert passed == {v.trigger_id for v in daemon.reader.verdicts if v.trigger_id and v.evaluation == "pass"}
    # Between recipes of one exposure nothing is undecidable.
    assert isinstance(ask(daemon, ACTIVATE, "dark"), RecipeAck)
    daemon.until(lambda: [v for v in daemon.reader.verdicts if v.camera == "free"][-1].score is not None)
    time.sleep(0.3)
    daemon.reader.read(0)
    daemon.reader.verdicts.clear()
    for name in ("as-dark", "dark", "as-dark"):
        assert isinstance(ask(daemon, ACTIVATE, name), RecipeAck)
        time.sleep(0.2)
    daemon.reader.read(0)
    seen = [v for v in daemon.reader.verdicts if v.camera == "free"]
    assert {v.recipe for v in seen} == {"dark", "as-dark"}
    assert {v.reason for v in seen} == {"within_threshold"}
    assert daemon.stop() == 0
    counted = daemon.reader.event("stopped").counts
    assert counted.captured == counted.verdicts + counted.drops


def test_a_camera_that_cannot_be_set_is_said_and_judges_nothing_until_it_can(start_daemon, grey_folder):
    daemon = line(start_daemon, grey_folder)
    recipe(daemon, "dark", 1, 5000)
    recipe(daemon, "bright", 2, 100_000)  # its frames are 25 ms apart
    for name in ("dark", "bright"):
        prepare(daemon, name)
    assert isinstance(ask(daemon, ACTIVATE, "bright"), RecipeAck)
    daemon.until(lambda: daemon.reader.event("camera_settings_failed"))
    told = daemon.reader.event("camera_settings_failed")
    assert (told.severity, told.camera in {"top", "free"}) == ("alarm", True)
    assert told.detail.startswith("exposure_us was set to 100000, and the camera says 25000")
    daemon.reader.heartbeats.clear()
    daemon.until(lambda: daemon.reader.heartbeats and daemon.reader.heartbeats[-1].health == "failure")
    conditions = {(c.condition, c.camera) for c in daemon.reader.heartbeats[-1].conditions}
    assert ("camera_settings_failed", "free") in conditions
    # A capture process that is started anew begins with what is in force, and cannot be set either.
    os.kill(daemon.children()["free"], signal.SIGKILL)
    daemon.until(lambda: daemon.reader.event("camera_down"))
    heard = len(daemon.reader.verdicts)
    daemon.until(lambda: sum(v.camera == "free" for v in daemon.reader.verdicts[heard:]) > 20)
    reasons = {v.reason for v in daemon.reader.verdicts if v.recipe == "bright" and v.camera == "free"}
    assert reasons == {"camera_settings"}
    assert isinstance(ask(daemon, ACTIVATE, "dark"), RecipeAck)
    daemon.until(lambda: daemon.reader.verdicts[-1].camera == "free" and daemon.reader.verdicts[-1].score)
    os.kill(daemon.children()["free"], signal.SIGKILL)
    daemon.reader.verdicts.clear()
    daemon.until(lambda: any(v.camera == "free" and v.evaluation == "pass" for v in daemon.reader.verdicts))
    assert_judged_frames_are_right(daemon)
    daemon.reader.heartbeats.clear()
    daemon.until(lambda: daemon.reader.heartbeats)
    assert all(c.condition != "camera_settings_failed" for c in daemon.reader.heartbeats[-1].conditions)
    assert daemon.stop() == 0


def test_a_recipe_that_asks_a_camera_for_what_the_line_does_not_set_is_refused(start_daemon, grey_folder):
    daemon = line(start_daemon, grey_folder)
    recipe(daemon, "odd", 1, 5000, plain=5000.0)
    answer = ask(daemon, PREPARE, "odd")
    assert isinstance(answer, RecipeRefusal)
    assert answer.reason is RecipeRefusalReason.DAMAGED
    assert "recipe odd@1 does not fit the line: cameras.plain.exposure_us: got 5000, but the" in answer.detail
    assert daemon.stop() == 0


def test_a_shadow_compares_no_frame_of_another_exposure(start_daemon, grey_folder):
    daemon = line(start_daemon, grey_folder)
    recipe(daemon, "bright", 1, 20_000)
    assert isinstance(ask(daemon, RecipeAction.SHADOW, "bright"), RecipeAck)
    daemon.until(lambda: "shadow" in daemon.children())
    take_part(daemon.children()["shadow"])  # else it gets no processor beside other tests
    daemon.until(lambda: daemon.reader.event("shadow_started"))

    def frames() -> dict[str, int]:
        shadow = ask_status(f"ipc://{daemon.runtime_dir}/sync.sock").shadow
        assert shadow is not None
        return shadow.frames

    daemon.until(lambda: frames().get("camera_settings", 0) > 20 and frames().get("scored"))
    assert daemon.stop() == 0
