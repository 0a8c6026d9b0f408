"""Pictures of a chessboard, as a camera with a known lens takes them."""

import cv2
import numpy as np

COLUMNS, ROWS, SQUARE_MM = 7, 5, 20.0
HEIGHT, WIDTH = 240, 320
CAMERA = np.array([[260.0, 0, 163], [0, 259, 118], [0, 0, 1]])
DISTORTION = np.array([-0.28, 0.09, 0.0008, -0.0005, 0])
_PIXELS_A_SQUARE = 40


def _board():
    row, column = np.indices((ROWS + 3, COLUMNS + 3))
    inner = (row > 0) & (row < ROWS + 2) & (column > 0) & (column < COLUMNS + 2)
    dark = inner & ((row + column) % 2 == 0)
    large = np.kron(np.where(dark, 20, 235), np.ones((_PIXELS_A_SQUARE, _PIXELS_A_SQUARE))).astype(np.uint8)
    return cv2.GaussianBlur(large, (0, 0), 1.5)


def seen(turn, place_mm, seed=0):
    """`(240, 320) uint8`: the board, turned about three axes (radians), with its middle at a place (mm)."""
    rotation = cv2.Rodrigues(np.array(turn, float))[0]
    to_camera = np.stack([rotation[:, 0], rotation[:, 1], np.array(place_mm, float)], axis=1)
    pixels = np.stack(np.meshgrid(np.arange(WIDTH, dtype=float), np.arange(HEIGHT)), axis=-1)
    rays = cv2.undistortPoints(pixels.reshape(-1, 1, 2), CAMERA, DISTORTION).reshape(-1, 2)
    hit = np.linalg.inv(to_camera) @ np.vstack([rays.T, np.ones(len(rays))])
    board = _board()
    middle = [[board.shape[1] / 2 - 0.5], [board.shape[0] / 2 - 0.5]]
    at = hit[:2] / hit[2] * _PIXELS_A_SQUARE / SQUARE_MM + middle
    columns, rows = at.reshape(2, HEIGHT, WIDTH).astype(np.float32)
    picture = cv2.remap(board, columns, rows, cv2.INTER_LINEAR, borderValue=150)
    return np.clip(picture + np.random.default_rng(seed).normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


def write_views(folder):
    """Ten pictures of it in different places and tilts, for a calibration."""
    folder.mkdir(parents=True)
    for number in range(10):
        place = ((number % 3 - 1) * 35, (number // 3 % 3 - 1) * 22, 300 + 6 * number)
        turn = (0.35 * (-1) ** number, 0.3 * (-1) ** (number // 2), 0.05 * (number - 5))
        assert cv2.imwrite(str(folder / f"{number}.png"), seen(turn, place, number))
