"""What a camera says of each frame, by a fake of another maker than the library that reads it."""

import math

import pytest
from support.capture_child import CaptureChild
from support.gige_camera import ChunkCamera, GigeCamera
from support.lone_network import lone_network

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.aravis_chunks import ChunkReader
from inspectd.capture.genicam.chunks import facts_of
from inspectd.capture.messages import ApplySettings
from inspectd.capture.registry import make_driver
from inspectd.records import CameraPhase, CameraSettings
from inspectd.wire import DeviceFacts

DARK, BRIGHT = CameraSettings(4000.0), CameraSettings(8000.0)


@pytest.fixture
def network():
    with lone_network():
        yield


@pytest.fixture
def camera(network):
    with ChunkCamera() as camera:
        yield camera


def test_a_value_that_is_no_number_or_was_not_sent_is_not_known():
    said = {"exposure_us": math.nan, "encoder_count": -81_920, "counter_count": 7, "line_status": 5}
    assert facts_of(said, 11, 12) == DeviceFacts(11, 12, None, None, -81_920, 7, 5)
    assert facts_of({"gain_db": 6.0}, 0, 0) == DeviceFacts(gain_db=6.0)
    assert facts_of({"frame_id": 70_000}, 11, 0).frame_id == 70_000  # its own count, not that of the transfer


@pytest.mark.system
def test_exposure_alternating_with_every_frame_is_known_of_each_without_any_waiting(camera):
    """Nobody says how long this camera takes to show what it is set to."""
    own = camera.settings(exposure_us=4000.0, chunks=True)
    with CaptureChild(own, settings=DARK) as child:
        child.until_phase(CameraPhase.UP)
        for number in range(40):
            child.until(lambda count=number: len(child.frames()) > count)
            child.channel.send(ApplySettings((BRIGHT, DARK)[number % 2]))
        frames = child.frames()
        assert child.stop() == 0
    certain = [frame for frame in frames if frame.camera_settings is not None]
    assert {frame.camera_settings for frame in certain} == {DARK, BRIGHT}
    assert len(certain) >= 38  # the first may have been taken before the camera was set
    assert all(frame.device.exposure_us == frame.camera_settings.exposure_us for frame in certain)
    assert [frame.device.frame_id for frame in frames] == sorted({frame.device.frame_id for frame in frames})


@pytest.mark.system
def test_chunks_are_switched_off_again_and_what_is_not_sent_is_not_read(camera):
    driver = make_driver(camera.settings(chunks=False))
    driver.open(lambda: None)
    opened = driver._open
    opened.stream._chunks.close()
    opened.stream._chunks = ChunkReader(opened.camera, ("frame_id", "exposure_us"))
    said = driver.read().device
    driver.close()
    assert said == DeviceFacts(frame_id=said.frame_id, time_ns=said.time_ns)


@pytest.mark.system
def test_what_a_frame_has_to_say_and_cannot_is_refused(camera):
    driver = make_driver(camera.settings(chunks=True, gain_db=3.0))
    with pytest.raises(CameraError, match="chunks is true, but no chunk Gain can be read; leave chunks out"):
        driver.open(lambda: None)
    driver.close()


@pytest.mark.system
def test_a_camera_without_chunks_is_read_unless_they_are_demanded(network):
    with GigeCamera() as plain:
        driver = make_driver(plain.settings())
        driver.open(lambda: None)
        said = driver.read().device
        driver.close()
        assert (said.frame_id > 0, said.time_ns > 0, said.exposure_us) == (True, True, None)
        driver = make_driver(plain.settings(chunks=True))
        with pytest.raises(CameraError, match="no chunk FrameID or ExposureTime or"):
            driver.open(lambda: None)
