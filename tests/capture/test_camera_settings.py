"""A camera is set and asked what it has; each frame says what it was certainly taken with."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
from support.capture_child import CaptureChild
from support.pictures import write_images

from inspectd.capture.camera_settings import CameraSetter, refuse_another_value
from inspectd.capture.device import set_exposure
from inspectd.capture.driver import CameraSettingsError, Frame
from inspectd.capture.messages import ApplySettings
from inspectd.capture.registry import make_driver
from inspectd.config import ImagesCamera, OpenCvCamera
from inspectd.records import UNSET, CameraSettings
from inspectd.wire import DeviceFacts

DARK, BRIGHT = CameraSettings(5000.0), CameraSettings(10_000.0)
SECOND_NS = 1_000_000_000


class Bench:
    """A camera that takes 5 ns to be set, which a frame shows 100 ns later; `fault` is why it cannot be."""

    def __init__(self, wanted, settle_ns=100):
        self.now_ns, self.fault, self.told, self.applied = 1000, "", [], []
        self.setter = CameraSetter(
            self, wanted, settle_ns, lambda *what: self.told.append(what), lambda: self.now_ns
        )

    def apply(self, settings):
        self.now_ns += 5
        if self.fault:
            raise CameraSettingsError(self.fault)
        self.applied.append(settings)

    def taken_with(self, captured_ns, doubt_ns=0, said=None):
        pixels = np.zeros((1, 1, 3), np.uint8)
        return self.setter.taken_with(Frame(pixels, captured_ns, 0, doubt_ns=doubt_ns, device=said))


def test_frames_are_certain_before_the_change_began_and_after_it_had_time_to_show():
    bench = Bench(DARK)
    assert bench.taken_with(999) is None
    bench.setter.turn()
    assert [bench.taken_with(at_ns) for at_ns in (1000, 1104, 1105, 5000)] == [None, None, DARK, DARK]
    bench.now_ns = 2000
    bench.setter.want(BRIGHT)
    assert bench.taken_with(2000) == DARK
    bench.setter.turn()
    assert [bench.taken_with(at_ns) for at_ns in (1104, 1105, 1999, 2000, 2104, 2105)] == [
        None, DARK, DARK, None, None, BRIGHT,
    ]  # fmt: skip
    assert [bench.taken_with(1990, doubt_ns) for doubt_ns in (9, 10)] == [DARK, None]
    assert bench.told == [(DARK, ""), (BRIGHT, "")]
    bench.setter.turn()
    assert bench.applied == [DARK, BRIGHT]


def test_a_camera_that_cannot_be_set_is_tried_again_and_nothing_is_certain_meanwhile():
    bench = Bench(DARK)
    bench.setter.turn()
    bench.fault = "no such value"
    bench.setter.want(BRIGHT)
    for _ in range(3):
        bench.now_ns += SECOND_NS
        bench.setter.turn()
        bench.setter.turn()
        assert bench.taken_with(bench.now_ns + SECOND_NS) is None
    bench.fault, bench.now_ns = "", bench.now_ns + SECOND_NS
    bench.setter.turn()
    assert bench.taken_with(bench.now_ns + 100) == BRIGHT
    assert bench.told == [(DARK, ""), (BRIGHT, "no such value"), (BRIGHT, "")]


def test_a_camera_that_was_opened_anew_is_set_anew():
    bench = Bench(DARK)
    bench.setter.turn()
    bench.setter.reopened()
    assert bench.taken_with(1500) is None
    bench.now_ns = 2000
    bench.setter.turn()
    assert bench.applied == [DARK, DARK]
    assert [bench.taken_with(at_ns) for at_ns in (2104, 2105)] == [None, DARK]


def test_every_frame_of_a_camera_that_is_never_set_is_as_it_should_be():
    bench = Bench(UNSET)
    bench.setter.turn()
    assert bench.taken_with(0, doubt_ns=10**9) == UNSET
    assert bench.told == []


def test_a_frame_that_says_how_it_was_taken_is_believed_whatever_the_time_says():
    bench = Bench(DARK)
    bench.setter.turn()
    bench.now_ns = 2000
    bench.setter.want(BRIGHT)
    bench.setter.turn()
    dark, bright, other = (DeviceFacts(exposure_us=us) for us in (4990.0, 10_100.0, 7000.0))
    for at_ns in (1500, 2050, 9000):  # surely dark by the time, of nobody knows what, surely bright
        assert bench.taken_with(at_ns, said=dark) == DARK
        assert bench.taken_with(at_ns, said=bright) == BRIGHT
        assert bench.taken_with(at_ns, said=other) is None
    assert bench.taken_with(9000, said=DeviceFacts(frame_id=7)) == BRIGHT  # it says nothing of it


def test_of_values_too_close_for_a_frame_to_tell_the_time_decides():
    near = CameraSettings(5050.0)
    bench = Bench(DARK)
    bench.setter.turn()
    bench.now_ns = 2000
    bench.setter.want(near)
    bench.setter.turn()
    said = DeviceFacts(exposure_us=5020.0)
    assert [bench.taken_with(at_ns, said=said) for at_ns in (1999, 2050, 2105)] == [DARK, None, near]


def test_what_a_frame_does_not_say_is_known_by_the_time_alone():
    both = CameraSettings(5000.0, 6.0)
    bench = Bench(both)
    bench.setter.turn()
    exposure, gain = DeviceFacts(exposure_us=5000.0), DeviceFacts(exposure_us=5000.0, gain_db=6.05)
    assert [bench.taken_with(at_ns, said=exposure) for at_ns in (1104, 1105)] == [None, both]
    assert bench.taken_with(1, said=gain) == both
    assert bench.taken_with(1105, said=DeviceFacts(exposure_us=5000.0, gain_db=5.8)) is None


def test_where_nobody_knows_how_long_a_setting_takes_only_frames_that_say_it_are_certain():
    bench = Bench(DARK, settle_ns=None)
    bench.setter.turn()
    assert bench.taken_with(10**15) is None
    assert bench.taken_with(10**15, said=DeviceFacts(exposure_us=5000.0)) == DARK
    assert Bench(UNSET, settle_ns=None).taken_with(1) is None  # not even opened yet


def test_no_frame_of_a_camera_that_takes_its_time_is_taken_for_another_exposure():
    """It is set with every frame, shows that one to three frames later, and settle_ms is far too short."""
    rng, bench, shown = random.Random(16), Bench(DARK, settle_ns=1), [DARK]
    bench.setter.turn()
    for number in range(1000):
        wanted = (BRIGHT, DARK)[number % 2]
        bench.setter.want(wanted)
        bench.setter.turn()
        shown.append(wanted)
        truth = shown[-1 - rng.randint(1, min(3, len(shown) - 1))]
        bench.now_ns += 40_000_000
        said = DeviceFacts(exposure_us=truth.exposure_us * rng.uniform(0.99, 1.01))
        assert bench.taken_with(bench.now_ns, said=said) == truth


@pytest.mark.parametrize(("answered", "is_taken"), [(5000, True), (5090, True), (5110, False), (4890, False)])
def test_an_answer_is_taken_within_2_percent(answered, is_taken):
    if is_taken:
        refuse_another_value("exposure_us", 5000, answered)
    else:
        with pytest.raises(CameraSettingsError, match=f"set to 5000, and the camera says {answered}"):
            refuse_another_value("exposure_us", 5000, answered)
    with pytest.raises(CameraSettingsError):
        refuse_another_value("exposure_us", 5000, float("nan"))


class V4l2:
    """The controls of a V4L2 device, in its units; like OpenCV it says of every value that it was set."""

    def __init__(self, *, modes=(1, 3), longest=330, step=1):
        self.values = {cv2.CAP_PROP_EXPOSURE: 156.0}
        if modes:
            self.values[cv2.CAP_PROP_AUTO_EXPOSURE] = modes[-1]
        if not longest:
            del self.values[cv2.CAP_PROP_EXPOSURE]
        self.modes, self.longest, self.step = modes, longest, step

    def set(self, prop, value):
        if prop == cv2.CAP_PROP_AUTO_EXPOSURE and value in self.modes:
            self.values[prop] = value
        elif (
            prop == cv2.CAP_PROP_EXPOSURE
            and self.values.get(cv2.CAP_PROP_AUTO_EXPOSURE, 1) == 1
            and self.longest
        ):
            self.values[prop] = min(self.longest, self.step * max(1, round(value / self.step)))
        return True

    def get(self, prop):
        return self.values.get(prop, -1)


def test_a_device_is_exposed_by_hand_in_steps_of_100_us():
    controls = V4l2()
    set_exposure(controls, 12_500.0)
    assert controls.values == {cv2.CAP_PROP_EXPOSURE: 125, cv2.CAP_PROP_AUTO_EXPOSURE: 1}
    set_exposure(V4l2(modes=()), 12_500.0)


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        (V4l2(modes=(0, 3)), "automatic exposure stays on"),
        (V4l2(longest=0), "no control exposure_time_absolute"),
        (V4l2(longest=100), "exposure_us was set to 12500, and the camera says 10000"),
        (V4l2(step=10), "exposure_us was set to 12500, and the camera says 12000"),
    ],
)
def test_a_device_that_answers_otherwise_is_refused(controls, said):
    with pytest.raises(CameraSettingsError, match=said):
        set_exposure(controls, 12_500.0)


def test_kinds_that_have_nothing_to_set_say_so(tmp_path):
    for source in ("rtsp://127.0.0.1:9/none", str(tmp_path / "v.avi"), 98):
        driver = make_driver(OpenCvCamera(name="c", recipe="r", source=source))
        driver.apply(UNSET)
        with pytest.raises(CameraSettingsError):
            driver.apply(CameraSettings(gain_db=3.0))


def grey(child, frame):
    return float(child.pixels[frame.seq].mean())


def test_a_capture_process_sets_its_camera_and_every_frame_shows_what_it_says(tmp_path):
    write_images(tmp_path, [f"{i}.png" for i in range(8)])
    camera = ImagesCamera(
        name="cam", recipe="r", folder=str(tmp_path), fps=50, loop=True, exposure_us=10_000.0, gain_db=0.0,
        settle_ms=100.0,
    )  # fmt: skip
    half, full = CameraSettings(5000.0, 0.0), CameraSettings(10_000.0, 0.0)
    with CaptureChild(camera, settings=half) as child:
        child.until(lambda: any(frame.camera_settings == half for frame in child.frames()))
        child.channel.send(ApplySettings(full))
        child.until(lambda: sum(frame.camera_settings == full for frame in child.frames()) >= 8)
        child.channel.send(ApplySettings(CameraSettings(30_000.0, 0.0)))  # two frames are 20 ms apart
        child.until(lambda: len(child.reports()) == 3)
        began = len(child.records)
        child.until(lambda: len(child.frames(began)) >= 12)
        child.channel.send(ApplySettings(CameraSettings(5000.0, 6.0206)))  # as bright as at 10 ms
        child.until(lambda: child.frames()[-1].camera_settings == CameraSettings(5000.0, 6.0206))
        assert child.stop() == 0
    said = [(report.settings.exposure_us, report.problem) for report in child.reports()]
    assert said[2] == (
        30_000, "exposure_us was set to 30000, and the camera says 20000; give a value that it has"
    )  # fmt: skip
    assert [what for what in said if not what[1]] == [(5000, ""), (10_000, ""), (5000, "")]
    files = {frame.source: grey(child, frame) for frame in child.frames() if frame.camera_settings == full}
    assert len(files) == 8
    for frame in child.frames():
        if frame.camera_settings == half:
            assert grey(child, frame) == pytest.approx(files[frame.source] / 2, abs=1)
        elif frame.camera_settings is not None:
            assert grey(child, frame) == pytest.approx(files[frame.source], abs=1)
    # Of the change itself it knows nothing: for five frames the brightness is still that of before.
    assert sum(frame.camera_settings is None for frame in child.frames()) >= 5 + 5 + 12
    assert all(frame.camera_settings is None for frame in child.frames(began)[:12])
