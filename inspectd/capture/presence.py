"""Knows the empty belt from pictures of it, so that it is not inspected. In doubt there is a part.

A picture is divided into cells. Of each the mean colour and the roughness are compared with what the pictures
of the empty belt have there, once the light is evened out: one factor for the whole picture, which must lie
within what the settings allow. So it goes with cells of five sizes. The cell that differs most decides; the
limit for each size comes from the empty pictures themselves: what they reach while they are left out of the
comparison, and a margin.

So a part is overlooked only if no cell of it differs from the belt in colour or roughness by more than the
belt itself does. What is unlike the pictures in any other way (dirt, a shadow, another light) is inspected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.config import Camera
from inspectd.errors import InputError
from inspectd.pictures.depth import PictureError
from inspectd.pictures.folder import list_pictures
from inspectd.pictures.reading import decode_recorded, read_bytes

FEWEST_PICTURES: Final = 10
MOST_PICTURES: Final = 500
_CELLS_ACROSS: Final = 48
_MOST_CELLS_DOWN: Final = 96
_CELL_SIZES: Final = 5
"""Each twice as large as the one before: what hardly shows in a small cell may in a large one."""
_TWELFTH: Final = 2
"""Which of the sizes has twelve cells across."""
_LOOKED_AT_A_SIDE: Final = 240
_MARGIN: Final = 1.25
_ODD: Final = 2.5
"""An empty picture that differs so many times as much as half of the others may show a part."""
_FOLDS: Final = 5
_LEAST_GREY: Final = 2.0
_LEAST_SHARE: Final = 0.02
_ROBUST: Final = 1.4826


class PresenceError(InputError):
    """The pictures of the empty belt cannot be used; the message names the folder, or the picture."""


@dataclass(frozen=True)
class _Usual:
    """What cells of the empty belt look like: median and spread, (rows, columns, features) float32."""

    level: NDArray[np.float32]
    spread: NDArray[np.float32]

    @staticmethod
    def of(cells: NDArray[np.float32]) -> _Usual:
        """Of (N, rows, columns, features) float32, N pictures."""
        level = np.median(cells, axis=0)
        robust = _ROBUST * np.median(np.abs(cells - level), axis=0)
        floor = _LEAST_GREY + _LEAST_SHARE * level
        # Pictures are few, so a cell's neighbours say more of how much it varies than it does alone.
        return _Usual(level, np.maximum(cv2.blur(robust, (3, 3)).reshape(robust.shape), floor))

    def difference(self, cells: NDArray[np.float32]) -> float:
        """Spreads by which the cell that differs most does so."""
        return float((np.abs(cells - self.level) / self.spread).max())


class EmptyBelt:
    """What the empty belt looks like.

    Args:
        pictures: of it, each with its name; `(H, W, 1 or 3) uint8 BGR`, all of one size.
        light_change: share by which the light may differ from what it was on these pictures.

    Attributes:
        size: height and width of the pictures.
        light_limits: darkest and brightest light that is allowed, 1 is what it mostly was.

    Raises:
        PresenceError: they are too few, or one is unlike the others.
    """

    def __init__(self, pictures: Iterable[tuple[str, NDArray[np.uint8]]], light_change: float) -> None:
        names: list[str] = []
        of_pictures: list[NDArray[np.float32]] = []  # a picture itself may have 30 MB, and 500 may come
        self.size: tuple[int, ...] = ()
        for name, pixels in pictures:
            if names and pixels.shape[:2] != self.size:
                raise PresenceError(
                    f"{name}: is {_size(pixels.shape)}, {names[0]} is {_size(self.size)}, expected one size"
                )
            self.size = pixels.shape[:2]
            names.append(name)
            of_pictures.append(_cells(pixels))
        _refuse_number(len(names))
        found = np.stack(of_pictures)
        self._reference = np.median(found, axis=0)
        lights = np.array([self._light(cells) for cells in found], np.float32)
        self.light_limits = (
            float(lights.min()) / (1 + light_change),
            float(lights.max()) * (1 + light_change),
        )
        self._sizes: list[tuple[_Usual, float]] = []
        pooled = found / lights[:, None, None, None]
        for size in range(_CELL_SIZES):
            held_out = _held_out(pooled)
            _refuse_odd(names, held_out)
            self._sizes.append((_Usual.of(pooled), max(1.0, _MARGIN * float(held_out.max()))))
            pooled = np.stack([_pooled(cells) for cells in pooled]) if size + 1 < _CELL_SIZES else pooled

    def difference(self, pixels: NDArray[np.uint8]) -> float:
        """How much a picture differs from the empty belt; above 1 it shows a part.

        Infinite where the light, or the picture's size, is another than it may be.
        """
        if pixels.shape[:2] != self.size:
            return float("inf")
        cells = _cells(pixels)
        light = self._light(cells)
        if not self.light_limits[0] <= light <= self.light_limits[1]:
            return float("inf")
        cells = cells / light
        found = 0.0
        for usual, limit in self._sizes:
            found = max(found, usual.difference(cells) / limit)
            cells = _pooled(cells)
        return found

    def is_in(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether a picture certainly shows the empty belt."""
        return self.difference(pixels) <= 1.0

    @property
    def hidden_grey_levels(self) -> float:
        """So much brighter or darker than the belt a part may be, and be taken for it where that varies most.

        Of parts that are a sixth of the picture wide and high, so that they fill a cell of a twelfth.
        """
        usual, limit = self._sizes[_TWELFTH]
        return limit * float(usual.spread[..., :-1].min(axis=2).max())

    def _light(self, cells: NDArray[np.float32]) -> float:
        """The factor by which most of a picture is brighter than usual."""
        levels, usual = cells[..., :-1], self._reference[..., :-1]
        return float(np.median((levels + 1) / (usual + 1)))


