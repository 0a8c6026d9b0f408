"""A camera whose frames come turned and straightened, for whoever reads it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from inspectd.capture.driver import CameraDriver, CameraError, Facts, Frame
from inspectd.capture.geometry.calibration import CalibrationError
from inspectd.capture.geometry.picture import PictureGeometry, read_geometry
from inspectd.config import GeometrySettings
from inspectd.records import CameraSettings


class CorrectedDriver:
    """Reads a camera and corrects each frame; what the camera gave stays in `Frame.as_given`.

    Everything after it sees one picture.

    Args:
        driver: of the camera.
        settings: its geometry.
        given: the geometry that was made of them; None: the calibration is read once, at the first opening.
    """

    def __init__(
        self,
        driver: CameraDriver,
        settings: GeometrySettings,
        given: Callable[[], PictureGeometry] | None = None,
    ) -> None:
        self._driver = driver
        self._settings = settings
        self._given = given
        self._geometry: PictureGeometry | None = None

    def open(self, beat: Callable[[], None]) -> None:
        """Read the calibration, then open the camera; see `CameraDriver.open`.

        Raises:
            CameraError: either cannot be used.
        """
        beat()  # maps of a large picture take a second
        self._made()
        beat()
        self._driver.open(beat)

    def shape_ahead(self) -> tuple[int, ...] | None:
        """See `CameraDriver.shape_ahead`; of the corrected frames.

        Raises:
            CameraError: the calibration is for frames of another size.
        """
        shape = self._driver.shape_ahead()
        if shape is None:
            return None
        try:
            return self._made().shape_of(shape)
        except CalibrationError as error:
            raise _refused(error) from error

    def apply(self, settings: CameraSettings) -> None:
        """See `CameraDriver.apply`."""
        self._driver.apply(settings)

    def due_seconds(self) -> float:
        """See `CameraDriver.due_seconds`."""
        return self._driver.due_seconds()

    def poll(self) -> bool:
        """See `CameraDriver.poll`."""
        return self._driver.poll()

    def read(self) -> Frame | None:
        """The next frame, corrected.

        Raises:
            CameraError: there is none, or the calibration is for frames of another size.
            UnreadableImageError: see `CameraDriver.read`.
        """
        frame = self._driver.read()
        if frame is None:
            return None
        try:
            pixels = self._made().apply(frame.pixels)
        except CalibrationError as error:
            raise _refused(error) from error
        return dataclasses.replace(frame, pixels=pixels, as_given=frame.pixels)

    def slot_bytes(self, first: Frame) -> int:
        """Bytes of the largest corrected frame; by a calibration all have one size."""
        if self._settings.calibration is not None:
            return first.pixels.nbytes
        given = first if first.as_given is None else dataclasses.replace(first, pixels=first.as_given)
        return max(self._driver.slot_bytes(given), math.prod(first.pixels.shape))

    def facts(self) -> Facts:
        """See `CameraDriver.facts`."""
        return self._driver.facts()

    def close(self) -> None:
        """See `CameraDriver.close`."""
        self._driver.close()

    def _made(self) -> PictureGeometry:
        if self._geometry is None:
            try:
                self._geometry = read_geometry(self._settings) if self._given is None else self._given()
            except CalibrationError as error:
                raise _refused(error) from error
        return self._geometry


def _refused(error: CalibrationError) -> CameraError:
    return CameraError(f"geometry.calibration: {error}")
