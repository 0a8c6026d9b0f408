"""The calibration of a lens, and of the plane that parts lie on: its file, and the maps that undo both.

The file is what OpenCV's own calibration programs write (`cv::FileStorage`, YAML, JSON or XML):
`camera_matrix`, `distortion_coefficients`, `image_width`, `image_height`. `inspectd camera calibrate` adds
`homography`, `output_width` and `output_height` where the picture is to be seen from straight above as well.

With the camera matrix K, distortion d and homography H (undistorted pixels to pixels of the corrected
picture), a pixel p of the corrected picture shows what the camera saw at distort(K^-1 H^-1 p, d).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.files import open_regular, write_text

_MOST_BYTES: Final = 1_000_000
_MOST_PIXELS_A_SIDE: Final = 32_766
"""What `cv2.remap` can address."""
_MOST_PIXELS: Final = 160_000_000
_DISTORTION_COUNTS: Final = (4, 5, 8, 12, 14)
_LEAST_SHARE_SEEN: Final = 0.5
_GRID_PIXELS: Final = 8
_NESTING: Final = re.compile(r"[\[{<]|-\s")
_MOST_NESTING: Final = 1000
"""Beginnings of something nested; OpenCV's parser ends its process on some ten thousand within each other."""
_MADE_BY: Final = "`inspectd camera calibrate` makes one"


