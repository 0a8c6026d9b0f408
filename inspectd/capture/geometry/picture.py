"""Turns and straightens pictures as a camera's `geometry` says."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.capture.geometry.calibration import CalibrationError, LensCalibration, read_calibration
from inspectd.config import GeometrySettings

_TURNS: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_MIRRORS: Final = {"horizontal": 1, "vertical": 0}


def read_geometry(settings: GeometrySettings, data: bytes | None = None) -> PictureGeometry:
    """The geometry that a camera's settings and the file they name make.

    Args:
        settings: of the camera.
        data: bytes of the file, where it was read; else it is now.

    Raises:
        CalibrationError: the file cannot be used; the message begins with it.
    """
    if settings.calibration is None:
        return PictureGeometry(settings)
    path = Path(settings.calibration)
    calibration = read_calibration(path, data)
    try:
        return PictureGeometry(settings, calibration)
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error


class PictureGeometry:
    """Corrects every picture of one camera in the same way: lens and perspective, then turned, then mirrored.

    With a calibration that is one look-up by maps which are made once, with linear interpolation between
    pixels; what lies outside of the frame is black. Turning and mirroring alone move pixels and change none.

    Args:
        settings: of the camera.
        calibration: in place of the file that `settings` names; None: they name none.

    Raises:
        CalibrationError: it gives no picture.
    """

    def __init__(self, settings: GeometrySettings, calibration: LensCalibration | None = None) -> None:
        self._settings = settings
        self._calibration = calibration
        self._maps: tuple[NDArray[np.int16], NDArray[np.uint16]] | None = None
        if calibration is not None:
            columns, rows = (self._turned(each) for each in calibration.maps())
            self._maps = cv2.convertMaps(columns, rows, cv2.CV_16SC2)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The corrected picture of a frame, contiguous.

        Args:
            pixels: `(H, W, C) uint8`, as the camera gave them.

        Raises:
            CalibrationError: the calibration is for frames of another size.
        """
        self._refuse_size(pixels.shape)
        if self._maps is not None:
            corrected = cv2.remap(pixels, *self._maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        else:
            corrected = np.ascontiguousarray(self._turned(pixels))
        # OpenCV leaves a single channel out.
        return np.asarray(corrected, np.uint8).reshape(self.shape_of(pixels.shape))

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the corrected picture of a frame with a shape `(H, W, C)`.

        Raises:
            CalibrationError: the calibration is for frames of another size.
        """
        self._refuse_size(shape)
        height, width = shape[:2]
        if self._calibration is not None:
            height, width = self._calibration.output_height, self._calibration.output_width
        sides = (width, height) if self._settings.rotate in {90, 270} else (height, width)
        return (*sides, *shape[2:])

    def _turned(self, picture: NDArray[np.generic]) -> NDArray[np.generic]:
        turned = picture
        if self._settings.rotate:
            turned = cv2.rotate(turned, _TURNS[self._settings.rotate])
        if self._settings.flip != "none":
            turned = cv2.flip(turned, _MIRRORS[self._settings.flip])
        return turned

    def _refuse_size(self, shape: tuple[int, ...]) -> None:
        known = self._calibration
        if known is not None and tuple(shape[:2]) != (known.image_height, known.image_width):
            raise CalibrationError(
                f"{self._settings.calibration}: is for frames of {known.image_width}x{known.image_height}, "
                f"the camera gives {shape[1]}x{shape[0]}; set the camera to that size, or calibrate again"
            )
