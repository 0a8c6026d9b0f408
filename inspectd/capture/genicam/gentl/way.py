"""Reaches cameras through the producer that the settings name; loads what that takes when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from inspectd import config
from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import ReachedCamera
from inspectd.capture.genicam.gentl.producer_library import open_library
from inspectd.capture.genicam.packages import need_package

if TYPE_CHECKING:
    from inspectd.capture.genicam.found import FoundCamera


def need_genapi() -> None:
    """See to it that the reader of cameras' descriptions is there.

    Raises:
        CameraError: it is not installed.
    """
    need_package("gentl", "genicam.genapi")


class GentlWay:
    """Reaches one camera; see `genicam.camera.Way`.

    Args:
        settings: of the camera.
    """

    def __init__(self, settings: config.GenicamCamera) -> None:
        self._settings = settings
        self._last: FoundCamera | None = None

    def reach(self, beat: Callable[[], None]) -> ReachedCamera:
        """See `genicam.camera.Way.reach`."""
        if self._settings.cti is None:
            raise CameraError('backend = "gentl" needs cti, the path of the vendor\'s GenTL producer')
        need_genapi()
        library = open_library(self._settings.cti)
        from inspectd.capture.genicam.gentl.camera import reach  # noqa: PLC0415 - it needs the package

        reached, self._last = reach(self._settings, library, self._last, beat)
        return reached
