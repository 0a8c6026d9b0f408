"""The table of camera kinds: a new kind is its file, its settings in `config`, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from inspectd import config
from inspectd.capture.driver import CameraDriver
from inspectd.capture.geometry.corrected_driver import CorrectedDriver
from inspectd.capture.geometry.picture import PictureGeometry
from inspectd.capture.images import ImagesDriver


def _opencv_driver(settings: config.OpenCvCamera) -> CameraDriver:
    """Each process loads the libraries of its own camera alone: FFmpeg and HTTP take tens of megabytes."""
    if settings.origin == "device":
        from inspectd.capture.device import DeviceDriver  # noqa: PLC0415

        return DeviceDriver(settings)
    from inspectd.capture.stream import FileDriver, StreamDriver  # noqa: PLC0415

    return StreamDriver(settings) if settings.origin == "stream" else FileDriver(settings)


def _genicam_driver(settings: config.GenicamCamera) -> CameraDriver:
    from inspectd.capture.genicam.driver import GenicamDriver  # noqa: PLC0415 - as above

    if settings.backend == "gentl":
        from inspectd.capture.genicam.gentl.way import GentlWay  # noqa: PLC0415

        return GenicamDriver(settings, GentlWay(settings))
    if settings.backend == "pylon":
        from inspectd.capture.genicam.pylon.way import PylonWay  # noqa: PLC0415

        return GenicamDriver(settings, PylonWay(settings))
    from inspectd.capture.genicam.gige import GigeWay  # noqa: PLC0415

    return GenicamDriver(settings, GigeWay(settings))


def _synthetic_driver(settings: config.SyntheticCamera) -> CameraDriver:
    from inspectd.capture.synthetic.driver import SyntheticDriver  # noqa: PLC0415 - as above

    return SyntheticDriver(settings)


KINDS: Final[dict[type[config.CameraBase], Callable[[Any], CameraDriver]]] = {
    config.ImagesCamera: ImagesDriver,
    config.OpenCvCamera: _opencv_driver,
    config.GenicamCamera: _genicam_driver,
    config.SyntheticCamera: _synthetic_driver,
}


def make_driver(
    settings: config.Camera, geometry: Callable[[], PictureGeometry] | None = None
) -> CameraDriver:
    """The driver for a camera, not yet opened; its frames come as the camera's geometry says.

    Args:
        settings: of the camera.
        geometry: what was made of its geometry's settings, asked for once it opens; None: it is made then.
    """
    driver = KINDS[type(settings)](settings)
    return driver if settings.geometry.is_neutral else CorrectedDriver(driver, settings.geometry, geometry)
