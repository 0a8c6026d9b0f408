"""What a frame is like, in a few numbers: light, detail, colour, and place against a reference picture.

Everything is found from a picture of `SIDE` pixels, but for the detail, which is looked at in full
resolution, in tiles where the frame is large: so a frame costs about the same whatever its size.
A picture longer than 3:1 is longer than `SIDE`, so that a turned part is turned in it too, not sheared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.quality.learnt import LEAST_SIDE, MEASURED
from inspectd.quality.registration import Place, laid_onto
from inspectd.records import Measures

SIDE: Final = 96
"""Pixels of the longer side of the picture that is registered, up to 3:1."""
MOST_SIDE: Final = 16 * LEAST_SIDE
"""The same for any: a region longer than 16:1 is shortened to that."""
_DARK: Final = 2
_BRIGHT: Final = 253
_TILE: Final = 128
"""Pixels; a multiple of a JPEG block's 8."""
_TILES: Final = ((0.15, 0.15), (0.15, 0.85), (0.5, 0.5), (0.85, 0.15), (0.85, 0.85))
"""Where they lie in a large frame, as shares of what it is higher and wider than one."""
_LARGE: Final = 8
"""Tiles: a frame that holds so many is not looked at whole."""
_OCTAVES: Final = 4
_BLOCK: Final = 8
_SMOOTH: Final = 0.01
"""Of the energy: no picture of a camera is smoother."""
_NOTHING: Final = 1e-3
"""Grey levels squared: differences of a picture without any detail."""


@dataclass(frozen=True)
class SmallPicture:
    """A frame as it is registered.

    Attributes:
        grey: (h, w) float32.
        colour: (h, w, 3) uint8 BGR; None: the frame is grey.
    """

    grey: NDArray[np.float32]
    colour: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Sighting:
    """All that measures are made of.

    Attributes:
        small: what light, colour and place are found from.
        detail: by name, see `measure_detail`.
        longer_side: of the frame's region, in pixels.
    """

    small: SmallPicture
    detail: dict[str, float]
    longer_side: int

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.uint8],
        corner: tuple[int, int],
        shape: tuple[int, ...] | None = None,
        measured: int = MEASURED,
    ) -> Sighting:
        """Of a frame's region, (H, W), (H, W, 1) or (H, W, 3) uint8 BGR.

        Args:
            pixels: of the region.
            corner: row and column of the frame at which the region begins.
            shape: as of `small_picture`.
            measured: how, see `LearntQuality.measured`.
        """
        detail = measure_detail(pixels, corner if measured > 1 else (0, 0))
        return cls(small_picture(pixels, shape, measured), detail, max(pixels.shape[:2]))

    @property
    def scale(self) -> float:
        """Pixels of the frame to one of the small picture."""
        height, width = self.small.grey.shape
        return self.longer_side / float(max(height, width))


def small_picture(
    pixels: NDArray[np.uint8], shape: tuple[int, ...] | None = None, measured: int = MEASURED
) -> SmallPicture:
    """A frame, (H, W), (H, W, 1) or (H, W, 3) uint8 BGR, with a longer side of `SIDE` pixels or more.

    Args:
        pixels: of the frame.
        shape: (height, width) in pixels that it is to have instead, as its references do.
        measured: how, see `LearntQuality.measured`.
    """
    height, width = pixels.shape[:2]
    size = _small_size(height, width, measured) if shape is None else (shape[1], shape[0])
    if (
        height >= 2 * size[1] and width >= 2 * size[0]
    ):  # every pixel of a large frame would be most of all that this costs
        pixels = cv2.resize(pixels, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_LINEAR)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if small.ndim == 2 or small.shape[2] == 1:
        return SmallPicture(small.reshape(size[1], size[0]).astype(np.float32), None)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    is_grey = (small[..., 0] == small[..., 1]).all() and (small[..., 1] == small[..., 2]).all()
    return SmallPicture(grey, None if is_grey else small)


