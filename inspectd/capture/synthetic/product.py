"""How the synthetic line's product and its belt look: a brushed plate with four holes, a ring and a mark.

Every seed shows the same product, so that a bank of one seed's parts judges those of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(H, W, 3) uint8 BGR."""
Floats = NDArray[np.float64]
_Level = TypeVar("_Level", np.uint8, np.int16)
MARK: Final = "IN 4071"
WRONG_MARKS: Final = ("IN 4011", "IN 407", "")
"""A wrong digit, one that is missing, no print at all."""

_BELT: Final = np.array([58, 52, 46], np.float32)
_PLATE: Final = np.array([150, 160, 166], np.float32)
_INK: Final = (96, 46, 30)
_HOLE: Final = (44, 40, 36)
_RIM: Final = (188, 196, 200)
_LOOK_SEED: Final = 20
_SLACK_SHARE: Final = 0.25
"""Of a side: how much larger belt and brushing are than what one picture shows of them."""
_SUBPIXEL_BITS: Final = 6


class Product:
    """Draws parts, all at the same place, in pictures of one size."""

    def __init__(self, width: int, height: int) -> None:
        """Draw what all parts have in common, in pictures of `width` x `height` pixels."""
        self._size = width, height
        self._unit = min(width, height) / 100.0
        rng = np.random.Generator(np.random.SFC64(_LOOK_SEED))
        slack = int(width * _SLACK_SHARE) + 1, int(height * _SLACK_SHARE) + 1
        large = height + slack[1], width + slack[0]
        self._belt = _belt(large, self._unit, rng)
        left, top = round(width * 0.12), round(height * 0.14)
        self.place = (left, top, width - 2 * left, height - 2 * top)
        """Of the plate: column and row of its corner, width and height in pixels."""
        self._plate, self._shape = _plate(self.place, self._unit)
        self._brushing = _brushing(large, self._unit, rng)
        inset = 9 * self._unit
        self.holes = [
            (column, row)
            for row in (top + inset, height - top - inset)
            for column in (left + inset, width - left - inset)
        ]
        """Centres of the holes: column and row in pixels."""
        self.hole_radius = 4 * self._unit
        """In pixels."""
        self._ring = left + 0.32 * self.place[2], height / 2
        self.mark_height = 8 * self._unit
        """Of its capital letters, in pixels."""
        self._mark_at = left + 0.52 * self.place[2], height / 2 + self.mark_height / 2
        self._stroke = max(1, round(0.9 * self._unit))
        letters = max(1, round(self.mark_height))
        self._font_scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, letters)
        (width, _), _ = cv2.getTextSize(MARK, cv2.FONT_HERSHEY_SIMPLEX, self._font_scale, self._stroke)
        self.mark_width = int(width)
        """In pixels."""

    def belt(self, rng: np.random.Generator) -> Pixels:
        """The empty belt, as it lies at some moment."""
        return _cut(self._belt, self._size, rng).copy()

    def part(self, rng: np.random.Generator, *, missing_hole: int | None = None, mark: str = MARK) -> Pixels:
        """A part on the belt; no two are quite alike.

        Args:
            rng: of its brushing, the tolerance of its holes, and where and how strongly it is printed.
            missing_hole: index of a hole that was not drilled.
            mark: printed on it.
        """
        scene = self.belt(rng)
        left, top, width, height = self.place
        plate = cv2.add(self._plate, _cut(self._brushing, (width, height), rng), dtype=cv2.CV_8U)
        cv2.copyTo(plate, self._shape, scene[top : top + height, left : left + width])
        for radius, grey in ((9, 120), (7, 176), (3, 128)):
            _disc(scene, self._ring, radius * self._unit, (grey - 8, grey, grey + 6))
        tolerances = rng.uniform(-1, 1, (4, 3))
        for index, (centre, tolerance) in enumerate(zip(self.holes, tolerances, strict=True)):
            if index != missing_hole:
                at = np.array(centre) + 0.1 * self._unit * tolerance[:2]
                radius = self.hole_radius * (1 + 0.03 * tolerance[2])
                _disc(scene, at, radius * 1.12, _RIM)
                _disc(scene, at, radius, _HOLE)
        self._print(scene, mark, rng.uniform(-0.3, 0.3, 2) * self._unit, rng.uniform(0.85, 1.0))
        return scene

    @property
    def mark_centre(self) -> tuple[float, float]:
        """Column and row."""
        return self._mark_at[0] + self.mark_width / 2, self._mark_at[1] - self.mark_height / 2

    def defect_mask(self, column: float, row: float, width: float, height: float) -> NDArray[np.bool_]:
        """`(H, W)`: the ellipse around a centre, of a width and a height in pixels."""
        mask = np.zeros((self._size[1], self._size[0]), np.uint8)
        axes = max(1, round(width / 2)), max(1, round(height / 2))
        cv2.ellipse(mask, (round(column), round(row)), axes, 0, 0, 360, 255, cv2.FILLED)
        return mask > 0

    def _print(self, scene: Pixels, text: str, moved: Floats, strength: float) -> None:
        edge = self._stroke + 2
        column, row = round(self._mark_at[0] + moved[0]), round(self._mark_at[1] + moved[1])
        top, left = max(0, int(row - self.mark_height) - edge), max(0, column - edge)
        field = scene[top : row + edge, left : left + self.mark_width + 2 * edge]
        printed, at = field.copy(), (column - left, row - top)
        font, stroke = cv2.FONT_HERSHEY_SIMPLEX, self._stroke
        cv2.putText(printed, text, at, font, self._font_scale, _INK, stroke, cv2.LINE_AA)
        cv2.addWeighted(printed, strength, field, 1 - strength, 0, dst=field)


