"""A GigE Vision camera whose input starts its frames, on a whole line."""

import pytest
from support.daemon import settings
from support.gige_camera import ChunkCamera, GigeCamera
from support.lone_network import lone_network

from inspectd.wire import Accepted, Evaluation, Reason, Refusal

pytestmark = pytest.mark.system

CAMERA = """
[[cameras]]
kind = "genicam"
name = "side"
recipe = "cell"
device = "ip:127.0.0.1"
mode = "triggered"
trigger_source = "Software"
latency_ms = 10
"""
TRIGGERS = "[triggers]\nwindow_ms = 400\nmax_delay_ms = 2000\n"
PARTS = 60


@pytest.fixture
def camera():
    with lone_network(), GigeCamera() as camera:
        camera.tell("most", 400)
        yield camera


def show(camera, line_plant, number):
    """A part that comes by: the plant tells the line, 20 ms later the camera's photo eye sees it."""
    assert isinstance(line_plant.trigger(number), Accepted), line_plant.answers[str(number)]
    camera.tell("trigger", 1, 50)
    return line_plant.part(number)


def test_every_part_has_its_own_frame_and_none_passes_while_the_camera_is_away(
    start_daemon, plant, stub_bank, camera
):
    daemon = start_daemon(settings(stub_bank, CAMERA, extra=TRIGGERS)).ready()
    line_plant = plant(daemon)
    judged = [show(camera, line_plant, number) for number in range(PARTS // 2)]
    camera.switch_off()
    away = line_plant.trigger("away")
    if not isinstance(away, Refusal):
        assert line_plant.part("away").evaluation is Evaluation.UNDECIDABLE
    daemon.until(lambda: "down" in daemon.phases(), 2)
    assert isinstance(line_plant.trigger("still-away"), Refusal)
    camera.switch_on()
    daemon.until(lambda: "up" in daemon.phases(), 2)
    camera.tell("most", 400)
    camera.tell("gain", 1)  # it draws the pictures of before again, which would be frozen
    judged += [show(camera, line_plant, number) for number in range(PARTS // 2, PARTS)]
    # It does not say its time: nothing shows that its first frame after each start is of that part, nor one
    # that comes quicker than all before it, as it may on a busy machine.
    undated = {number for number, part in enumerate(judged) if part.evaluation is not Evaluation.PASS}
    assert {0, PARTS // 2} <= undated
    assert len(undated) <= 2 + 2
    assert {(judged[part].evaluation, judged[part].reason) for part in undated} == {
        (Evaluation.UNDECIDABLE, Reason.MISSED_TRIGGER)
    }
    views = [view for view in daemon.reader.verdicts if view.evaluation is Evaluation.PASS]
    passed = [part for part in range(PARTS) if part not in undated]
    assert [view.trigger_id for view in views] == [str(part) for part in passed]
    for first in (0, PARTS // 2):  # from each start on it counts its frames anew
        numbers = {
            part: view.device.frame_id
            for part, view in zip(passed, views, strict=True)
            if first <= part < first + PARTS // 2
        }
        assert len({(number - part) % 65_535 for part, number in numbers.items()}) == 1


def test_verdicts_say_what_the_camera_said_and_only_frames_of_the_set_exposure_are_judged(
    start_daemon, stub_bank
):
    table = """
[[cameras]]
kind = "genicam"
name = "top"
recipe = "cell"
device = "ip:127.0.0.1"
exposure_us = 4000
chunks = true
ask_time = false
"""
    with lone_network(), ChunkCamera():
        daemon = start_daemon(settings(stub_bank, table)).ready()
        daemon.until(lambda: len(daemon.reader.verdicts) > 30)
        judged = [one for one in daemon.reader.verdicts if one.evaluation is Evaluation.PASS]
        assert len(judged) > 20
        assert {one.device.exposure_us for one in judged} == {4000.0}
        assert all(one.device.time_ns > 0 for one in judged)