def _refuse_number(pictures: int) -> None:
    if not FEWEST_PICTURES <= pictures <= MOST_PICTURES:
        raise PresenceError(
            f"{pictures} pictures of the empty belt, expected {FEWEST_PICTURES} to {MOST_PICTURES}; take "
            "them over a whole turn of the belt"
        )


def _refuse_odd(names: Sequence[str], held_out: NDArray[np.float64]) -> None:
    limit = max(1.0, _ODD * float(np.median(held_out)))
    worst = int(held_out.argmax())
    if held_out[worst] > limit:
        raise PresenceError(
            f"{names[worst]}: differs {held_out[worst]:.1f} from the other pictures of the empty belt, "
            f"expected at most {limit:.1f}; if it shows a part, or dirt, remove it; if the belt looks so "
            "now and then, take more pictures of it"
        )


def read_empty_belt(
    camera: Camera,
    beat: Callable[[], None] = lambda: None,
    read: Callable[[Path], NDArray[np.uint8]] = read_bytes,
) -> EmptyBelt | None:
    """The empty belt by the pictures in the folder that a camera's settings name; None: they name none.

    Args:
        camera: the settings.
        beat: called now and then, as reading takes long.
        read: the bytes of each file, once each.

    Raises:
        PresenceError: they cannot be used; the message begins with the folder.
    """
    settings = camera.presence
    if settings.empty_folder is None:
        return None
    folder = Path(settings.empty_folder)
    paths = list_empty_belt(folder, beat)
    try:
        _refuse_number(len(paths))
        pictures = (_read(path, read, beat, camera.bit_depth) for path in paths)
        return EmptyBelt(pictures, settings.light_change)
    except PresenceError as error:
        raise PresenceError(f"{folder}: {error}") from error


def list_empty_belt(folder: Path, beat: Callable[[], None]) -> list[Path]:
    """The pictures in a folder of the empty belt, in path order.

    Raises:
        PresenceError: there are none; the message begins with the folder.
    """
    try:
        return list_pictures(folder, beat).pictures
    except InputError as error:
        raise PresenceError(str(error)) from error


def _read(
    path: Path, read: Callable[[Path], NDArray[np.uint8]], beat: Callable[[], None], bit_depth: int
) -> tuple[str, NDArray[np.uint8]]:
    beat()
    try:
        return path.name, decode_recorded(read(path), bit_depth)
    except PictureError as error:
        raise PresenceError(f"{path.name}: {error}") from error


def _cells(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean blue, green and red, and roughness, of each cell: (rows, columns, 4) float32."""
    step = max(1, min(pixels.shape[:2]) // _LOOKED_AT_A_SIDE)
    height, width = pixels.shape[0] // step, pixels.shape[1] // step
    whole = pixels[: height * step, : width * step]  # in whole steps OpenCV is many times as fast
    looked_at = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA) if step > 1 else whole
    across = min(_CELLS_ACROSS, width)
    size = (across, max(1, min(_MOST_CELLS_DOWN, height, round(across * height / width))))
    grey = cv2.cvtColor(looked_at, cv2.COLOR_BGR2GRAY) if pixels.shape[2] == 3 else looked_at
    # Once smoothed, so that the belt counts and the sensor's noise does not.
    smooth = cv2.blur(grey, (3, 3)).astype(np.float32)
    variance = _shrunk(smooth * smooth, size) - _shrunk(smooth, size) ** 2
    means = np.broadcast_to(_shrunk(looked_at, size), (size[1], size[0], 3))
    return np.concatenate([means, np.sqrt(np.maximum(variance, 0))], axis=2)


def _shrunk(picture: NDArray[np.uint8] | NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    shrunk = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.float32).reshape(size[1], size[0], -1)


def _pooled(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cells of twice the size, (rows / 2, columns / 2, features) float32, of each the mean."""
    rows, columns = (max(1, side // 2) for side in cells.shape[:2])
    return _shrunk(cells, (columns, rows))


def _held_out(cells: NDArray[np.float32]) -> NDArray[np.float64]:
    """Difference (N,) of each picture from the others, by a comparison that has not seen it."""
    fold = np.arange(len(cells)) % _FOLDS
    found = np.zeros(len(cells))
    for number in range(_FOLDS):
        usual = _Usual.of(cells[fold != number])
        found[fold == number] = [usual.difference(each) for each in cells[fold == number]]
    return found


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
