"""GigE Vision cameras, by Aravis' own fake in a network of its own."""

import ctypes
import signal
import time
from itertools import pairwise
from statistics import median

import pytest
from support.capture_child import CaptureChild
from support.gige_camera import GigeCamera
from support.lone_network import lone_network

from inspectd.capture.driver import CameraError, CameraSettingsError
from inspectd.capture.genicam.aravis import library
from inspectd.capture.messages import ApplySettings
from inspectd.capture.registry import make_driver
from inspectd.cli.bank_camera import camera_frames
from inspectd.records import CameraPhase, CameraSettings, DropCause, Quality

pytestmark = pytest.mark.system


@pytest.fixture(autouse=True)
def network():
    with lone_network():
        yield


@pytest.fixture
def camera():
    with GigeCamera() as camera:
        yield camera


def opened(camera, **settings):
    driver = make_driver(camera.settings(**settings))
    driver.open(lambda: None)
    return driver


def refusal(camera, **settings):
    driver = make_driver(camera.settings(**settings))
    with pytest.raises(CameraError) as caught:
        driver.open(lambda: None)
    driver.close()
    return str(caught.value)


def test_frames_are_dated_by_the_cameras_clock_and_none_is_missed(camera):
    driver = opened(camera)
    frames = [driver.read() for _ in range(20)]
    driver.close()
    # It does not say its time: nothing shows when the first one was taken, nor one far quicker than those.
    dated = [frame for frame in frames if frame.flaw is Quality.OK]
    assert frames[0].flaw is Quality.STALE
    assert len(dated) > 14
    for a, b in pairwise(dated[5:]):  # by its own stamps, however late its frames are taken and handed over
        by_its_clock_ns = b.device.time_ns - a.device.time_ns
        assert abs((b.captured_ns - a.captured_ns) - by_its_clock_ns) < 10_000_000
    assert 35 < median((b.captured_ns - a.captured_ns) / 1e6 for a, b in pairwise(dated)) < 45
    assert {frame.lost_before for frame in frames} == {0}
    assert median(frame.age_ms for frame in dated) < 20


@pytest.mark.parametrize(
    ("name", "bits", "channels"), [("Mono8", 8, 1), ("Mono16", 16, 1), ("BayerRG8", 8, 3), ("RGB8", 8, 3)]
)
def test_pixel_formats_are_set_and_their_depth_is_said(camera, name, bits, channels):
    driver = opened(camera, pixel_format=name)
    frame = driver.read()
    driver.close()
    assert (frame.pixels.shape, frame.bit_depth) == ((256, 256, channels), bits)


def test_a_bank_of_its_frames_knows_their_depth_though_the_settings_do_not_name_it(camera):
    seen = camera_frames(camera.settings(pixel_format="Mono16"), 2)
    assert seen.bit_depth == 16
    shapes = [frame.shape for _, frame in seen.frames if not isinstance(frame, str)]
    assert shapes == [(256, 256, 3)] * 2  # as in files


def test_what_the_camera_cannot_do_is_refused_with_what_it_can(camera):
    assert "PixelFormat cannot be Mono12, expected one of: BayerBG8" in refusal(camera, pixel_format="Mono12")
    assert "TriggerSource cannot be Line7, expected one of: Line0" in refusal(camera, trigger_source="Line7")
    assert "leave trigger_delay_us out" in refusal(camera, trigger_source="Line0", trigger_delay_us=5.0)


def test_it_is_found_by_serial_number_and_never_another(camera):
    driver = opened(camera, device="serial:GV07")
    assert driver.facts()["camera"].startswith("Aravis Fake serial GV07")
    driver.close()
    said = refusal(camera, device="serial:GV08")
    assert "no camera with serial GV08; cameras found: Aravis Fake serial GV07" in said


def test_a_camera_that_another_program_controls_is_refused(camera):
    driver = opened(camera)
    assert "another program controls it (Aravis Fake serial GV07" in refusal(camera)
    driver.close()


def test_exposure_is_set_and_read_back_and_a_gain_without_decibels_is_refused(camera):
    driver = opened(camera)
    driver.apply(CameraSettings(exposure_us=4000.0))
    with pytest.raises(CameraSettingsError, match="gain_db: got 3, but the camera has no feature Gain"):
        driver.apply(CameraSettings(gain_db=3.0))
    assert driver.read() is not None
    driver.close()


def test_every_trigger_gives_its_frame_while_the_numbers_wrap(camera):
    """The fake counts from 65401 on, and triggers itself: the line has no part in it."""
    with CaptureChild(camera.settings(trigger_source="Software", trigger_activation="RisingEdge")) as child:
        child.until_phase(CameraPhase.UP)  # before its first frame, or that part's trigger would be refused
        camera.tell("most", 400)
        camera.begin("trigger", 150, 100)
        child.until(lambda: len(child.frames()) + len(child.drops()) >= 150)
        time.sleep(0.3)
        while child.take(0):
            pass
        assert len(child.frames()) == 150
        assert not child.drops()
        dated = [frame.captured_ns for frame in child.frames() if frame.quality is Quality.OK]
        assert (
            len({*dated}) == len(dated) > 140
        )  # the first one is not, nor one far quicker than those before
        assert child.stop() == 0


