"""A live stream whose frames carry no time, left unread for a while."""

import time

import pytest
from support.mjpeg_camera import MjpegCamera

from inspectd.capture.driver import CameraError
from inspectd.capture.opencv import OpenCvDriver
from inspectd.config import OpenCvCamera, QualityGate


@pytest.fixture
def camera():
    camera = MjpegCamera()
    camera.switch_on()
    yield camera
    camera.switch_off()


def test_the_backlog_of_an_undated_stream_is_not_taken_for_now(camera):
    settings = OpenCvCamera(name="cam", recipe="r", source=camera.url, quality=QualityGate(max_age_ms=300))
    driver = OpenCvDriver(settings)
    driver.open(lambda: None)
    for _ in range(5):
        assert driver.read() is not None
    time.sleep(0.6)  # the camera goes on meanwhile, on its own clock
    with pytest.raises(CameraError, match=r"was not read for .* ms; connecting anew"):
        driver.read()
    driver.open(lambda: None)
    assert driver.read() is not None
    driver.close()
