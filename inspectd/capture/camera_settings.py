"""Sets a camera, and knows with what each of its frames was taken. Time is handed in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from inspectd.capture.driver import CameraDriver, CameraSettingsError, Frame
from inspectd.config import Camera, settings_for
from inspectd.records import UNSET, CameraSettings
from inspectd.wire import DeviceFacts

_RETRY_NS: Final = 1_000_000_000
_UNSHOWN_NS: Final = 10_000_000_000
_TOLERANCE: Final = 0.02
_LEAST: Final = {"gain_db": 0.1}
"""0 dB is a gain like any other, so that a share of it says nothing."""


def is_as_set(name: str, wanted: float, answered: float) -> bool:
    """Whether a camera's answer is what it was set to, to 2 %, a gain also to 0.1 dB; a NaN never is."""
    return abs(answered - wanted) <= max(_LEAST.get(name, 0.0), _TOLERANCE * abs(wanted))


def refuse_another_value(name: str, wanted: float, answered: float) -> None:
    """Hold what a camera says it has against what it was set to.

    Args:
        name: of the setting.
        wanted: what it was set to.
        answered: what it says.

    Raises:
        CameraSettingsError: it is another value (`is_as_set`).
    """
    if not is_as_set(name, wanted, answered):
        raise CameraSettingsError(
            f"{name} was set to {wanted:g}, and the camera says {answered:g}; give a value that it has"
        )


def open_as_set(driver: CameraDriver, camera: Camera) -> None:
    """Open a camera by hand, set as the configuration file says, without the frames of before that.

    Raises:
        CameraError: it does not open, or gives no frame.
        CameraSettingsError: it cannot be set, or its frames go on saying that they were taken otherwise.
    """
    driver.open(lambda: None)  # nobody waits for a sign of life of what a person opens
    settings = settings_for(camera)
    setter = CameraSetter(driver, settings, camera.settle_ns, _refuse)
    setter.turn()
    if settings == UNSET or not camera.is_live:
        return
    end_ns = time.monotonic_ns() + (camera.settle_ns or 0) + _UNSHOWN_NS
    while (frame := driver.read()) is not None and setter.taken_with(frame) != settings:
        if frame.captured_ns > end_ns:
            raise CameraSettingsError(
                f"was set to {settings}, and after {_UNSHOWN_NS / 1e9:g} s its frames say {frame.device}"
            )


def _refuse(settings: CameraSettings, problem: str) -> None:  # noqa: ARG001 - what else `CameraSetter` tells
    if problem:
        raise CameraSettingsError(problem)


class CameraSetter:
    """Sets a camera until it answers that it is set, and says with what its frames were taken.

    A frame that says with what it was taken is believed, whatever was set when. Another one was certainly
    taken with settings when the earliest moment it can be of lies after they were read back and had time to
    show, and the latest before the next ones began to be set.

    Args:
        driver: the camera.
        wanted: what it is to be set to first.
        settle_ns: longest time until a frame shows what was set; None: nobody knows it.
        tell: takes the settings, and the reason why the camera does not have them, when that changes.
        clock: CLOCK_MONOTONIC, nanoseconds.
    """

    def __init__(
        self,
        driver: CameraDriver,
        wanted: CameraSettings,
        settle_ns: int | None,
        tell: Callable[[CameraSettings, str], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._driver = driver
        self._wanted = wanted
        self._settle_ns = settle_ns
        self._tell = tell
        self._clock = clock
        self._told: tuple[CameraSettings, str] = (UNSET, "")
        self._retry_ns = 0
        self._now: tuple[CameraSettings, float] | None = None
        """What it is set to, and since when frames show it; None: nobody knows."""
        self._before: tuple[CameraSettings, float, int] | None = None
        """What it was set to before that, since when frames showed it and until when."""

    def want(self, settings: CameraSettings) -> None:
        """Set the camera to these at the next `turn`."""
        if settings != self._wanted:
            self._wanted, self._retry_ns = settings, 0

    def reopened(self) -> None:
        """The camera was opened anew, and may have forgotten what it was set to."""
        self._now = self._before = None
        self._retry_ns = 0

    def turn(self) -> None:
        """Set the camera, if it is not set as wanted and was not tried a moment ago."""
        now_ns = self._clock()
        if (self._now is not None and self._now[0] == self._wanted) or now_ns < self._retry_ns:
            return
        if self._now is not None:
            self._before, self._now = (*self._now, now_ns), None
        problem = ""
        try:
            self._driver.apply(self._wanted)
        except CameraSettingsError as error:
            problem, self._retry_ns = str(error), self._clock() + _RETRY_NS
        else:
            self._now = self._wanted, self._shown_ns()
        if self._told != (self._wanted, problem):
            self._told = self._wanted, problem
            self._tell(self._wanted, problem)

    def _shown_ns(self) -> float:
        if self._wanted == UNSET:
            return 0  # of a camera that the line never sets every frame is as it should be
        return math.inf if self._settle_ns is None else self._clock() + self._settle_ns

    def taken_with(self, frame: Frame) -> CameraSettings | None:
        """The settings that a frame was certainly taken with; None: nobody knows."""
        by_time = self._by_time(frame)
        said = frame.device
        if said is None or (said.exposure_us is None and said.gain_db is None):
            return by_time
        known = {self._wanted, *(of[0] for of in (self._now, self._before) if of is not None)}
        agreeing = {settings for settings in known if _agrees(settings, said, by_time)}
        if by_time in agreeing:
            return by_time
        return agreeing.pop() if len(agreeing) == 1 else None

    def _by_time(self, frame: Frame) -> CameraSettings | None:
        """The settings that were in force when it was taken."""
        first_ns, last_ns = frame.captured_ns, frame.captured_ns + frame.doubt_ns
        if self._now is not None and first_ns >= self._now[1]:
            return self._now[0]
        if self._before is not None and self._before[1] <= first_ns and last_ns < self._before[2]:
            return self._before[0]
        return None


def _agrees(settings: CameraSettings, said: DeviceFacts, by_time: CameraSettings | None) -> bool:
    """Whether a frame was taken so: by what it says, and by the time for what it does not say."""
    for name in CameraSettings.__struct_fields__:
        wanted: float | None = getattr(settings, name)
        told: float | None = getattr(said, name)
        if wanted is None:
            continue
        if told is None and getattr(by_time, name, None) != wanted:
            return False
        if told is not None and not is_as_set(name, wanted, told):
            return False
    return True
