"""Reaches cameras by Basler's pylon; loads it when it is needed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from inspectd import config
from inspectd.capture.genicam.camera import ReachedCamera
from inspectd.capture.genicam.packages import need_package

if TYPE_CHECKING:
    from inspectd.capture.genicam.found import FoundCamera


_CACHE: Final = "GENICAM_CACHE_V3_5"


def need_pylon() -> None:
    """See to it that Basler's runtime is there, and that no other process can hold it up.

    Raises:
        CameraError: it is not installed.
    """
    # It keeps descriptions that it has read in a folder, under locks that all processes of the machine share.
    # One that is killed with such a lock leaves it, and no camera can be opened any more. Without a folder it
    # takes no locks, and reads a description in some milliseconds.
    os.environ[_CACHE] = ""
    with warnings.catch_warnings():
        # It ends the process where its own use of something deprecated counts as an error.
        warnings.simplefilter("ignore", DeprecationWarning)
        need_package("pylon", "pypylon.pylon")


class PylonWay:
    """Reaches one camera; see `genicam.camera.Way`.

    Args:
        settings: of the camera.
    """

    def __init__(self, settings: config.GenicamCamera) -> None:
        self._settings = settings
        self._last: FoundCamera | None = None

    def reach(self, beat: Callable[[], None]) -> ReachedCamera:
        """See `genicam.camera.Way.reach`."""
        need_pylon()
        from inspectd.capture.genicam.pylon.camera import reach  # noqa: PLC0415 - it needs the package

        reached, self._last = reach(self._settings, self._last, beat)
        return reached
