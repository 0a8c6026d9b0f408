"""Where a picture lies against a reference: shift and rotation, by inverse compositional alignment.

S. Baker, I. Matthews, "Lucas-Kanade 20 Years On: A Unifying Framework", International Journal of Computer
Vision 56, 2004, section 3.2, with three parameters, from coarse to fine. Both pictures are standardised, so
neither exposure nor contrast moves it, and what changes slowly across them, as light does, is taken out. The
costly half depends on the reference alone and is done once.

It finds shifts up to about a sixth of the picture and rotations up to about 10 degrees. What lies farther off
is not found, and then does not look like the reference either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Laid = TypeVar("Laid", NDArray[np.float32], NDArray[np.uint8])

_COARSER: Final = (4, 2, 1)
_STEPS: Final = (8, 4, 3)
"""Most at each of these resolutions."""
_STILL: Final = 0.02
"""Pixels: a step that moves the corners less is the last."""
_SURELY: Final = 0.7
"""Correlation at the coarsest resolution from which on no other place is tried."""
_FLAT: Final = 0.5
"""Grey levels: a picture that varies less shows nothing."""
_FAINT: Final = 0.02
"""The same of a quarter of the reference, whose deviation as a whole is 1."""
_LIGHT_SHARE: Final = 0.15
"""Of the picture's longer side: what is wider than this is light, not form."""
_FURTHEST_SHARE: Final = 0.3
_FURTHEST_RADIANS: Final = math.radians(20)


@dataclass(frozen=True)
class Place:
    """Where a picture lies against a reference.

    Attributes:
        shift_x: pixels to the right.
        shift_y: pixels down.
        rotation: radians, clockwise as the picture is looked at, about its middle.
        likeness: correlation with the reference once that is undone, -1 to 1.
        part_likeness: that of the quarter of the picture that is least like it.
        facing: how much more it is like the reference than like that mirrored or turned by 180 degrees.
    """

    shift_x: float
    shift_y: float
    rotation: float
    likeness: float
    part_likeness: float = -1.0
    facing: float = 0.0

    def matrix(self, height: int, width: int) -> NDArray[np.float64]:
        """(2, 3): from a point of the reference to that of the picture, both of this size in pixels."""
        cos, sin = math.cos(self.rotation), math.sin(self.rotation)
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        return np.array(
            [
                [cos, -sin, middle_x - cos * middle_x + sin * middle_y + self.shift_x],
                [sin, cos, middle_y - sin * middle_x - cos * middle_y + self.shift_y],
            ]
        )


@dataclass(frozen=True)
class _Level:
    picture: Picture
    weights: Picture
    steepest: NDArray[np.float32]
    """(3, h * w): change of the picture with each parameter, weighted and solved for them."""
    coarser: int


class Reference:
    """A picture that others are registered to.

    Args:
        picture: (h, w) float32 grey, both at least 32; all that is registered to it has this size.
    """

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._levels = [_level(_coarse(picture, coarser), coarser) for coarser in _COARSER]
        finest = self._levels[-1].picture
        self._turned = [finest[::-1, ::-1].copy(), finest[:, ::-1].copy(), finest[::-1].copy()]

    def place(self, picture: Picture) -> Place:
        """Where a picture (h, w) lies. One that shows nothing lies nowhere, and its likeness is 0."""
        if self.picture.shape != picture.shape:
            raise ValueError(f"a picture of {picture.shape}, the reference is {self.picture.shape}")
        level = self._levels[0]
        coarse = _coarse(picture, level.coarser)
        place = _refine(level, coarse, Place(0.0, 0.0, 0.0, 0.0), _STEPS[0])
        if place.likeness < _SURELY:  # parts lie about where they always do, as a rule
            farther = _refine(level, coarse, _by_phase(level, coarse), _STEPS[0])
            place = max(place, farther, key=lambda each: each.likeness)
        for level, steps in zip(self._levels[1:], _STEPS[1:], strict=True):
            coarse = _coarse(picture, level.coarser)
            place = _refine(level, coarse, place, steps)
        laid = laid_onto(coarse, place)
        seen = _standardised(laid, level.weights) * level.weights
        other = max(cv2.sumElems(seen * turned)[0] for turned in self._turned)
        part_likeness = _part_likeness(level, laid)
        return replace(place, part_likeness=part_likeness, facing=place.likeness - other)


