"""From pictures of a board to the calibration of a lens, and of the plane that parts lie on.

The board is a chessboard or a ChArUco board (a chessboard with markers in its white squares, of which a part
may be hidden). Method: Zhang, "A flexible new technique for camera calibration" (PAMI 2000), as OpenCV has
it, with three radial and two tangential coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.capture.geometry.calibration import CalibrationError, LensCalibration

FEWEST_PICTURES: Final = 8
GOOD_PIXELS: Final = 0.5
FAIR_PIXELS: Final = 1.0
_FEWEST_CORNERS: Final = 8
_MOST_ERROR_PIXELS: Final = 2.0
_GRID: Final = 6
"""The picture is divided into so many rows and columns, to see where corners lie."""


class BoardCorners(NamedTuple):
    """Corners of the board that were found in one picture.

    Attributes:
        board_mm: (N, 3) float32, where they are on the board; the third is 0.
        pixels: (N, 2) float32, where they are in the picture.
    """

    board_mm: NDArray[np.float32]
    pixels: NDArray[np.float32]


class Board(Protocol):
    """A board whose corners can be found."""

    to_be_found: str
    """What to look at where it is not."""

    def find(self, grey: NDArray[np.uint8]) -> BoardCorners | None:
        """Its corners in a picture `(H, W) uint8`; None: it is not there, or not enough of it."""


class Chessboard:
    """A chessboard, all of which has to be seen.

    Args:
        columns: inner corners from left to right.
        rows: inner corners from top to bottom.
        square_mm: edge of a square.
    """

    to_be_found = (
        "is --board the number of its inner corners, has it markers (--markers), is the whole board in the "
        "picture, sharp and without reflections?"
    )

    def __init__(self, columns: int, rows: int, square_mm: float) -> None:
        self._size = (columns, rows)
        column, row = np.meshgrid(np.arange(columns), np.arange(rows))
        places = np.stack([column.ravel(), row.ravel(), np.zeros(columns * rows)], axis=1)
        self._places_mm = (places * square_mm).astype(np.float32)

    def find(self, grey: NDArray[np.uint8]) -> BoardCorners | None:
        """See `Board.find`."""
        flags = cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_NORMALIZE_IMAGE
        found, corners = cv2.findChessboardCornersSB(grey, self._size, flags=flags)
        if not found:
            return None
        return BoardCorners(self._places_mm, np.asarray(corners, np.float32).reshape(-1, 2))


class CharucoBoard:
    """A chessboard with markers.

    Args:
        columns: squares from left to right.
        rows: squares from top to bottom.
        square_mm: edge of a square.
        marker_mm: edge of a marker.
        dictionary: kind of the markers, as OpenCV names it, such as `DICT_4X4_50`.

    Raises:
        CalibrationError: OpenCV knows no such markers, or they are too few for the board.
    """

    to_be_found = (
        "is --board the number of its squares, --markers the kind of its markers, is most of the board in "
        "the picture, sharp and without reflections?"
    )

    def __init__(self, columns: int, rows: int, square_mm: float, marker_mm: float, dictionary: str) -> None:
        known = [name for name in dir(cv2.aruco) if name.startswith("DICT_")]
        if dictionary not in known:
            raise CalibrationError(f"--markers: got {dictionary!r}, expected one of: {', '.join(known)}")
        markers = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
        count, needed = len(markers.bytesList), columns * rows // 2
        if needed > count:
            raise CalibrationError(
                f"--markers: {dictionary} has {count}, a board of {columns}x{rows} squares needs {needed}"
            )
        self._board = cv2.aruco.CharucoBoard((columns, rows), square_mm, marker_mm, markers)
        self._detector = cv2.aruco.CharucoDetector(self._board)

    def find(self, grey: NDArray[np.uint8]) -> BoardCorners | None:
        """See `Board.find`."""
        corners, ids, _, _ = self._detector.detectBoard(grey)
        if ids is None or len(ids) < _FEWEST_CORNERS:
            return None
        places = np.asarray(self._board.getChessboardCorners(), np.float32)[np.asarray(ids).ravel()]
        return BoardCorners(places, np.asarray(corners, np.float32).reshape(-1, 2))


class SolvedLens(NamedTuple):
    """A lens, and how well it explains the pictures.

    Attributes:
        calibration: of the lens alone.
        error_pixels: root mean square distance between where corners are and where they should be.
        picture_errors_pixels: the same of each picture.
        covered: share of the picture, in 36 fields, in which a corner was seen.
    """

    calibration: LensCalibration
    error_pixels: float
    picture_errors_pixels: list[float]
    covered: float


def solve_lens(board: Board, seen: Sequence[BoardCorners], height: int, width: int) -> SolvedLens:
    """The lens that explains best where corners of the board are seen.

    Args:
        board: that was looked for.
        seen: corners of each picture.
        height: of the pictures, in pixels.
        width: the same.

    Raises:
        CalibrationError: the pictures are too few, or no lens explains them.
    """
    if len(seen) < FEWEST_PICTURES:
        raise CalibrationError(
            f"the board was found in {len(seen)} pictures, expected at least {FEWEST_PICTURES}, 20 serve "
            f"well; {board.to_be_found}"
        )
    try:
        error, camera, distortion, _, _, _, _, per_picture = cv2.calibrateCameraExtended(
            [each.board_mm for each in seen], [each.pixels for each in seen], (width, height), None, None
        )
    except cv2.error as error_of_opencv:
        raise CalibrationError(f"no lens explains these pictures: {error_of_opencv.err}") from error_of_opencv
    if not np.isfinite(error) or error > _MOST_ERROR_PIXELS:
        raise CalibrationError(
            f"the best lens misses corners by {error:.2f} pixels, expected at most {_MOST_ERROR_PIXELS:g}: "
            "leave out blurred pictures, use a flat and stiff board, and tilt it in several directions"
        )
    calibration = LensCalibration(
        np.asarray(camera, np.float64), np.asarray(distortion, np.float64).ravel(), height, width, None,
        height, width,
    )  # fmt: skip
    calibration.maps()
    every = np.concatenate([each.pixels for each in seen])
    fields = np.clip((every / (width, height) * _GRID).astype(int), 0, _GRID - 1)
    covered = len({(int(column), int(row)) for column, row in fields}) / _GRID**2
    return SolvedLens(calibration, float(error), [float(each) for each in per_picture.ravel()], covered)


def seen_from_above(lens: LensCalibration, flat: BoardCorners) -> LensCalibration:
    """The calibration that shows a board's plane from straight above; its middle stays where and as it is.

    Args:
        lens: of the camera.
        flat: corners of the board, which lies where parts lie.

    Raises:
        CalibrationError: the plane is seen at too flat an angle, or too few corners are.
    """
    undistorted = cv2.undistortPoints(flat.pixels, lens.camera_matrix, lens.distortion, P=lens.camera_matrix)
    places = flat.board_mm[:, :2].astype(np.float64)
    to_picture, _ = cv2.findHomography(places, undistorted.reshape(-1, 2).astype(np.float64))
    if to_picture is None:
        raise CalibrationError("--plane: its corners lie in no plane, expected the whole board")
    middle_mm = places.mean(axis=0)
    middle, along = _at(to_picture, middle_mm)
    # The board's own axes as they lie in the picture there, without the tilt: the nearest turn and scale.
    left, stretch, right = np.linalg.svd(along)
    turn = left @ right
    scale = float(np.sqrt(stretch[0] * stretch[1]))
    to_output = np.eye(3)
    to_output[:2, :2] = scale * turn
    to_output[:2, 2] = middle - scale * turn @ middle_mm
    homography = to_output @ np.linalg.inv(to_picture)
    calibration = LensCalibration(
        lens.camera_matrix, lens.distortion, lens.image_height, lens.image_width,
        np.asarray(homography / homography[2, 2], np.float64), lens.image_height, lens.image_width, 1 / scale,
    )  # fmt: skip
    calibration.maps()
    return calibration


def _at(
    homography: NDArray[np.float64], place: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where a homography takes a place, (2,), and its Jacobian there, (2, 2)."""
    x, y, w = homography @ np.array([*place, 1.0])
    along = (homography[:2, :2] * w - np.outer([x, y], homography[2, :2])) / w**2
    return np.array([x / w, y / w]), along
