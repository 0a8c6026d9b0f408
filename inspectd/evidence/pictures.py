"""Frames and heatmaps as PNG files, without loss of what matters, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.evidence.record import HeatmapPicture
from inspectd.pictures.channels import as_bgr
from inspectd.pictures.depth import PictureError
from inspectd.pictures.drawing import overlay
from inspectd.pictures.reading import decode_levels, read_bytes
from inspectd.pictures.region import Region
from inspectd.wire import Rectangle

_FASTEST: Final = (cv2.IMWRITE_PNG_COMPRESSION, 1)
_LEVELS: Final = 65_535
_EDGE: Final = 480
_GAP: Final = 10
_LINE: Final = 22


def encode_frame(pixels: NDArray[np.uint8]) -> bytes:
    """A frame, `(H, W, 3) uint8 BGR` or `(H, W, 1)`, as PNG; every pixel comes back."""
    return _png(pixels)


def encode_heatmap(
    scores: NDArray[np.float16], rectangle: Rectangle | None = None
) -> tuple[bytes, HeatmapPicture]:
    """A heatmap, `(h, w) float16`, as 16-bit grey PNG, and how its levels become scores again, and where."""
    values = scores.astype(np.float64)
    minimum, maximum = float(values.min()), float(values.max())
    step = (maximum - minimum) / _LEVELS
    levels = np.round((values - minimum) / step) if step > 0 else np.zeros_like(values)
    height, width = values.shape
    return _png(levels.astype(np.uint16)), HeatmapPicture(height, width, minimum, step, rectangle)


def read_frame(file: Path) -> NDArray[np.uint8]:
    """A frame's pixels as they were judged, `(H, W, 3) uint8 BGR`, or `(H, W, 1)` of a grey one.

    Raises:
        InputError: it cannot be read, or is no picture of `encode_frame`.
    """
    pixels = _read(file)
    if pixels.dtype != np.uint8 or pixels.ndim not in {2, 3} or pixels.shape[2:] not in {(), (3,)}:
        raise InputError(f"{file}: has {pixels.dtype} pixels {pixels.shape}, expected 8 bits, grey or colour")
    return np.asarray(pixels.reshape(*pixels.shape[:2], -1), np.uint8)


def _read(file: Path) -> NDArray[Any]:
    try:
        return decode_levels(read_bytes(file))
    except PictureError as error:
        raise InputError(f"{file}: {error}") from error


def read_heatmap(file: Path, picture: HeatmapPicture) -> NDArray[np.float32]:
    """A heatmap's scores, `(h, w)`.

    Raises:
        InputError: it cannot be read, or its size is not that of `picture`.
    """
    levels = _read(file)
    if levels.shape != (picture.height, picture.width):
        raise InputError(f"{file}: is {levels.shape}, expected {(picture.height, picture.width)}")
    return (picture.minimum + levels.astype(np.float64) * picture.step).astype(np.float32)


def _png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    done, data = cv2.imencode(".png", image, _FASTEST)
    assert done, "OpenCV cannot encode PNG"
    return bytes(data)


def explanation(
    pixels: NDArray[np.uint8],
    heatmap: NDArray[np.floating],
    scale: tuple[float, float],
    lines: Sequence[str],
    region: Region | None = None,
) -> NDArray[np.uint8]:
    """A frame beside itself under its heatmap, over lines of text: `(H, W, 3) uint8 BGR`.

    Args:
        pixels: the frame, `(H, W, 3) uint8 BGR` or `(H, W, 1)`.
        heatmap: `(h, w)` patch scores.
        scale: up to the first score the frame stays clear, from the second on it has the full colour.
        lines: what to write under them.
        region: the part of the frame that the heatmap lies over, as shares; None: all of it.
    """
    plain = cv2.resize(as_bgr(pixels), (_EDGE, _EDGE), interpolation=cv2.INTER_AREA)
    gap = np.full((_EDGE, _GAP, 3), 255, np.uint8)
    pictures = np.hstack([plain, gap, overlay(pixels, heatmap, scale, _EDGE, region)])
    text = np.full((_LINE * len(lines) + _GAP, pictures.shape[1], 3), 255, np.uint8)
    for number, line in enumerate(lines, 1):
        place = (_GAP, _LINE * number)
        cv2.putText(text, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    return np.asarray(np.vstack([pictures, text]), dtype=np.uint8)
