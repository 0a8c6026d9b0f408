"""Synthetic defects of a stated size and contrast, drawn into images of good parts.

Each kind is a field of values from -1 to 1 around its centre; the image changes by the field times the
contrast. So the same size and contrast mean the same for every kind. Cutting a texture out of the same image
follows CutPaste (Li et al., CVPR 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pasted:
    """An image with a synthetic defect.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        mask: (H, W) bool, the pixels that the defect covers; all others are as before.
    """

    image: Frame
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class _Window:
    """Pixels around the centre of a defect: their distances from it along two axes turned at random."""

    along: Floats
    across: Floats
    radius: Floats
    size: float


def paste(
    image: Frame,
    kind: str,
    size_pixels: float,
    contrast: float,
    *,
    place: tuple[float, float],
    generator: np.random.Generator,
) -> Pasted:
    """Draw one defect.

    Args:
        image: (H, W, 3) uint8 BGR; stays as it is.
        kind: one of `KINDS`.
        size_pixels: its largest extent, at least 1.
        contrast: the largest change of a pixel's value as a share of the whole range, 0 to 1. All channels
            change alike. A spot, scratch or stain is darker or brighter at random, where both have room.
        place: column and row of its centre; what lies outside the image is cut off.
        generator: of everything else about it: shape, direction, which of the two signs.
    """
    half = int(np.ceil(size_pixels / 2)) + 1
    column, row = int(np.floor(place[0])), int(np.floor(place[1]))
    down, right = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    down, right = down + row - place[1], right + column - place[0]
    angle = generator.uniform(0, 2 * np.pi)
    window = _Window(
        right * np.cos(angle) + down * np.sin(angle),
        down * np.cos(angle) - right * np.sin(angle),
        np.hypot(right, down),
        size_pixels,
    )
    field, covered = _DRAW[kind](window, image, generator)
    height, width = image.shape[:2]
    rows = slice(max(row - half, 0), max(min(row + half + 1, height), 0))
    columns = slice(max(column - half, 0), max(min(column + half + 1, width), 0))
    inside = (
        slice(rows.start - row + half, rows.stop - row + half),
        slice(columns.start - column + half, columns.stop - column + half),
    )
    mask = np.zeros((height, width), dtype=bool)
    mask[rows, columns] = covered[inside]
    field = (field / max(float(np.abs(field).max()), 1e-9) * covered)[inside]
    changed = image.copy()
    change = contrast * 255 * _sign(image[mask], contrast, generator) * field
    values = np.rint(image[rows, columns] + change[..., None])
    changed[rows, columns] = np.clip(values, 0, 255).astype(np.uint8)
    return Pasted(changed, mask)


def _sign(pixels: Frame, contrast: float, generator: np.random.Generator) -> int:
    """Darker (-1) or brighter (1), at random unless only one of them has room at the place."""
    prefers_dark = generator.random() < 0.5
    level, change = float(np.median(pixels)) if pixels.size else 0.0, contrast * 255
    room_dark, room_bright = level >= change, level + change <= 255
    if room_dark == room_bright:
        return -1 if (prefers_dark if room_dark else level > 127) else 1
    return -1 if room_dark else 1


def _spot(window: _Window, _image: Frame, generator: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """A full disc or ellipse with an edge one pixel wide."""
    radius = np.hypot(window.along, window.across / generator.uniform(0.7, 1.0))
    field = np.clip(window.size / 2 - radius + 0.5, 0, 1)
    return field, field > 0


def _scratch(
    window: _Window, _image: Frame, generator: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """A thin, slightly bent line, 3 to 8 % as wide as long, at least one pixel."""
    length = window.size
    width = max(1.0, length * generator.uniform(0.03, 0.08))
    bend = generator.uniform(-0.15, 0.15) * length
    middle = bend * ((2 * window.along / length) ** 2 - 0.5)
    field = np.clip((width + 1) / 2 - np.abs(window.across - middle), 0, 1)
    field = field * np.clip((length + 1) / 2 - np.abs(window.along), 0, 1)
    return field, field > 0


def _stain(
    window: _Window, _image: Frame, generator: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """An irregular patch with soft edges, uneven within."""
    angle = np.arctan2(window.across, window.along)
    waves = [
        generator.uniform(0.3, 1.0) / order * np.sin(order * angle + generator.uniform(0, 2 * np.pi))
        for order in (2, 3, 5)
    ]
    wave = np.sum(waves, axis=0)
    wave = (wave - np.min(wave)) / max(float(np.ptp(wave)), 1e-9)
    share = window.radius / (window.size / 2 * (1 - 0.4 * wave))
    noise = cv2.GaussianBlur(generator.normal(size=share.shape), (0, 0), max(window.size / 8, 0.5))
    noise = noise / max(float(np.abs(noise).max()), 1e-9)
    field = np.clip(1 - share**4, 0, 1) * (0.75 + 0.25 * noise)
    return field, share < 1


def _dent(
    window: _Window, _image: Frame, _generator: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """The shading of a shallow hollow lit from one side: one half brighter, the other darker."""
    share = window.radius / (window.size / 2 + 0.5)
    return window.along * np.clip(1 - share**2, 0, None) ** 2, share < 1


def _texture(
    window: _Window, image: Frame, generator: np.random.Generator
) -> tuple[Floats, NDArray[np.bool_]]:
    """A disc of detail taken from another place of the image, turned, laid over what is there."""
    side = len(window.radius)
    rows, columns = ((generator.integers(length) + np.arange(side)) % length for length in image.shape[:2])
    detail = np.rot90(image[np.ix_(rows, columns)].mean(axis=2), int(generator.integers(1, 4)))
    detail = detail - cv2.GaussianBlur(detail, (0, 0), max(window.size / 4, 1.0))
    deviation = float(detail.std())
    if deviation < 0.5:  # nothing is there but one level of grey
        detail = cv2.GaussianBlur(generator.normal(size=detail.shape), (0, 0), 1.0)
        deviation = float(detail.std())
    edge = np.clip(window.size / 2 - window.radius + 0.5, 0, 1)
    return np.clip(detail / (2 * deviation), -1, 1) * edge, edge > 0


_DRAW: Final[dict[str, Callable[[_Window, Frame, np.random.Generator], tuple[Floats, NDArray[np.bool_]]]]] = {
    "spot": _spot,
    "scratch": _scratch,
    "stain": _stain,
    "dent": _dent,
    "texture": _texture,
}
KINDS: Final = tuple(_DRAW)