def test_waiting_for_a_trigger_is_no_stall(camera):
    with CaptureChild(camera.settings(trigger_source="Software", stall_timeout_ms=300)) as child:
        child.until_phase(CameraPhase.UP)
        child.until(lambda: len(child.beats) > 12)
        assert not child.frames()
        assert CameraPhase.DOWN not in {state.phase for state in child.states()}
        assert child.stop() == 0


def test_unplugged_it_is_down_within_a_second_and_back_within_two(camera):
    with CaptureChild(camera.settings()) as child:
        child.until(lambda: len(child.frames()) > 10)
        camera.switch_off()
        began = time.monotonic()
        down = child.until_phase(CameraPhase.DOWN)
        assert time.monotonic() - began < 1.1  # half a poll and the test's own steps beside
        assert "did not answer" in down.detail
        seen = len(child.frames())
        end = time.monotonic() + 2
        while time.monotonic() < end:
            child.take(0.05)
        assert len(child.frames()) == seen
        camera.switch_on()
        began, count = time.monotonic(), len(child.records)
        child.until(lambda: any(frame.quality is Quality.OK for frame in child.frames(count)))
        assert time.monotonic() - began < 2
        assert child.stop() == 0


def test_a_setting_that_comes_while_it_is_gone_does_not_hold_up_its_return(camera):
    with CaptureChild(camera.settings(exposure_us=4000.0, settle_ms=5.0)) as child:
        child.until(lambda: len(child.frames()) > 3)
        camera.switch_off()
        began, count = time.monotonic(), len(child.records)
        child.channel.send(ApplySettings(CameraSettings(exposure_us=8000.0)))
        child.until_phase(CameraPhase.DOWN, count)
        assert time.monotonic() - began < 1.1
        assert any("it does not answer" in report.problem for report in child.reports())
        camera.switch_on()
        began, count = time.monotonic(), len(child.records)
        child.until(lambda: any(frame.camera_settings for frame in child.frames(count)))
        assert time.monotonic() - began < 2
        assert child.frames()[-1].camera_settings == CameraSettings(exposure_us=8000.0)
        assert child.stop() == 0


def test_control_that_is_taken_away_is_noticed_and_taken_again(camera):
    with CaptureChild(camera.settings()) as child:
        child.until(lambda: len(child.frames()) > 3)
        count = len(child.records)
        camera.tell("free")
        down = child.until_phase(CameraPhase.DOWN, count, 1.5)
        assert "no longer under this line's control" in down.detail
        count = len(child.records)
        child.until(lambda: len(child.frames(count)) > 3)
        assert child.stop() == 0


def test_frames_that_lost_packets_are_partial_and_lost_ones_are_drops():
    with GigeCamera(lost_per_thousand=4) as camera, CaptureChild(camera.settings(packet_bytes=1500)) as child:
        child.until(lambda: len(child.frames()) + len(child.drops()) >= 60)
        qualities = [frame.quality for frame in child.frames()]
        assert {*qualities} - {Quality.STALE} == {Quality.OK, Quality.PARTIAL}  # the first one has no date
        assert {drop.cause for drop in child.drops()} <= {DropCause.LOST_IN_TRANSFER}
        assert any("packets are missing" in notice.detail for notice in child.notices())
        black = [child.pixels[f.seq].max() == 0 for f in child.frames() if f.quality is Quality.PARTIAL]
        assert all(black)
        assert child.stop() == 0


def test_frames_that_never_came_are_counted_as_lost_in_transfer(camera):
    """A capture process that stands still takes no packets: the system keeps what fits the socket."""
    with CaptureChild(camera.settings(), release=True) as child:
        child.until(lambda: len(child.frames()) > 25)
        child.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        child.process.send_signal(signal.SIGCONT)
        child.until(lambda: child.drops() and child.frames()[-1].seq > child.drops()[-1].seq + 10)
        assert {drop.cause for drop in child.drops()} == {DropCause.LOST_IN_TRANSFER}
        counted = sorted([frame.seq for frame in child.frames()] + [drop.seq for drop in child.drops()])
        assert counted == list(range(1, len(counted) + 1))
        first, last = child.frames()[20], child.frames()[-1]
        # Its clock says how many there were, 25 a second; the fake leaves one out now and then, unnumbered.
        periods = (last.captured_ns - first.captured_ns) / 40e6
        assert 0.9 * periods < last.seq - first.seq < periods + 1
        assert child.stop() == 0


def test_without_the_library_it_is_said_which_package_is_missing(monkeypatch):
    def nothing_is_installed(name):
        raise OSError(f"{name}: cannot open shared object file")

    library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", nothing_is_installed)
    try:
        assert "libaravis-0.8.so.0, which is not there; install it: apt-get install" in refusal(GigeCamera())
    finally:
        library.cache_clear()
