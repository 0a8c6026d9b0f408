"""Reaches cameras by Basler's pylon; loads it when it is needed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from inspectd import config
from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import ReachedCamera

if TYPE_CHECKING:
    from inspectd.capture.genicam.found import FoundCamera


_CACHE: Final = "GENICAM_CACHE_V3_5"


def need_package() -> None:
    """See to it that Basler's runtime is there, and that no other process can hold it up.

    Raises:
        CameraError: it is not installed.
    """
    # It keeps descriptions that it has read in a folder, under locks that all processes of the machine share.
    # One that is killed with such a lock leaves it, and no camera can be opened any more. Without a folder it
    # takes no locks, and reads a description in some milliseconds.
    os.environ[_CACHE] = ""
    try:
        with warnings.catch_warnings():
            # It ends the process where its own use of something deprecated counts as an error.
            warnings.simplefilter("ignore", DeprecationWarning)
            import pypylon.pylon  # noqa: F401, PLC0415 - it may be missing, and takes some megabytes
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pypylon":
            raise
        raise CameraError(
            'cameras with backend = "pylon" need the package pypylon, which is not installed here; '
            "pip install 'inspectd[pylon]' brings it"
        ) from error


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
        need_package()
        from inspectd.capture.genicam.pylon.camera import reach  # noqa: PLC0415 - it needs the package

        reached, self._last = reach(self._settings, self._last, beat)
        return reached
