"""Features that no other setting is for, of every library that reaches cameras; of pylon in test_pylon.py."""

import pytest
from support.gentl_camera import GentlCamera
from support.gige_camera import GigeCamera
from support.lone_network import lone_network

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import FeatureError
from inspectd.capture.genicam.features import ask_time_ns, set_features
from inspectd.capture.registry import make_driver


class StubbornCamera:
    """Notes what it is told, and holds something else of some features."""

    def __init__(self, **stubborn):
        self.told = []
        self._held = {"Flag": False, "Choice": "A", "Whole": 3, "Real": 10.2, "Text": "a"}
        self._stubborn = stubborn

    def has(self, feature):
        return feature in self._held

    def is_real(self, feature):
        return isinstance(self._held[feature], float)

    def choices(self, feature):
        if feature != "Choice":
            raise FeatureError(f"{feature}: is no choice")
        return ["A", "B"]

    def text(self, feature):
        return self._held[feature]

    flag = whole = real = text

    def set_text(self, feature, value):
        if feature == "Choice" and value not in {"A", "B"}:
            raise FeatureError(f"{feature}: there is no {value}")
        self.told.append((feature, value))
        self._held[feature] = self._stubborn.get(feature, value)

    set_whole = set_real = set_text

    def set_flag(self, feature, *, value):
        self.set_text(feature, value)


def test_they_are_set_in_the_given_order_each_as_what_it_is():
    camera = StubbornCamera()
    asked = {"Whole": 7, "Flag": True, "Real": 100, "Choice": "B", "Text": "left"}
    set_features(camera, asked)
    assert camera.told == list(asked.items())
    set_features(camera, dict(reversed(asked.items())))
    assert camera.told[5:] == [each for each in reversed(asked.items()) if each[0] != "Flag"]  # it is on


@pytest.mark.parametrize(
    ("name", "asked", "held", "said"),
    [
        ("Whole", 8, 9, "features.Whole = 8: Whole was set to 8, and the camera says 9"),
        ("Real", 50.0, 48.9, "features.Real = 50.0: Real was set to 50, and the camera says 48.9"),
        ("Flag", True, False, "features.Flag = True: Flag was switched on, and the camera says otherwise"),
        ("Choice", "B", "A", "features.Choice = 'B': Choice was set to B, and the camera says A"),
        ("Text", "left", "lef", "features.Text = 'left': Text was set to left, and the camera says lef"),
    ],
)
def test_a_camera_that_holds_something_else_is_refused_with_both(name, asked, held, said):
    with pytest.raises(CameraError) as caught:
        set_features(StubbornCamera(**{name: held}), {name: asked})
    assert str(caught.value) == said


def test_a_number_with_a_fraction_may_be_rounded_by_the_camera_and_a_whole_one_not():
    set_features(StubbornCamera(Real=49.1), {"Real": 50})
    with pytest.raises(CameraError, match=r"features\.Whole = 1\.5: Whole is a whole number"):
        set_features(StubbornCamera(), {"Whole": 1.5})


def test_what_a_choice_can_be_is_said_and_a_name_that_there_is_not():
    with pytest.raises(
        CameraError, match=r"Choice cannot be C, expected one of: A, B \(Choice: there is no C\)"
    ):
        set_features(StubbornCamera(), {"Choice": "C"})
    for value, was in ((1, "1"), ("a", "a"), (True, "on")):
        with pytest.raises(CameraError, match=f"has no feature Nope, which was to be {was}"):
            set_features(StubbornCamera(), {"Nope": value})


@pytest.mark.parametrize("beyond", [1e300, -1e19, 2.0**63])
def test_a_number_that_no_library_can_hand_on_is_refused_in_words(beyond):
    camera = StubbornCamera()
    with pytest.raises(CameraError, match="Whole is a whole number of 64 bits, and was to be"):
        set_features(camera, {"Whole": beyond})
    assert not camera.told


def test_a_clock_of_no_ticks_a_second_says_no_time():
    class NoClock:
        def has(self, feature):
            return feature.startswith("GevTimestamp")

        def whole(self, feature):
            return 0

        def execute(self, feature):
            pass

    assert ask_time_ns(NoClock()) is None


def refusal(camera, **features):
    driver = make_driver(camera.settings(features=features))
    with pytest.raises(CameraError) as caught:
        driver.open(lambda: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def held_by(camera, features):
    """A driver that has set them; what the camera says of them then."""
    driver = make_driver(camera.settings(features=features))
    driver.open(lambda: None)
    said = driver._open.features
    reading = {bool: said.flag, int: said.whole, float: said.real, str: said.text}
    held = {name: reading[type(value)](name) for name, value in features.items()}
    assert driver.read() is not None
    driver.close()
    return held


@pytest.mark.system
def test_of_a_gige_camera_by_aravis():
    with lone_network(), GigeCamera() as camera:
        asked = {"TestBoolean": True, "OffsetX": 8, "AcquisitionFrameRate": 50.0}
        assert held_by(camera, asked) == asked
        assert "features.OffsetX = 1.5: OffsetX is a whole number of 64 bits" in refusal(camera, OffsetX=1.5)
        assert "features.Nope = 1: has no feature Nope" in refusal(camera, Nope=1)
        assert "AcquisitionStart:ArvGcCommand] Not a ArvGc" in refusal(camera, AcquisitionStart=True)


@pytest.mark.system
def test_of_a_camera_by_a_gentl_producer():
    with GentlCamera() as camera:
        asked = {"ExposureAuto": "Continuous", "Width": 128}
        assert held_by(camera, asked) == asked
        assert "ExposureAuto cannot be X, expected one of: Off, Continuous" in refusal(
            camera, ExposureAuto="X"
        )
        assert "features.Width = 'wide': Width: is IInteger, which has" in refusal(camera, Width="wide")
        assert "AcquisitionStart: is ICommand, which has no such" in refusal(camera, AcquisitionStart=True)
