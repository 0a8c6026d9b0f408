"""An empty belt through the real daemon: never a pass, and every frame accounted for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.daemon import camera_table, settings
from support.triggers import Plant

from inspectd.wire import Evaluation, Reason


def belt(seed: int, *, part: bool) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(80, 100, (48, 64, 3), np.uint8)
    if part:
        cv2.circle(pixels, (32, 24), 12, (170, 170, 170), -1)
    return pixels


@pytest.fixture
def camera(tmp_path):
    """A camera's table: every third frame shows a part; `more` are further settings."""
    for name, frames in (
        ("empty", [belt(seed, part=False) for seed in range(20)]),
        ("frames", [belt(100 + seed, part=seed % 3 == 0) for seed in range(30)]),
    ):
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(frames):
            assert cv2.imwrite(str(tmp_path / name / f"{number:03}.png"), pixels)
    presence = f'[cameras.presence]\nempty_folder = "{tmp_path / "empty"}"\n'
    return lambda **more: camera_table("cam", tmp_path / "frames", fps=25, **more) + presence


def test_of_a_free_camera_parts_are_inspected_and_the_rest_is_counted(start_daemon, stub_bank, camera):
    daemon = start_daemon(settings(stub_bank, camera(loop="false"))).ready()
    daemon.until(lambda: daemon.reader.event("camera_ended"))
    daemon.until(lambda: len(daemon.reader.verdicts) == 10)
    daemon.stop()
    counts = daemon.reader.event("stopped").counts
    assert (counts.captured, counts.verdicts, counts.drops) == (30, 10, 20)
    assert [v.source for v in daemon.reader.verdicts] == [f"{number:03}.png" for number in range(0, 30, 3)]
    assert {v.dropped_before for v in daemon.reader.verdicts} == {0}  # nothing was lost


def test_a_trigger_on_an_empty_belt_is_undecidable_and_gets_no_later_part(start_daemon, stub_bank, camera):
    extra = "[triggers]\nwindow_ms = 500\nmax_delay_ms = 2000\n"
    text = settings(stub_bank, camera(mode='"triggered"', loop="true", slots=32), extra=extra)
    daemon = start_daemon(text).ready()
    plant = Plant(daemon)
    for number in range(12):
        plant.trigger(number)
        part = plant.part(number)
        (view,) = plant.views(number)
        shows_part = int(view.source[:3]) % 3 == 0
        if shows_part:
            assert part.reason is not Reason.NO_PART
        else:
            assert (part.evaluation, part.reason) == (Evaluation.UNDECIDABLE, Reason.NO_PART)
    assert {part.reason for part in daemon.reader.parts} > {Reason.NO_PART}
    plant.close()
    daemon.stop()
    counts = daemon.reader.event("stopped").counts
    assert counts.captured == counts.verdicts + counts.drops
    assert counts.triggers == counts.parts == 12
