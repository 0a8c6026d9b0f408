"""Reaches cameras through the producer that the settings name; loads what that takes when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from inspectd import config
from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.camera import ReachedCamera
from inspectd.capture.genicam.gentl.producer_library import open_library

if TYPE_CHECKING:
    from inspectd.capture.genicam.found import FoundCamera


def need_package() -> None:
    """See to it that the reader of cameras' descriptions is there.

    Raises:
        CameraError: it is not installed.
    """
    try:
        import genicam.genapi  # noqa: F401, PLC0415 - it may be missing, and takes some megabytes
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "genicam":
            raise
        raise CameraError(
            'cameras with backend = "gentl" need the package genicam, which is not installed here; '
            "pip install 'inspectd[gentl]' brings it"
        ) from error


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
        need_package()
        library = open_library(self._settings.cti)
        from inspectd.capture.genicam.gentl.camera import reach  # noqa: PLC0415 - it needs the package

        reached, self._last = reach(self._settings, library, self._last, beat)
        return reached