def _disc(
    scene: Pixels, centre: Sequence[float] | Floats, radius: float, colour: tuple[int, int, int]
) -> None:
    """A full disc with a smooth edge; centre and radius to parts of a pixel."""
    one = 1 << _SUBPIXEL_BITS
    at = round(centre[0] * one), round(centre[1] * one)
    cv2.circle(scene, at, round(radius * one), colour, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _belt(size: tuple[int, int], unit: float, rng: np.random.Generator) -> Pixels:
    """A rubber belt with a coarse grain and a weave, of height and width."""
    grain = cv2.GaussianBlur(rng.standard_normal(size, np.float32), (0, 0), max(0.4 * unit, 0.8))
    rows, columns = np.ogrid[: size[0], : size[1]]
    weave = np.sin(columns * (2 * np.pi / (3.2 * unit))) * np.sin(rows * (2 * np.pi / (3.2 * unit)))
    level = 5 * grain / grain.std() + 4 * weave
    belt: Pixels = np.clip(np.rint(_BELT + level[..., None]), 0, 255).astype(np.uint8)
    return belt


def _brushing(size: tuple[int, int], unit: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """`(H, W, 3)`: what brushing adds to a plate's grey levels: long fine lines."""
    lines = cv2.GaussianBlur(
        rng.standard_normal(size, np.float32), (0, 0), sigmaX=6 * unit, sigmaY=max(0.15 * unit, 0.4)
    )
    levels: NDArray[np.int16] = np.rint(5 * lines / lines.std()).astype(np.int16)
    return np.repeat(levels[..., None], 3, axis=2)


def _plate(place: tuple[int, int, int, int], unit: float) -> tuple[Pixels, NDArray[np.uint8]]:
    """The bare plate, lit from the upper left, and `(h, w) uint8` its shape."""
    _, _, width, height = place
    radius = round(6 * unit)
    shape = np.zeros((height, width), np.uint8)
    cv2.rectangle(shape, (radius, 0), (width - 1 - radius, height - 1), 255, cv2.FILLED)
    cv2.rectangle(shape, (0, radius), (width - 1, height - 1 - radius), 255, cv2.FILLED)
    for column in (radius, width - 1 - radius):
        for row in (radius, height - 1 - radius):
            cv2.circle(shape, (column, row), radius, 255, cv2.FILLED)
    light = 6 * (1 - np.linspace(0, 1, height)[:, None] - np.linspace(0, 1, width))
    soft = cv2.GaussianBlur(shape, (0, 0), max(1.2 * unit, 0.8)).astype(np.float32) / 255
    bevel = 150 * (np.roll(soft, -1, (0, 1)) - np.roll(soft, 1, (0, 1)))
    level = _PLATE + (light + np.clip(bevel, -40, 40))[..., None]
    plate: Pixels = np.clip(np.rint(level), 0, 255).astype(np.uint8)
    return plate, shape


def _cut(texture: NDArray[_Level], size: tuple[int, int], rng: np.random.Generator) -> NDArray[_Level]:
    """A piece of a texture, of a width and height, from a place at random."""
    width, height = size
    row = int(rng.integers(texture.shape[0] - height + 1))
    column = int(rng.integers(texture.shape[1] - width + 1))
    return texture[row : row + height, column : column + width]
