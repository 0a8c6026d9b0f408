"""Pictures for people: heatmaps laid over images, and sheets of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.errors import UnavailableError
from inspectd.pictures.channels import as_bgr
from inspectd.pictures.region import Region, pixels_of

TILE_PIXELS: Final = 220
_COLUMNS: Final = 6
"""Tiles in a row of a contact sheet."""
_GAP_PIXELS: Final = 12
_CAPTION_PIXELS: Final = 40
_TITLE_PIXELS: Final = 44
_BACKGROUND: Final = (250, 250, 250)
_INK: Final = (40, 40, 40)
_FAINT: Final = (120, 120, 120)
_OPACITY: Final = 0.65
_DARKEST_COLOUR: Final = 90
"""The colour map's first entries are near black, which could not be seen on a dark part."""


class Tile(msgspec.Struct, frozen=True):
    """One picture of a sheet.

    Attributes:
        image: `(H, W, 3) uint8 BGR`.
        captions: one or two lines under it.
        frame: colour of its frame, BGR.
    """

    image: NDArray[np.uint8]
    captions: tuple[str, ...]
    frame: tuple[int, int, int]


def overlay(
    image: NDArray[np.uint8],
    heatmap: NDArray[np.floating],
    scale: tuple[float, float],
    size: int = TILE_PIXELS,
    region: Region | None = None,
) -> NDArray[np.uint8]:
    """Lay a heatmap over its image.

    Args:
        image: `(H, W, 3) uint8 BGR` or `(H, W, 1)`.
        heatmap: `(h, w)` patch scores, of any floating type.
        scale: up to the first score the image stays unchanged, from the second on it has the full colour.
            The same scale on every picture gives the same score the same colour.
        size: edge of the square result in pixels.
        region: the part of the image that the heatmap lies over; None: all of it. The rest stays unchanged.

    Returns:
        `(size, size, 3) uint8 BGR`.
    """
    base = cv2.resize(as_bgr(image), (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    clear, full = scale
    scores = laid_over(heatmap, region, size, size, outside=clear)
    strength = np.clip((scores - clear) / max(full - clear, 1e-12), 0.0, 1.0)
    levels = (_DARKEST_COLOUR + strength * (255 - _DARKEST_COLOUR)).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO).astype(np.float32)
    alpha = (_OPACITY * np.sqrt(strength))[:, :, None]
    mixed: NDArray[np.uint8] = (base * (1 - alpha) + colours * alpha).astype(np.uint8)
    return mixed


def laid_over(
    heatmap: NDArray[np.floating], region: Region | None, height: int, width: int, *, outside: float
) -> NDArray[np.float32]:
    """A heatmap stretched over its part of a picture, bilinearly.

    Args:
        heatmap: (h, w) patch scores, of any floating type.
        region: the part of the picture that was scored; None: all of it.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        outside: what the picture has where nothing was scored.

    Returns:
        (height, width) float32.
    """
    rows, columns = pixels_of(region, height, width)
    laid = np.full((height, width), outside, np.float32)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    laid[rows, columns] = cv2.resize(heatmap.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return laid


def contact_sheet(sections: Sequence[tuple[str, Sequence[Tile]]]) -> NDArray[np.uint8]:
    """Titled rows of tiles on one page, `(H, W, 3) uint8 BGR`.

    Args:
        sections: a title and its tiles, from top to bottom.
    """
    width = _COLUMNS * (TILE_PIXELS + _GAP_PIXELS) + _GAP_PIXELS
    return np.vstack([_section(title, tiles, width) for title, tiles in sections])


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write `(H, W, 3) uint8 BGR` in the format that `path`'s suffix names, as a whole or not at all.

    Folders on the way are made.

    Raises:
        UnavailableError: it cannot be written.
    """
    done, data = cv2.imencode(path.suffix, image)
    assert done, f"OpenCV cannot encode {path.suffix}"
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data.tobytes())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from error


def _section(title: str, tiles: Sequence[Tile], width: int) -> NDArray[np.uint8]:
    rows = -(-len(tiles) // _COLUMNS)
    row_pixels = TILE_PIXELS + _CAPTION_PIXELS + _GAP_PIXELS
    page = np.full((_TITLE_PIXELS + rows * row_pixels, width, 3), _BACKGROUND, np.uint8)
    _text(page, title, (_GAP_PIXELS, 30), 0.7, _INK)
    for index, tile in enumerate(tiles):
        top = _TITLE_PIXELS + index // _COLUMNS * row_pixels
        left = _GAP_PIXELS + index % _COLUMNS * (TILE_PIXELS + _GAP_PIXELS)
        bottom, right = top + TILE_PIXELS, left + TILE_PIXELS
        page[top:bottom, left:right] = cv2.resize(tile.image, (TILE_PIXELS, TILE_PIXELS))
        cv2.rectangle(page, (left, top), (right - 1, bottom - 1), tile.frame, 2)
        for line, caption in enumerate(tile.captions):
            colour = _INK if line == 0 else _FAINT
            _text(page, caption, (left + 2, bottom + 16 + 17 * line), 0.42, colour)
    return page


def _text(
    page: NDArray[np.uint8], text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int]
) -> None:
    cv2.putText(page, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