def _coarse(picture: Picture, coarser: int) -> Picture:
    height, width = picture.shape
    if coarser > 1:
        size = (max(8, width // coarser), max(8, height // coarser))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    light: Picture = cv2.blur(picture, (_odd(_LIGHT_SHARE * 2 * max(picture.shape)),) * 2)
    return picture - light


def _odd(pixels: float) -> int:
    return 2 * int(pixels / 2) + 1


def _level(picture: Picture, coarser: int) -> _Level:
    height, width = picture.shape
    weights = np.outer(_taper(height), _taper(width)).astype(np.float32)
    weights /= weights.sum()
    picture = _standardised(picture, weights)
    down, right = np.gradient(picture)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    turned = (x - (width - 1) / 2) * down - (y - (height - 1) / 2) * right
    steepest = np.stack([right.ravel(), down.ravel(), turned.ravel()])
    weighted = steepest * weights.ravel()
    hessian = weighted @ steepest.T
    hessian += np.diag(np.diag(hessian)) * 1e-4 + np.eye(3) * 1e-9
    return _Level(picture, weights, (np.linalg.solve(hessian, weighted)).astype(np.float32), coarser)


def _taper(length: int) -> NDArray[np.float64]:
    """Full in the middle and nothing at the ends, where neighbours are missing."""
    return np.clip(np.sin(np.pi * (np.arange(length) + 0.5) / length) * 2.5 - 0.25, 0, 1)


def _standardised(picture: Picture, weights: Picture, flat: float = _FLAT) -> Picture:
    """Of mean 0 and deviation 1; one whose deviation is below `flat` shows nothing, and becomes 0."""
    picture = picture - np.float32(cv2.sumElems(picture * weights)[0])
    deviation = math.sqrt(cv2.sumElems(picture * picture * weights)[0])
    return picture / np.float32(deviation) if deviation > flat else np.zeros_like(picture)


def _by_phase(level: _Level, coarse: Picture) -> Place:
    seen = _standardised(coarse, level.weights)
    window = level.weights / level.weights.max()
    if not seen.any():
        return Place(0.0, 0.0, 0.0, 0.0)
    (x, y), _ = cv2.phaseCorrelate(level.picture * window, seen * window)
    most = max(coarse.shape) * _FURTHEST_SHARE * level.coarser
    right, down = np.clip((x * level.coarser, y * level.coarser), -most, most)
    return Place(float(right), float(down), 0.0, 0.0)


def laid_onto(picture: Laid, place: Place) -> Laid:
    """A picture (h, w), or (h, w, 3), as it would be if it lay as the reference does."""
    height, width = picture.shape[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = place.matrix(height, width)
    laid: Laid = cv2.warpAffine(
        picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return laid


def moved_to(picture: Picture, place: Place) -> Picture:
    """A picture (h, w) that lies as the reference does, as it would be if it lay at a place."""
    height, width = picture.shape
    moved: Picture = cv2.warpAffine(
        picture, place.matrix(height, width), (width, height), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return moved


def _part_likeness(level: _Level, laid: Picture) -> float:
    """Least correlation with the reference of all four quarters."""
    height, width = laid.shape
    rows, columns = (
        (slice(0, height // 2), slice(height // 2, height)),
        (
            slice(0, width // 2),
            slice(width // 2, width),
        ),
    )
    least = 1.0
    for part in ((down, right) for down in rows for right in columns):
        weights = level.weights[part] / cv2.sumElems(level.weights[part])[0]
        here, there = _standardised(laid[part], weights), _standardised(level.picture[part], weights, _FAINT)
        least = min(least, cv2.sumElems(here * there * weights)[0])
    return float(least)


def _refine(level: _Level, coarse: Picture, start: Place, steps: int) -> Place:
    """A place that is better, if there is one near; shifts are in pixels of the finest resolution."""
    height, width = coarse.shape
    best = now = Place(start.shift_x / level.coarser, start.shift_y / level.coarser, start.rotation, -2.0)
    most = max(height, width) * _FURTHEST_SHARE
    for step in range(steps + 1):
        warped = _standardised(laid_onto(coarse, now), level.weights)
        likeness = cv2.sumElems(warped * level.weights * level.picture)[0]
        now = Place(now.shift_x, now.shift_y, now.rotation, likeness)
        if likeness > best.likeness:
            best = now
        if step == steps:
            break
        right, down, turn = level.steepest @ (warped - level.picture).ravel()
        rotation = now.rotation - float(turn)
        cos, sin = math.cos(rotation), math.sin(rotation)
        now = Place(
            now.shift_x - float(cos * right - sin * down), now.shift_y - float(sin * right + cos * down),
            rotation, 0.0,
        )  # fmt: skip
        if max(abs(now.shift_x), abs(now.shift_y)) > most or abs(rotation) > _FURTHEST_RADIANS:
            break
        if abs(right) + abs(down) + abs(turn) * height / 2 < _STILL:
            break
    return Place(best.shift_x * level.coarser, best.shift_y * level.coarser, best.rotation, best.likeness)
