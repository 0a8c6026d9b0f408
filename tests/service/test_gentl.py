"""A line whose camera is reached by a GenTL producer that does to its process what it likes."""

import time

import pytest
from support.daemon import settings
from support.gentl_camera import GentlCamera

from inspectd.wire import Accepted, Evaluation

pytestmark = pytest.mark.system

TRIGGERS = "[triggers]\nwindow_ms = 400\nmax_delay_ms = 2000\n"


@pytest.fixture
def camera():
    with GentlCamera() as camera:
        yield camera


def table(camera):
    return f"""
[[cameras]]
kind = "genicam"
name = "side"
recipe = "cell"
backend = "gentl"
cti = "{camera.cti}"
device = "serial:{camera.serial}"
mode = "triggered"
trigger_source = "Line1"
latency_ms = 10
stall_timeout_ms = 1000
"""


def show(camera, line_plant, number, *before):
    """A part that comes by; what the producer does before its photo eye sees it."""
    assert isinstance(line_plant.trigger(number), Accepted), line_plant.answers[str(number)]
    time.sleep(0.02)
    for words in before:
        camera.tell(*words)
    if before != (("again", 0),):
        camera.tell("fire", number)
    return line_plant.part(number).evaluation


def ups(daemon):
    return sum(event.event == "camera_up" for event in daemon.reader.events)


def test_whatever_a_producer_does_to_its_process_no_part_passes_by_it_and_the_line_goes_on(
    start_daemon, plant, stub_bank, camera
):
    daemon = start_daemon(settings(stub_bank, table(camera), extra=TRIGGERS)).ready()
    line_plant = plant(daemon)
    assert show(camera, line_plant, 1) is Evaluation.PASS
    number = 1
    for what in (("again", 0), ("do", "segv"), ("do", "abort"), ("do", "exit"), ("do", "close")):
        count = ups(daemon)
        assert show(camera, line_plant, number + 1, what) is Evaluation.UNDECIDABLE, what
        daemon.until(lambda count=count: ups(daemon) > count, 20)
        number += 2
        if show(camera, line_plant, number) is not Evaluation.PASS:
            number += 1  # on a busy machine a camera may take too long to say its time for the first one
            assert show(camera, line_plant, number) is Evaluation.PASS, what
    for what in ("signals", "print", "move"):
        number += 1
        assert show(camera, line_plant, number, ("do", what)) is Evaluation.PASS, what
    assert daemon.stop() == 0


@pytest.mark.parametrize("function", ["GCInitLib", "IFOpenDevice", "DSStartAcquisition"])
def test_a_producer_that_hangs_while_it_is_opened_is_replaced_until_it_does_not(
    start_daemon, stub_bank, camera, function
):
    with camera.hanging(function):
        daemon = start_daemon(settings(stub_bank, table(camera), extra=TRIGGERS))
        daemon.until(lambda: daemon.reader.event("process_restarted"), 40)
    daemon.until(lambda: ups(daemon), 20)
    assert daemon.stop() == 0