def _small_size(height: int, width: int, measured: int) -> tuple[int, int]:
    """Width and height of the small picture of a region."""
    scale = SIDE / max(height, width)
    if measured > 1:
        scale = max(scale, LEAST_SIDE / min(height, width))
    across, down = (min(max(LEAST_SIDE, round(side * scale)), MOST_SIDE) for side in (width, height))
    return across, down


def laid_small(small: SmallPicture, place: Place) -> SmallPicture:
    """A small picture as it would be if it lay as the reference does."""
    colour = None if small.colour is None else laid_onto(small.colour, place)
    return SmallPicture(laid_onto(small.grey, place), colour)


def measure_light(
    small: SmallPicture,
    usual_quarters: NDArray[np.float64],
    usual_tint: NDArray[np.float32] | None = None,
) -> dict[str, float]:
    """Light, form and colour of a frame, by the name of the measure.

    Args:
        small: the frame.
        usual_quarters: (4,) see `quarters`, of good images.
        usual_tint: (h, w) see `tint`, of good images; None: they have none, or no one shape.
    """
    grey = small.grey
    found = {
        "mean_grey": cv2.mean(grey)[0],
        "dark_share": cv2.countNonZero(cv2.inRange(grey, 0, _DARK)) / grey.size,
        "bright_share": cv2.countNonZero(cv2.inRange(grey, _BRIGHT, 255)) / grey.size,
    }
    found["faintest_quarter"], found["grain"] = _form(grey)
    found["unevenness"] = float(np.abs(quarters(small) - usual_quarters).max())
    if small.colour is not None:
        blue, green, red, _ = cv2.mean(small.colour)
        whole = max(1.0, blue + green + red)
        found |= {"blue_share": blue / whole, "red_share": red / whole}
        if usual_tint is not None and usual_tint.shape == grey.shape:
            found["tint"] = float((tint(small) * usual_tint).sum() / (usual_tint * usual_tint).sum())
    return found


def tint(small: SmallPicture) -> NDArray[np.float32]:
    """(h, w) how much more blue than red there is at each place of a coloured picture; 1: its mean grey."""
    assert small.colour is not None
    blue, red = cv2.split(small.colour)[::2]
    more: NDArray[np.float32] = (blue.astype(np.float32) - red) / np.float32(
        max(1.0, cv2.mean(small.grey)[0])
    )
    return more


def quarters(small: SmallPicture) -> NDArray[np.float64]:
    """(4,) mean grey of each quarter of the picture, as a share of that of the whole."""
    means = [cv2.mean(quarter)[0] for quarter in _quarters(small.grey)]
    return np.array(means) / max(1.0, sum(means) / 4)


