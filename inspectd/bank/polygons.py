"""The judged area of a picture, drawn as named polygons in a JSON file.

    {"unit": "pixels", "width": 640, "height": 480,
     "polygons": {"disc": [[100, 50], [540, 50], [540, 430], [100, 430]]}}

With `"unit": "shares"` points are shares of the picture's width and height, and its size is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.files import open_regular

_MOST_BYTES: Final = 1_000_000
_FINER: Final = 16
"""Pixels across one patch, in which polygons are drawn."""
_SHIFT: Final = 6
"""Binary digits after the point of a drawn coordinate."""
_THINNEST: Final = 1e-9
"""Share of a picture's width below which nothing lies between two sides: they run along each other."""
_EXAMPLE: Final = '{"unit": "shares", "polygons": {"disc": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]}}'

Region = tuple[float, float, float, float]
Point = tuple[float, float]


class _PolygonFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    unit: Literal["shares", "pixels"]
    polygons: Annotated[
        dict[str, Annotated[list[Point], Meta(min_length=3, max_length=1000)]],
        Meta(min_length=1, max_length=100),
    ]
    width: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    height: Annotated[int, Meta(ge=1, le=100_000)] | None = None


@dataclass(frozen=True)
class NamedPolygons:
    """Polygons of one file.

    Attributes:
        path: the file.
        polygons: by name, points (N, 2) float64 as shares of the picture's width and height.
        picture_size: height and width of the pictures they were drawn on, in pixels; None: of any size.
    """

    path: Path
    polygons: dict[str, NDArray[np.float64]]
    picture_size: tuple[int, int] | None


@dataclass(frozen=True)
class JudgedArea:
    """What of every picture is judged.

    Attributes:
        judged: what lies in one of these; None: everything.
        excluded: but not what lies in one of these; None: nothing is taken out.
    """

    judged: NamedPolygons | None
    excluded: NamedPolygons | None

    def patches(self, region: Region | None, height: int, width: int) -> NDArray[np.bool_]:
        """(height, width) bool: the patches of a region of which at least half is judged and not excluded.

        Args:
            region: left, top, width and height as shares of the picture; None: all of it.
            height: of the grid of patches that the region is divided into.
            width: the same.

        Raises:
            InputError: a polygon lies outside of the region.
        """
        area = np.ones((height * _FINER, width * _FINER), bool)
        if self.judged is not None:
            area = _drawn(self.judged, region, *area.shape)
        if self.excluded is not None:  # what lies beyond the judged area takes nothing of it
            area = area & ~_drawn(self.excluded, region, *area.shape)
        share: NDArray[np.float64] = area.reshape(height, _FINER, width, _FINER).mean(axis=(1, 3))
        return share >= 0.5

    def refuse_size(self, height: int, width: int) -> None:
        """Refuse a picture of another size than polygons in pixels were drawn on.

        Raises:
            InputError: it is one.
        """
        for polygons in (self.judged, self.excluded):
            if polygons is not None and polygons.picture_size not in {None, (height, width)}:
                drawn_height, drawn_width = polygons.picture_size or (0, 0)
                raise InputError(
                    f"{polygons.path}: was drawn on pictures of {drawn_width}x{drawn_height}, an image is "
                    f"{width}x{height}; draw it on the bank's own images, or give it in shares"
                )


def read_polygons(path: Path) -> NamedPolygons:
    """The polygons in a file.

    Raises:
        InputError: it cannot be read, or one of them is no polygon within the picture.
    """
    try:
        with open_regular(path) as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path}: has more than {_MOST_BYTES} bytes, expected a few polygons")
    try:
        found = msgspec.json.decode(data, type=_PolygonFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: {error}; expected such as {_EXAMPLE}") from error
    has_size = found.width is not None and found.height is not None
    if (found.unit == "pixels") != has_size or (found.width is None) != (found.height is None):
        raise InputError(
            f"{path}: expected width and height of the picture with the unit pixels, and only with it"
        )
    width, height = found.width or 1, found.height or 1
    polygons = {}
    for name, points in found.polygons.items():
        shares = np.array(points, np.float64) / (width, height)
        problem = _problem(shares)
        if problem:
            raise InputError(f"{path}: polygons.{name[:100]!r}: {problem}")
        polygons[name] = shares
    return NamedPolygons(path, polygons, (height, width) if has_size else None)


def _problem(shares: NDArray[np.float64]) -> str:
    if not np.isfinite(shares).all() or (shares < 0).any() or (shares > 1).any():
        return "has a point outside of the picture"
    if _crosses_itself(shares):
        return "crosses itself, expected its corners in the order in which they follow each other"
    if _goes_round_twice(shares):
        return (
            "goes round some place more than once, expected each corner once; a hole is a polygon of its "
            "own, of those that are excluded"
        )
    x, y = shares.T
    return "" if abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 1e-9 else "has no area"


def _crosses_itself(points: NDArray[np.float64]) -> bool:
    """Whether two sides of a polygon cross; sides that only touch do not."""
    start, end = points, np.roll(points, -1, axis=0)

    def side_of(where: NDArray[np.float64]) -> NDArray[np.float64]:
        """(sides, points): on which side of each side of the polygon points lie."""
        along, to = end - start, where[None] - start[:, None]
        return np.sign(along[:, None, 0] * to[..., 1] - along[:, None, 1] * to[..., 0])

    apart = side_of(start) * side_of(end) < 0
    return bool((apart & apart.T).any())


def _goes_round_twice(points: NDArray[np.float64]) -> bool:
    """Whether a polygon whose sides do not cross goes round some place more than once, in one direction.

    Such a place would count as outside of it, as that of a ring that was written twice.
    """
    start, end = points, np.roll(points, -1, axis=0)
    heights = np.unique(points[:, 1])
    # Between two heights of corners no side begins, ends or changes its place among the others.
    for height in (heights[1:] + heights[:-1]) / 2:
        down = (start[:, 1] < height) & (height < end[:, 1])
        sides = np.flatnonzero(down | ((end[:, 1] < height) & (height < start[:, 1])))
        first, along = start[sides], end[sides] - start[sides]
        across = first[:, 0] + (height - first[:, 1]) / along[:, 1] * along[:, 0]
        order = np.argsort(across)
        rounds = np.cumsum(np.where(down[sides], 1, -1)[order])[:-1]
        if (np.abs(rounds[np.diff(across[order]) > _THINNEST]) > 1).any():
            return True
    return False


def _drawn(polygons: NamedPolygons, region: Region | None, height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool: the pixels of a drawing of the region that lie in a polygon."""
    left, top, across, down = region or (0.0, 0.0, 1.0, 1.0)
    canvas = np.zeros((height, width), np.uint8)
    for name, shares in polygons.polygons.items():
        alone = np.zeros_like(canvas)
        places = (shares - (left, top)) / (across, down) * (canvas.shape[1], canvas.shape[0]) - 0.5
        cv2.fillPoly(alone, [np.rint(places * 2**_SHIFT).astype(np.int32)], 1, shift=_SHIFT)
        if not alone.any():
            raise InputError(f"{polygons.path}: polygons.{name!r}: lies outside of the region (--roi)")
        canvas |= alone
    return canvas > 0
