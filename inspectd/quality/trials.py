"""Faults that are made in a few good images on purpose, to see which of them their limits find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SHIFT_SHARE: Final = 0.05
"""Of `reach_px`."""
_LONG: Final = 3
TURN_DEGREES: Final = 3.0


def brighter(pixels: Pixels, times: float) -> Pixels:
    """A frame with another exposure; what is too bright is white."""
    brighter: Pixels = cv2.convertScaleAbs(pixels, alpha=times)
    return brighter.reshape(pixels.shape)


def blurred(pixels: Pixels, sigma_px: float) -> Pixels:
    """A frame out of focus."""
    soft: Pixels = cv2.GaussianBlur(pixels, (0, 0), sigma_px)
    return soft.reshape(pixels.shape)


def displaced(pixels: Pixels, right_px: float, down_px: float, clockwise_degrees: float) -> Pixels:
    """A frame of which the part was turned about its middle and then shifted; its edges go on outwards."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -clockwise_degrees, 1.0)
    matrix[:, 2] += right_px, down_px
    # Of all it takes least of the detail, which a part that is moved does not lose.
    moved: Pixels = cv2.warpAffine(
        pixels, matrix, (width, height), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.reshape(pixels.shape)


def half_missing(pixels: Pixels) -> Pixels:
    """A frame whose lower half never came, and was left grey."""
    cut = pixels.copy()
    cut[len(cut) // 2 :] = 128
    return cut


def reach_px(along: int, across: int) -> int:
    """What shares of a shift count by: the longer side of a picture of so many pixels along it and across it.

    A share of it would shift a picture longer than 3:1 far out across the shorter side: there it is three
    times that.
    """
    return min(max(along, across), _LONG * along)


def _to_the_right(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    return displaced(pixels, SHIFT_SHARE * float(reach_px(width, height)), 0.0, 0.0)


def _down(pixels: Pixels) -> Pixels:
    return displaced(pixels, 0.0, SHIFT_SHARE * float(reach_px(*pixels.shape[:2])), 0.0)


TO_THE_RIGHT: Final = "shifted right by 5 %"
DOWN: Final = "shifted down by 5 %"
TURNED: Final = "turned by 3 degrees"
ON_ITS_SIDE: Final = "turned by 90 degrees"
COLOURS: Final = "blue and red exchanged"

TRIALS: Final[dict[str, Callable[[Pixels], Pixels]]] = {
    "half the light": lambda pixels: brighter(pixels, 0.5),
    "twice the light": lambda pixels: brighter(pixels, 2.0),
    "out of focus by 2 pixels": lambda pixels: blurred(pixels, 2.0),
    "out of focus by 4 pixels": lambda pixels: blurred(pixels, 4.0),
    TO_THE_RIGHT: _to_the_right,
    DOWN: _down,
    TURNED: lambda pixels: displaced(pixels, 0.0, 0.0, TURN_DEGREES),
    "turned by 180 degrees": lambda pixels: np.ascontiguousarray(pixels[::-1, ::-1]),
    ON_ITS_SIDE: lambda pixels: np.ascontiguousarray(np.rot90(pixels)),
    "mirrored left to right": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "mirrored top to bottom": lambda pixels: np.ascontiguousarray(pixels[::-1]),
    COLOURS: lambda pixels: np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels,
    "lower half missing": half_missing,
}
"""By their names for people. A turn by 90 degrees of a frame that is not square has another size, which is
refused as a format before."""