class CalibrationError(InputError):
    """A calibration cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class LensCalibration:
    """What is known of a lens, and of the plane that parts lie on.

    Attributes:
        camera_matrix: (3, 3) float64, in pixels.
        distortion: (N,) float64, OpenCV's coefficients; N is 4, 5, 8, 12 or 14.
        image_height: of the frames it is for, in pixels.
        image_width: the same.
        homography: (3, 3) float64, from undistorted pixels to those of the corrected picture; None: the lens
            alone is corrected, and the picture cut to what every row and column saw.
        output_height: of the corrected picture, in pixels.
        output_width: the same.
        mm_per_pixel: of the corrected picture in that plane, for people; None: not known.
    """

    camera_matrix: NDArray[np.float64]
    distortion: NDArray[np.float64]
    image_height: int
    image_width: int
    homography: NDArray[np.float64] | None
    output_height: int
    output_width: int
    mm_per_pixel: float | None = None

    def maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Column and row of the frame that each pixel of the corrected picture shows, (h, w) float32 each.

        Raises:
            CalibrationError: they are no picture: folded over, beyond the horizon, or mostly outside of
                the frame.
        """
        output = (self.output_width, self.output_height)
        if self.homography is None:
            size = (self.image_width, self.image_height)
            to_output, _ = cv2.getOptimalNewCameraMatrix(
                self.camera_matrix, self.distortion, size, 0, output, centerPrincipalPoint=False
            )
        else:
            to_output = self.homography @ self.camera_matrix
            self._refuse_horizon(np.asarray(np.linalg.inv(to_output), np.float64))
        columns, rows = cv2.initUndistortRectifyMap(
            self.camera_matrix, self.distortion, None, to_output, output, cv2.CV_32FC1
        )
        self._refuse_no_picture(columns, rows)
        return columns, rows

    def _refuse_horizon(self, to_camera: NDArray[np.float64]) -> None:
        right, bottom = self.output_width - 1, self.output_height - 1
        corners = np.array([[0, 0, 1], [right, 0, 1], [0, bottom, 1], [right, bottom, 1]], np.float64)
        depth = corners @ to_camera[2]
        if not ((depth > 0).all() or (depth < 0).all()):
            raise CalibrationError("homography: the horizon lies within its picture, expected one of a plane")

    def _refuse_no_picture(self, columns: NDArray[np.float32], rows: NDArray[np.float32]) -> None:
        if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
            raise CalibrationError("leads to places that are no numbers")
        inside = (columns >= 0) & (columns <= self.image_width - 1)
        inside &= (rows >= 0) & (rows <= self.image_height - 1)
        share = float(inside.mean())
        if share < _LEAST_SHARE_SEEN:
            raise CalibrationError(
                f"only {share:.0%} of its picture lies within the frame, expected at least "
                f"{_LEAST_SHARE_SEEN:.0%}; is it of this camera and lens?"
            )
        step = min(_GRID_PIXELS, *(max(1, side // 2) for side in columns.shape))
        across, down = columns[::step, ::step], rows[::step, ::step]
        if min(across.shape) < 2:
            return
        column_dy, column_dx = np.gradient(across)
        row_dy, row_dx = np.gradient(down)
        areas = column_dx * row_dy - column_dy * row_dx
        if not ((areas > 0).all() or (areas < 0).all()):
            raise CalibrationError(
                "folds the picture over, the same place would be seen twice: its distortion coefficients "
                "hold for the middle only. Calibrate again with pictures of the board in the corners too"
            )


def read_calibration(path: Path, data: bytes | None = None) -> LensCalibration:
    """A calibration file, with every number in it looked at.

    Args:
        path: the file.
        data: its bytes, where it was read.

    Raises:
        CalibrationError: it cannot be read, or is none; the message begins with the file.
    """
    try:
        return _parsed(_Fields(calibration_bytes(path) if data is None else data))
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from error


def calibration_bytes(path: Path) -> bytes:
    """The bytes of a file that may be a calibration.

    Raises:
        CalibrationError: it cannot be read, or is too large for one; the message begins with the file.
    """
    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or error}; {_MADE_BY}") from error
    except InputError as error:
        raise CalibrationError(str(error)) from error
    if len(data) > _MOST_BYTES:
        raise CalibrationError(f"{path}: has more than {_MOST_BYTES} bytes, expected a calibration")
    return data


def write_calibration(path: Path, calibration: LensCalibration, notes: dict[str, float]) -> None:
    """Write a calibration, as JSON where the name ends so, else as YAML.

    Args:
        path: the file, which appears whole or not at all.
        calibration: what is read back from it.
        notes: numbers for people, by name.

    Raises:
        UnavailableError: it cannot be written.
    """
    is_json = path.suffix.lower() == ".json"
    form = cv2.FILE_STORAGE_FORMAT_JSON if is_json else cv2.FILE_STORAGE_FORMAT_YAML
    storage = cv2.FileStorage("", cv2.FILE_STORAGE_WRITE | cv2.FILE_STORAGE_MEMORY | form)
    storage.write("image_width", calibration.image_width)
    storage.write("image_height", calibration.image_height)
    storage.write("camera_matrix", calibration.camera_matrix)
    storage.write("distortion_coefficients", calibration.distortion.reshape(1, -1))
    if calibration.homography is not None:
        storage.write("homography", calibration.homography)
        storage.write("output_width", calibration.output_width)
        storage.write("output_height", calibration.output_height)
    if calibration.mm_per_pixel is not None:
        storage.write("mm_per_pixel", calibration.mm_per_pixel)
    for name, value in notes.items():
        storage.write(name, float(value))
    write_text(path, storage.releaseAndGetString())


class _Fields:
    """The values of a `cv::FileStorage`, each checked; nothing is allocated by what the file claims."""

    def __init__(self, data: bytes) -> None:
        try:
            text = data.decode("utf-8-sig")
            if len(_NESTING.findall(text)) > _MOST_NESTING:
                raise CalibrationError("is nested too deep for a calibration")
            flags = cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY
            self._storage = cv2.FileStorage(text, flags) if text.strip() else None
        except UnicodeDecodeError as error:
            raise CalibrationError(f"is not text: {error}") from error
        except (cv2.error, SystemError) as error:  # Python's own of a class that fails while it is made
            raise CalibrationError(f"is no YAML, JSON or XML of OpenCV; {_MADE_BY}") from error
        if self._storage is None or not self._storage.isOpened() or not self._storage.root().isMap():
            raise CalibrationError(f"is no YAML, JSON or XML of OpenCV; {_MADE_BY}")

    def has(self, name: str) -> bool:
        """Whether the file has a value of this name."""
        return not self._node(name).isNone()

    def number(self, name: str) -> float:
        """A finite number."""
        return _number(self._node(name), name)

    def pixels(self, name: str) -> int:
        """A whole number of pixels that a picture can have on one side."""
        value = self.number(name)
        if not value.is_integer() or not 1 <= value <= _MOST_PIXELS_A_SIDE:
            raise CalibrationError(f"{name}: got {value:g}, expected 1 to {_MOST_PIXELS_A_SIDE} pixels")
        return int(value)

    def matrix(self, name: str) -> NDArray[np.float64]:
        """A matrix of a few finite numbers."""
        node = self._node(name)
        if node.isNone():
            raise CalibrationError(f"{name}: is missing, expected a matrix; {_MADE_BY}")
        if not node.isMap():
            raise CalibrationError(f"{name}: is no matrix of OpenCV (rows, cols, data)")
        shape = tuple(_number(node.getNode(side), f"{name}.{side}") for side in ("rows", "cols"))
        values = node.getNode("data")
        if not values.isSeq() or not all(0 < side <= 16 for side in shape):
            raise CalibrationError(f"{name}: is no small matrix of OpenCV (rows, cols, data)")
        if values.size() != shape[0] * shape[1]:
            raise CalibrationError(
                f"{name}: has {values.size()} values, expected {shape[0]:g} x {shape[1]:g}"
            )
        found = [_number(values.at(index), f"{name}.data[{index}]") for index in range(values.size())]
        return np.array(found, np.float64).reshape(int(shape[0]), int(shape[1]))

    def _node(self, name: str) -> Any:
        assert self._storage is not None, "refused where it was opened"
        return self._storage.getNode(name)


def _number(node: Any, name: str) -> float:
    if node.isNone():
        raise CalibrationError(f"{name}: is missing, expected a number; {_MADE_BY}")
    if not (node.isReal() or node.isInt()):
        raise CalibrationError(f"{name}: is no number")
    value = float(node.real())
    if not np.isfinite(value):
        raise CalibrationError(f"{name}: got {value}, expected a finite number")
    return value


def _parsed(fields: _Fields) -> LensCalibration:
    if fields.has("fisheye_model") and fields.number("fisheye_model"):
        raise CalibrationError(
            "fisheye_model: is set, but only the model with radial and tangential distortion is supported"
        )
    width, height = fields.pixels("image_width"), fields.pixels("image_height")
    output_width, output_height = width, height
    camera = fields.matrix("camera_matrix")
    is_camera = camera.shape == (3, 3) and (camera[2] == (0, 0, 1)).all() and camera[1, 0] == 0
    if not is_camera or camera[0, 0] <= 0 or camera[1, 1] <= 0:
        raise CalibrationError(
            "camera_matrix: expected 3 x 3 numbers, focal lengths above 0 and the last row 0 0 1"
        )
    distortion = fields.matrix("distortion_coefficients")
    if min(distortion.shape) != 1 or distortion.size not in _DISTORTION_COUNTS:
        counts = ", ".join(map(str, _DISTORTION_COUNTS))
        raise CalibrationError(
            f"distortion_coefficients: got {distortion.size}, expected {counts} numbers in one row or column"
        )
    homography = None
    if fields.has("homography"):
        homography = fields.matrix("homography")
        if homography.shape != (3, 3) or abs(np.linalg.det(homography)) < 1e-12:
            raise CalibrationError("homography: expected 3 x 3 numbers that can be inverted")
        output_width, output_height = fields.pixels("output_width"), fields.pixels("output_height")
    elif fields.has("output_width") or fields.has("output_height"):
        raise CalibrationError("output_width, output_height: expected only together with homography")
    if max(width * height, output_width * output_height) > _MOST_PIXELS:
        raise CalibrationError(f"is of a picture with more than {_MOST_PIXELS} pixels")
    scale = fields.number("mm_per_pixel") if fields.has("mm_per_pixel") else None
    return LensCalibration(
        camera, distortion.ravel(), height, width, homography, output_height, output_width, scale
    )
