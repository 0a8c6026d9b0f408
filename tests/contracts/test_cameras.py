"""Every kind of camera keeps the same promises."""

import time

import numpy as np
import pytest
from support.gentl_camera import GentlCamera
from support.gige_camera import GigeCamera
from support.lone_network import lone_network
from support.mjpeg_camera import MjpegCamera
from support.pictures import write_images, write_video
from support.rtsp_camera import RtspCamera

from inspectd.capture.driver import CameraError
from inspectd.capture.registry import KINDS, make_driver
from inspectd.config import (
    CameraBase,
    GenicamCamera,
    ImagesCamera,
    OpenCvCamera,
    SyntheticCamera,
    SyntheticFault,
)

MISSING = {
    "images": ImagesCamera(name="c", recipe="r", folder="/nowhere/at/all"),
    "video": OpenCvCamera(name="c", recipe="r", source="/nowhere/v.avi"),
    "rtsp": OpenCvCamera(name="c", recipe="r", source="rtsp://127.0.0.1:9/none", open_timeout_ms=100),
    "mjpeg": OpenCvCamera(name="c", recipe="r", source="http://127.0.0.1:9/none", open_timeout_ms=100),
    "device": OpenCvCamera(name="c", recipe="r", source=98),
    "genicam": GenicamCamera(name="c", recipe="r", device="ip:127.0.0.99"),
    "gentl": GenicamCamera(name="c", recipe="r", device="serial:1", backend="gentl", cti="/nowhere/p.cti"),
    "pylon": GenicamCamera(name="c", recipe="r", device="ip:127.0.0.99", backend="pylon"),
    "synthetic": SyntheticCamera(
        name="c", recipe="r", faults=(SyntheticFault(kind="unplug", frames=1_000_000),)
    ),
}


WORKING = {
    "images": ImagesCamera,
    "video": OpenCvCamera,
    "rtsp": OpenCvCamera,
    "mjpeg": OpenCvCamera,
    "genicam": GenicamCamera,
    "gentl": GenicamCamera,
    "pylon": GenicamCamera,
    "synthetic": SyntheticCamera,
}
SYSTEM = {"rtsp", "genicam", "gentl", "pylon"}


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.system] * (name in SYSTEM)) for name in WORKING]
)
def settings(request, tmp_path, monkeypatch):
    if request.param == "images":
        write_images(tmp_path, [f"{i}.png" for i in range(6)])
        yield ImagesCamera(name="c", recipe="r", folder=str(tmp_path), fps=200)
    elif request.param == "video":
        write_video(tmp_path / "v.avi", frames=6)
        yield OpenCvCamera(name="c", recipe="r", source=str(tmp_path / "v.avi"), fps=200)
    elif request.param == "synthetic":
        yield SyntheticCamera(name="c", recipe="r", fps=200, width=160, height=120)
    elif request.param == "genicam":
        with lone_network(), GigeCamera() as camera:
            yield camera.settings()
    elif request.param == "gentl":
        with GentlCamera() as camera:
            yield camera.settings()
    elif request.param == "pylon":
        monkeypatch.setenv("PYLON_CAMEMU", "1")
        with lone_network():
            yield GenicamCamera(name="c", recipe="r", device="serial:0815-0000", backend="pylon")
    else:
        camera = RtspCamera() if request.param == "rtsp" else MjpegCamera()
        camera.switch_on()
        yield OpenCvCamera(name="c", recipe="r", source=camera.url)
        camera.switch_off()


@pytest.fixture
def driver(settings):
    driver = make_driver(settings)
    yield driver
    driver.close()


def read(driver, count):
    return [driver.read() for _ in range(count)]


def test_every_kind_of_the_table_is_tried_here():
    assert {type(settings) for settings in MISSING.values()} == set(KINDS)
    assert set(WORKING.values()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_names_the_setting_its_pictures_come_from(kind):
    assert kind.source_key in kind.__struct_fields__


def test_a_kind_that_says_nothing_is_live_and_of_one_size():
    camera = CameraBase(name="c", recipe="r")
    assert camera.is_live
    assert not camera.may_vary_in_size


def test_frames_are_grey_or_bgr_bytes_with_the_time_they_were_taken(driver):
    before_ns, before_utc_ns = time.monotonic_ns(), time.time_ns()
    driver.open(lambda: None)
    frames = read(driver, 4)
    times = [f.captured_ns for f in frames]
    assert times == sorted(times)
    assert before_ns < times[0] <= times[-1] < time.monotonic_ns()
    assert all(before_utc_ns < f.captured_utc_ns <= time.time_ns() for f in frames)
    for frame in frames:
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.ndim == 3
        assert frame.pixels.shape[2] in {1, 3}  # grey, or BGR
        assert frame.age_ms >= 0
        assert frame.pixels.nbytes <= driver.slot_bytes(frames[0])


def test_a_frame_stays_what_it_was_while_later_ones_are_read(driver):
    driver.open(lambda: None)
    first = driver.read()
    copy = first.pixels.copy()
    read(driver, 3)
    np.testing.assert_array_equal(first.pixels, copy)


def test_it_opens_again_after_it_was_closed(driver):
    driver.open(lambda: None)
    read(driver, 2)
    driver.close()
    driver.open(lambda: None)
    assert all(frame is not None for frame in read(driver, 2))


def test_closing_twice_and_before_opening_does_no_harm(driver):
    driver.close()
    driver.open(lambda: None)
    driver.close()
    driver.close()


@pytest.mark.parametrize("kind", MISSING)
def test_one_that_is_not_there_says_so_and_can_be_tried_again(kind):
    driver = make_driver(MISSING[kind])
    for _ in range(2):
        with pytest.raises(CameraError) as caught:
            driver.open(lambda: None)
        assert len(str(caught.value)) > 20
    driver.close()


def test_an_open_camera_says_what_it_is(driver):
    driver.facts()  # of a closed one little is known
    driver.open(lambda: None)
    driver.read()
    facts = driver.facts()
    assert facts
    assert all(isinstance(value, str | int | float) for value in facts.values())
