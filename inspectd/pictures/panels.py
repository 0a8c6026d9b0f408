"""Pictures side by side, each with a title, over lines of text: one page that shows a way of working."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

PANEL_PIXELS: Final = 480
_GAP_PIXELS: Final = 16
_TITLE_PIXELS: Final = 34
_LINE_PIXELS: Final = 22
_BACKGROUND: Final = (250, 250, 250)
_INK: Final = (40, 40, 40)
_FRAME: Final = (120, 120, 120)
_LINE: Final = (0, 140, 0)
_SHADE: Final = np.array([180, 60, 180], np.float32)
_SHADE_OPACITY: Final = 0.45


class Panel(NamedTuple):
    """One picture, `(H, W, 1 or 3) uint8 BGR`, and what is written over it."""

    title: str
    image: NDArray[np.uint8]


class Box(NamedTuple):
    """A named rectangle of a picture, in its pixels: left, top, right and bottom."""

    name: str
    edges: tuple[int, int, int, int]


def page_of(panels: Sequence[Panel], lines: Sequence[str]) -> NDArray[np.uint8]:
    """`(H, W, 3) uint8 BGR`: the panels, each at most 480 pixels wide and high, and the lines below them.

    Args:
        panels: from left to right.
        lines: of ASCII text.
    """
    fitted = [Panel(panel.title, _fitted(panel.image)) for panel in panels]
    width = _GAP_PIXELS + len(fitted) * (PANEL_PIXELS + _GAP_PIXELS)
    top = _TITLE_PIXELS
    below = top + max(panel.image.shape[0] for panel in fitted) + _GAP_PIXELS
    page = np.full((below + _LINE_PIXELS * len(lines) + _GAP_PIXELS, width, 3), _BACKGROUND, np.uint8)
    for number, (title, image) in enumerate(fitted):
        left = _GAP_PIXELS + number * (PANEL_PIXELS + _GAP_PIXELS)
        _write(page, title, (left, top - 12), 0.55)
        height, across = image.shape[:2]
        page[top : top + height, left : left + across] = image
        cv2.rectangle(page, (left - 1, top - 1), (left + across, top + height), _FRAME, 1)
    for number, line in enumerate(lines):
        _write(page, line, (_GAP_PIXELS, below + _LINE_PIXELS * (number + 1) - 6), 0.5)
    return page


def with_boxes(image: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """A copy of a picture with named rectangles drawn into it."""
    drawn = _in_colour(image).copy()
    pen = max(1, round(max(drawn.shape[:2]) / 320))
    for name, (left, top, right, bottom) in boxes:
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), _LINE, pen)
        at = (left + 3 * pen, min(top + 12 * pen, drawn.shape[0] - 2))
        cv2.putText(drawn, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35 * pen, _LINE, pen, cv2.LINE_AA)
    return drawn


def shaded(image: NDArray[np.uint8], judged: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy of a picture, with the patches that are not judged in violet.

    Args:
        image: `(H, W, 1 or 3) uint8 BGR`.
        judged: (h, w) bool, of the grid of patches that the picture is divided into.
    """
    picture = _in_colour(image)
    height, width = picture.shape[:2]
    inside = cv2.resize(judged.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    mixed = picture * (1 - _SHADE_OPACITY) + _SHADE * _SHADE_OPACITY
    return np.where(inside[..., None], picture, mixed.astype(np.uint8))


def _in_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = PANEL_PIXELS / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(_in_colour(image), size, interpolation=way), np.uint8)


def _write(page: NDArray[np.uint8], text: str, at: tuple[int, int], scale: float) -> None:
    ascii_only = text.encode("ascii", "replace").decode()
    cv2.putText(page, ascii_only, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
