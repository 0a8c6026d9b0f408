"""Sets a camera, and knows with what each of its frames was taken. Time is handed in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from inspectd.capture.driver import CameraDriver, CameraSettingsError, Frame
from inspectd.config import Camera, settings_for
from inspectd.records import UNSET, CameraSettings

_RETRY_NS: Final = 1_000_000_000
_TOLERANCE: Final = 0.02


def refuse_another_value(name: str, wanted: float, answered: float) -> None:
    """Hold what a camera says it has against what it was set to.

    Args:
        name: of the setting.
        wanted: what it was set to.
        answered: what it says; a NaN is refused too.

    Raises:
        CameraSettingsError: more than 2 % lie between them.
    """
    if not abs(answered - wanted) <= _TOLERANCE * abs(wanted):
        raise CameraSettingsError(
            f"{name} was set to {wanted:g}, and the camera says {answered:g}; give a value that it has"
        )


def open_as_set(driver: CameraDriver, camera: Camera, beat: Callable[[], None]) -> None:
    """Open a camera by hand, set as the configuration file says, without the frames of before that.

    Raises:
        CameraError: it does not open, or gives no frame.
        CameraSettingsError: it cannot be set.
    """
    driver.open(beat)
    driver.apply(settings_for(camera))
    if camera.is_live and camera.settle_ns:
        shown_ns = time.monotonic_ns() + camera.settle_ns
        while (frame := driver.read()) is not None and frame.captured_ns < shown_ns:
            beat()


class CameraSetter:
    """Sets a camera until it answers that it is set, and says with what its frames were taken.

    A frame was certainly taken with settings when the earliest moment it can be of lies after they were read
    back and had time to show, and the latest before the next ones began to be set.

    Args:
        driver: the camera.
        wanted: what it is to be set to first.
        settle_ns: longest time until a frame shows what was set.
        tell: takes the settings, and the reason why the camera does not have them, when that changes.
        clock: CLOCK_MONOTONIC, nanoseconds.
    """

    def __init__(
        self,
        driver: CameraDriver,
        wanted: CameraSettings,
        settle_ns: int,
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
        self._now: tuple[CameraSettings, int] | None = None
        """What it is set to, and since when frames show it; None: nobody knows."""
        self._before: tuple[CameraSettings, int, int] | None = None
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
            # Of a camera that the line never sets every frame is as it should be.
            shown_ns = self._clock() + self._settle_ns if self._wanted != UNSET else 0
            self._now = self._wanted, shown_ns
        if self._told != (self._wanted, problem):
            self._told = self._wanted, problem
            self._tell(self._wanted, problem)

    def taken_with(self, frame: Frame) -> CameraSettings | None:
        """The settings that a frame was certainly taken with; None: nobody knows."""
        first_ns, last_ns = frame.captured_ns, frame.captured_ns + frame.doubt_ns
        if self._now is not None and first_ns >= self._now[1]:
            return self._now[0]
        if self._before is not None and self._before[1] <= first_ns and last_ns < self._before[2]:
            return self._before[0]
        return None
