import time

import pytest
from support.capture_child import CaptureChild
from support.rtsp_camera import RtspCamera

from inspectd.capture.registry import make_driver
from inspectd.config import OpenCvCamera
from inspectd.records import CameraPhase, Quality

pytestmark = pytest.mark.system


@pytest.fixture
def camera():
    camera = RtspCamera()
    camera.switch_on()
    yield camera
    camera.switch_off()


def settings(camera):
    return OpenCvCamera(
        name="cam", recipe="r", source=camera.url, reconnect_min_ms=100, reconnect_max_ms=500, slots=64
    )


def test_a_stream_comes_back_after_its_camera_was_switched_off(camera):
    with CaptureChild(settings(camera)) as child:
        child.until(lambda: len(child.frames()) >= 10)
        camera.switch_off()
        child.until_phase(CameraPhase.DOWN)
        mark = len(child.records)
        time.sleep(0.5)  # the camera is away for a while, in which it is tried again
        camera.switch_on()
        child.until_phase(CameraPhase.UP, after=mark)
        # On a busy machine some are late in truth.
        child.until(lambda: any(f.quality is Quality.OK for f in child.frames(after=mark)))
        assert child.stop() == 0
        log = child.log()
    # What the stream began with was passed over until its clock had settled.
    seqs = sorted([f.seq for f in child.frames()] + [d.seq for d in child.drops()])
    assert seqs == list(range(1, len(seqs) + 1))
    # FFmpeg's own lines would not be our one line an event.
    assert all(" inspectd.capture " in line for line in log.splitlines()), log


def test_what_piled_up_during_a_stall_is_stale_and_what_follows_is_not(camera):
    with CaptureChild(settings(camera)) as child:
        # On a busy machine the first ones may be late in truth.
        child.until(lambda: [f.quality for f in child.frames()[-25:]] == [Quality.OK] * 25)
        camera.stall()
        end = time.monotonic() + 3.2
        while time.monotonic() < end:
            child.take(0.05)
        mark = len(child.records)
        resumed_ns = time.monotonic_ns()
        camera.resume()
        child.until(lambda: len(child.frames(after=mark)) >= 150)
        assert child.stop() == 0
    after = [f.quality for f in child.frames(after=mark)]
    backlog = [f for f in child.frames(after=mark) if f.captured_ns - resumed_ns < 1e9]
    assert len(backlog) > 40, "the stall made no backlog"
    # Nothing tells a delay from a clock that was set back: they may be as new as they look.
    assert all(f.captured_ns + f.doubt_ns > resumed_ns for f in backlog)
    # 3.2 s of frames come at once; those older than the limit of 1 s are about 2.2 s of 25 a second.
    assert after[:45] == [Quality.STALE] * 45
    assert after[-25:] == [Quality.OK] * 25
    assert [s.phase for s in child.states()] == [CameraPhase.OPENING, CameraPhase.UP]


def test_pictures_that_a_decoder_tears_are_not_judged_and_warned_of_once(caplog):
    camera = RtspCamera(sliced=True)
    camera.switch_on()
    driver = make_driver(settings(camera))
    driver.open(lambda: None)
    frames = [driver.read() for _ in range(5)]  # a frame comes after each wait for the rest of its picture
    while not caplog.records and len(frames) < 40:
        frames.append(driver.read())
    frames += [driver.read() for _ in range(3)]
    driver.close()
    camera.switch_off()
    assert {frame.flaw for frame in frames} <= {Quality.PARTIAL, Quality.STALE}
    assert [record.getMessage() for record in caplog.records] == ["repeated_timestamp"]
