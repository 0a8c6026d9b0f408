"""The synthetic line: part number k of a seed is always the same picture, with what is true about it.

A pure function of the settings and the number: neither the frame rate nor what was shown before matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.capture.synthetic.product import WRONG_MARKS, Pixels, Product
from inspectd.config import SyntheticCamera
from inspectd.evaluation.synthetic import paste

GOOD: Final = "good"
EMPTY: Final = "empty"
_SIZE_SHARES: Final = {
    "scratch": (0.08, 0.25),
    "spot": (0.02, 0.05),
    "stain": (0.05, 0.14),
    "dent": (0.05, 0.14),
}
"""Smallest and largest extent of a defect as shares of the picture's shorter side."""
_CONTRASTS: Final = (0.15, 0.45)
"""Smallest and largest change of grey by a defect, as a share of the whole range."""
_FLICKER: Final = 0.01
"""Standard deviation of the light from one picture to the next, as a share."""
_BYTE_VALUES: Final = 256


@dataclass(frozen=True)
class Shown:
    """One picture of the line and what is true about it.

    Attributes:
        pixels: `(H, W, 3) uint8 BGR`.
        label: `good`, `empty` for a belt without a part, or the kind of its defect.
        source: `synthetic#SEED/NUMBER/LABEL`, of a defect with `,COLUMN,ROW,SIZE` of its centre and its
            largest extent, in pixels.
        mask: `(H, W) bool`, the pixels of the defect; None: there is none.
    """

    pixels: Pixels
    label: str
    source: str
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class _Scene:
    """What lies before the camera: the centre of its defect, how large it is, and which pixels it covers."""

    pixels: Pixels
    mask: NDArray[np.bool_] | None = None
    centre: tuple[float, float] = (0.0, 0.0)
    size: float = 0.0


class SyntheticLine:
    """Shows parts by their numbers."""

    def __init__(self, settings: SyntheticCamera) -> None:
        """Show what `settings` say."""
        self._settings = settings
        self._product = Product(settings.width, settings.height)
        normal = NormalDist(0.0, 1.0)
        quantiles = [normal.inv_cdf((level + 0.5) / _BYTE_VALUES) for level in range(_BYTE_VALUES)]
        self._noise = np.clip(np.rint(np.array(quantiles) * settings.noise), -127, 127).astype(np.int8)

    def show(self, number: int, label: str | None = None) -> Shown:
        """The picture of a number.

        Args:
            number: from 1.
            label: to show instead of what chance says: `good`, `empty` or the kind of a defect.
        """
        settings = self._settings
        rng = np.random.Generator(np.random.SFC64([settings.seed, number]))
        # Drawn whatever is shown, so that all else about a part stays the same.
        is_gap, is_defective, which = rng.random(3)
        if label is None:
            label = GOOD
            if is_gap < settings.gap_rate:
                label = EMPTY
            elif settings.defects and is_defective < settings.defect_rate:
                label = settings.defects[int(which * len(settings.defects))]
        moved = self._moved(number, rng)
        scene = self._scene(label, rng)
        pixels = self._seen(scene.pixels, moved, number, rng)
        name = f"synthetic#{settings.seed}/{number}/{label}"
        if scene.mask is None:
            return Shown(pixels, label, name)
        mask = cv2.warpAffine(scene.mask.astype(np.uint8), moved, self._size, flags=cv2.INTER_NEAREST) > 0
        column, row = moved @ np.array([*scene.centre, 1.0])
        return Shown(pixels, label, f"{name},{column:.0f},{row:.0f},{scene.size:.0f}", mask)

    @property
    def _size(self) -> tuple[int, int]:
        return self._settings.width, self._settings.height

    def _drifted(self, number: int) -> float:
        """How far everything that drifts has gone, 0 to 1 and back within `drift_frames`."""
        return (1 - math.cos(2 * math.pi * number / self._settings.drift_frames)) / 2

    def _moved(self, number: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """`(2, 3)`: where a part's pixels lie in the picture."""
        settings = self._settings
        right, down, turn = rng.uniform(-1, 1, 3) * (
            settings.shift_px,
            settings.shift_px,
            settings.turn_degrees,
        )
        centre = (settings.width - 1) / 2, (settings.height - 1) / 2
        moved: NDArray[np.float64] = cv2.getRotationMatrix2D(centre, float(turn), 1.0)
        moved[:, 2] += right + settings.shift_drift_px * self._drifted(number), down
        return moved

    def _scene(self, label: str, rng: np.random.Generator) -> _Scene:
        product = self._product
        if label == EMPTY:
            return _Scene(product.belt(rng))
        if label == "missing_hole":
            hole = int(rng.integers(len(product.holes)))
            centre, size = product.holes[hole], 2 * product.hole_radius
            mask = product.defect_mask(*centre, size, size)
            return _Scene(product.part(rng, missing_hole=hole), mask, centre, size)
        if label == "wrong_print":
            mark = WRONG_MARKS[int(rng.integers(len(WRONG_MARKS)))]
            centre, size = product.mark_centre, product.mark_width
            mask = product.defect_mask(*centre, size, 1.5 * product.mark_height)
            return _Scene(product.part(rng, mark=mark), mask, centre, size)
        part = product.part(rng)
        if label == GOOD:
            return _Scene(part)
        size = rng.uniform(*_SIZE_SHARES[label]) * min(self._size)
        left, top, width, height = product.place
        centre = left + rng.uniform(0.1, 0.9) * width, top + rng.uniform(0.1, 0.9) * height
        pasted = paste(part, label, max(size, 1.0), rng.uniform(*_CONTRASTS), place=centre, generator=rng)
        return _Scene(pasted.image, pasted.mask, centre, size)

    def _seen(
        self, scene: Pixels, moved: NDArray[np.float64], number: int, rng: np.random.Generator
    ) -> Pixels:
        """A scene through optics, light and sensor."""
        settings, drifted = self._settings, self._drifted(number)
        pixels = cv2.warpAffine(
            scene, moved, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        blur_px = settings.blur_px + settings.blur_drift_px * drifted
        if blur_px > 0:
            pixels = cv2.GaussianBlur(pixels, (0, 0), blur_px)
        light = (1 + settings.light_drift * drifted) * (1 + _FLICKER * rng.standard_normal())
        pixels = cv2.convertScaleAbs(pixels, alpha=max(0.0, light))
        if not settings.colour:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        noise = cv2.LUT(rng.integers(0, _BYTE_VALUES, pixels.shape, np.uint8), self._noise)
        pixels = cv2.add(pixels, noise, dtype=cv2.CV_8U)
        shown: Pixels = pixels if settings.colour else cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
        return shown
