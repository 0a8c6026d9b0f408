"""For `inspectd check`: tries the files that straighten a camera's picture, and that show its empty belt."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from inspectd import config
from inspectd.capture.driver import CameraDriver, Frame, UnreadableImageError
from inspectd.capture.geometry.calibration import CalibrationError
from inspectd.capture.geometry.picture import read_geometry
from inspectd.capture.presence import EmptyBelt, PresenceError, read_empty_belt
from inspectd.cli.output import warn
from inspectd.text import counted

_NAMED: Final = 3
_MUCH_HIDDEN: Final = 40.0
"""Grey levels: a person sees at a glance what differs so much from a belt."""


@dataclass
class TriedPictures:
    """What became of a camera's files.

    Attributes:
        problems: what is wrong with them, each with its path.
        belt: the empty belt, where the camera has pictures of it that can be used.
    """

    problems: list[str] = field(default_factory=list)
    belt: EmptyBelt | None = None

    def problem_of(self, frame: Frame) -> str | None:
        """What of a frame does not fit these files, if anything, with its path below the camera."""
        if self.belt is None or frame.pixels.shape[:2] == self.belt.size:
            return None
        (height, width), (belt_height, belt_width) = frame.pixels.shape[:2], self.belt.size
        return (
            f"presence.empty_folder: its pictures are {belt_width}x{belt_height}, frames are "
            f"{width}x{height}: no frame would count as an empty belt; "
            "take them with `inspectd camera record --empty`"
        )


def try_pictures(where: str, camera: config.Camera) -> TriedPictures:
    """Read the files that a camera's settings name, and warn of a belt that would hide parts.

    Args:
        where: the camera's path in the configuration.
        camera: the settings.
    """
    tried = TriedPictures()
    try:
        read_geometry(camera.geometry)
    except CalibrationError as error:
        tried.problems.append(f"{where}.geometry.calibration: {error}")
    try:
        tried.belt = read_empty_belt(camera)
    except PresenceError as error:
        tried.problems.append(f"{where}.presence.empty_folder: {error}")
    if tried.belt is not None and (hidden := tried.belt.hidden_grey_levels) > _MUCH_HIDDEN:
        warn(
            f"{where}.presence.empty_folder: its pictures differ so much from each other that a part a sixth "
            f"of the picture wide may be taken for the empty belt unless it is {hidden:.0f} grey levels "
            "brighter or darker than that, and then gets no verdict; clean the belt and take the pictures "
            "anew, or leave empty_folder out to have every frame inspected"
        )
    return tried


def first_frame(where: str, driver: CameraDriver) -> Frame | None:
    """What the line would get first; of pictures before it that it would leave out, people are warned.

    Raises:
        CameraError: it gives no frame.
    """
    left_out: list[str] = []
    try:
        while True:
            while (due_seconds := driver.due_seconds()) > 0:
                threading.Event().wait(due_seconds)
            try:
                return driver.read()
            except UnreadableImageError as error:
                left_out.append(str(error))
    finally:
        for warning in left_out[:_NAMED]:
            warn(f"{where}.folder: {warning}")
        if (further := len(left_out) - _NAMED) > 0:
            warn(f"{where}.folder: {counted(further, 'more picture')} left out")