def _quarters(grey: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    height, width = grey.shape
    bands = grey[: height // 2], grey[height // 2 :]
    return [half for band in bands for half in (band[:, : width // 2], band[:, width // 2 :])]


def _form(grey: NDArray[np.float32]) -> tuple[float, float]:
    """Faintest quarter and grain, in octaves.

    The first is the least energy of a quarter's steps down, or to the right, beside those of the whole
    picture: where nothing came, or rows repeat, there are none. The second is that of all steps to the right
    beside those down: it leaps where a picture with a direction is turned.
    """
    down, right = zip(*map(_energies, _quarters(grey)), strict=True)
    least, wholes = math.inf, []
    for direction in (down, right):
        wholes.append(sum(direction) / len(direction) + _NOTHING)
        least = min(least, *((each + _NOTHING) / wholes[-1] for each in direction))
    return math.log2(least), math.log2(wholes[1] / wholes[0])


def _energies(grey: NDArray[np.float32]) -> tuple[float, float]:
    """Mean squared steps down, and to the right."""
    down = cv2.norm(grey[1:], grey[:-1], cv2.NORM_L2SQR)
    right = cv2.norm(grey[:, 1:], grey[:, :-1], cv2.NORM_L2SQR)
    return down / grey.size, right / grey.size


def measure_detail(pixels: NDArray[np.uint8], corner: tuple[int, int]) -> dict[str, float]:
    """Detail of a frame's region, in octaves: exposure does not change it.

    Where a picture is smooth, steps between pixels are half those between pixels of a picture of half the
    size. `fine_detail` and `detail` say how much more there is: they fall without end where it is out of
    focus or smeared. `blocks` says how much larger steps are at the borders of JPEG's blocks than elsewhere.

    Args:
        pixels: of the region, (H, W), (H, W, 1) or (H, W, 3) uint8 BGR.
        corner: row and column of the frame at which it begins: blocks begin at the frame's.
    """
    tiles: list[NDArray[Any]] = [_grey(tile) for tile in _tiles(pixels)]
    rows, columns = (-first % _BLOCK for first in corner)
    steps = [_steps(tile[rows:, columns:]) for tile in tiles]
    across, inside = (sum(each) for each in zip(*steps, strict=True))
    octaves = []
    for _ in range(_OCTAVES):
        steps_down, steps_right = 0.0, 0.0
        for number, tile in enumerate(tiles):
            down, right = _energies(tile)
            steps_down, steps_right = steps_down + down, steps_right + right
            height, width = tile.shape
            if min(height, width) >= 4:
                size = (width // 2, height // 2)
                tiles[number] = cv2.resize(tile.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        octaves.append((steps_down + steps_right) / len(tiles) + _NOTHING)
    return {
        "fine_detail": _unexplained(octaves[0], octaves[1] / 4),
        "detail": _unexplained(octaves[1], octaves[3] / 16),
        "blocks": math.log2((across + _NOTHING) / (inside + _NOTHING)),
    }


def _unexplained(energy: float, if_smooth: float) -> float:
    return math.log2(max(energy / if_smooth - 1, 0.0) + _SMOOTH)


def _steps(tile: NDArray[np.uint8]) -> tuple[float, float]:
    """Squared difference of rows and columns that meet at a border of blocks, and of those in their midst."""
    sides = []
    for first in (_BLOCK - 1, _BLOCK // 2 - 1):
        energy = 0.0
        for lines in (tile, tile.T):
            after, before = lines[first + 1 :: _BLOCK], lines[first:-1:_BLOCK]
            energy += cv2.norm(np.ascontiguousarray(after), np.ascontiguousarray(before), cv2.NORM_L2SQR)
        sides.append(energy)
    return sides[0], sides[1]


def _tiles(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The whole frame, or parts spread over a large one."""
    height, width = pixels.shape[:2]
    if height * width < _LARGE * _TILE**2 or min(height, width) < _TILE:
        return [pixels]
    corners = [
        (int(down * (height - _TILE)) // _BLOCK * _BLOCK, int(right * (width - _TILE)) // _BLOCK * _BLOCK)
        for down, right in _TILES
    ]
    return [pixels[top : top + _TILE, left : left + _TILE] for top, left in corners]


def _grey(tile: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if tile.ndim == 3 and tile.shape[2] == 3:
        tile = cv2.cvtColor(tile, cv2.COLOR_BGR2GRAY)
    return tile.reshape(tile.shape[:2])


def measures_of(found: dict[str, float], place: Place | None, scale: float) -> Measures:
    """All measures in one record.

    Args:
        found: light and detail, by name.
        place: of the small picture; None: it was not registered.
        scale: pixels of the frame to one of the small picture.
    """
    if place is None:
        return Measures(**found)
    return Measures(
        **found,
        shift_x_px=place.shift_x * scale,
        shift_y_px=place.shift_y * scale,
        rotation_degrees=math.degrees(place.rotation),
        likeness=place.likeness,
        part_likeness=place.part_likeness,
        facing=place.facing,
    )
