"""Two data sets made of another one, for which the usual settings of a bank are not made; see `make_sets`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.files import write_bytes

Image = NDArray[np.uint8]
SIDE = 256
"""Height and width of the images that are made, in pixels."""
_TEXTURE = 112
_LARGEST_DEFECT = 0.1
"""Of the image's side, where parts are placed at random."""
_TRIES = 50


def make_sets(tiles: Path, out: Path, seed: int, step: Callable[[str, int, int], None]) -> None:
    """Write `parts` and `texture` below `out`, each laid out like MVTec AD, of such a folder with masks.

    `parts`: a disc, bar or polygon cut out of an image, turned and placed at random on a background that
    differs. No two parts are alike, and a place means nothing. Defects are at most a tenth as long as the
    image. `texture`: crops from anywhere. Training images come from `train/good`, good test images from
    `test/good`, the others from the images with masks, so nothing is seen twice.
    """
    makers = {"parts": _part, "texture": _texture}
    for name, make in makers.items():
        folder = out / name
        for where, sources, each in (
            ("train/good", _pictures(tiles / "train/good"), 1),
            ("test/good", _pictures(tiles / "test/good"), 1),
            ("test/defective", _with_masks(tiles), 3),
        ):
            images = list(sources)
            for row, (image, mask) in enumerate(images):
                step(f"{name} {where}", row + 1, len(images))
                for copy in range(each):
                    generator = np.random.default_rng([seed, len(where), row, copy])
                    made = make(image, mask, generator)
                    if made is not None:
                        encoded = cv2.imencode(".png", made)[1].tobytes()
                        (folder / where).mkdir(parents=True, exist_ok=True)
                        write_bytes(folder / where / f"{row:03d}-{copy}.png", encoded)


def _pictures(folder: Path) -> Iterator[tuple[Image, Image | None]]:
    for path in sorted(folder.iterdir()):
        yield _read(path), None


def _with_masks(tiles: Path) -> Iterator[tuple[Image, Image | None]]:
    for path in sorted((tiles / "ground_truth").glob("*/*_mask.*")):
        label, name = path.parent.name, path.stem.removesuffix("_mask")
        if label != "uneven":  # which is the whole surface
            (picture,) = (tiles / "test" / label).glob(f"{name}.*")
            yield _read(picture), _read(path)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SystemExit(f"{path}: cannot be read as an image")
    return np.asarray(image, dtype=np.uint8)


def _part(image: Image, mask: Image | None, generator: np.random.Generator) -> Image | None:
    """A shape cut out of an image, turned, scaled and placed at random; None: the defect does not fit."""
    for _ in range(_TRIES):
        size = generator.uniform(0.3, 0.5) * SIDE
        scale = generator.uniform(0.8, 1.2)
        turn = cv2.getRotationMatrix2D((0.0, 0.0), generator.uniform(0, 360), scale)
        margin = size / 2
        centre = generator.uniform(margin, SIDE - margin, 2)
        source = _source(image, mask, size / scale, generator)
        turn[:, 2] = centre - turn[:, :2] @ source
        shape = _shape(size, centre, generator)
        covered = cv2.warpAffine(np.full_like(image, 255), turn, (SIDE, SIDE), flags=cv2.INTER_NEAREST)
        if (covered[shape > 0] == 0).any():
            continue
        if mask is not None:
            defect = cv2.warpAffine(mask, turn, (SIDE, SIDE), flags=cv2.INTER_NEAREST) > 127
            inside = defect & (cv2.erode(shape, np.ones((5, 5), np.uint8)) > 0)
            if (
                inside.sum() < 12
                or (defect & (shape > 0) & ~inside).any()
                or _extent(inside) > _LARGEST_DEFECT * SIDE
            ):
                continue
        pixels = cv2.warpAffine(image, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR).astype(float)
        soft = cv2.GaussianBlur(shape.astype(float) / 255, (0, 0), 0.7)
        mixed = soft * pixels + (1 - soft) * _background(generator)
        noisy = np.rint(mixed + generator.normal(0, 1.5, mixed.shape))
        return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)
    return None


def _source(
    image: Image, mask: Image | None, size: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Column and row of the part's centre in its image: anywhere, or near a defect."""
    height, width = image.shape
    if mask is None:
        return generator.uniform(0, 1, 2) * (width, height)
    rows, columns = np.nonzero(mask > 127)
    if not len(rows):
        return np.array([width / 2, height / 2])
    at = generator.integers(len(rows))
    return np.array([columns[at], rows[at]]) + generator.uniform(-0.3, 0.3, 2) * size


def _shape(size: float, centre: NDArray[np.float64], generator: np.random.Generator) -> Image:
    """(SIDE, SIDE) uint8, 255 within a disc, a bar or a polygon."""
    shape = np.zeros((SIDE, SIDE), dtype=np.uint8)
    corners = int(generator.choice([4, 5, 6, 40]))
    angles = generator.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(corners) / corners
    radii = size / 2 * (np.ones(corners) if corners == 40 else generator.uniform(0.75, 1.0, corners))
    points = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(shape, [np.rint(points).astype(np.int32)], 255)
    return shape


def _background(generator: np.random.Generator) -> NDArray[np.float64]:
    """(SIDE, SIDE) grey levels: a slope, some unevenness."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    slope = generator.uniform(-50, 50) * rows + generator.uniform(-50, 50) * columns
    rough = cv2.GaussianBlur(generator.normal(0, 1, (SIDE, SIDE)), (0, 0), generator.uniform(4, 24))
    rough = generator.uniform(0, 12) * rough / rough.std()
    return np.asarray(generator.uniform(40, 200) + slope + rough)


def _extent(mask: NDArray[np.bool_]) -> float:
    rows, columns = np.nonzero(mask)
    return float(max(np.ptp(rows), np.ptp(columns)) + 1)


def _texture(image: Image, mask: Image | None, generator: np.random.Generator) -> Image | None:
    """A crop from anywhere, or with a defect in it, enlarged; None: the defect does not fit."""
    height, width = image.shape
    side = min(_TEXTURE, height, width)
    for _ in range(_TRIES):
        row, column = generator.integers(height - side + 1), generator.integers(width - side + 1)
        window = (slice(row, row + side), slice(column, column + side))
        if mask is not None and not 25 <= (mask[window] > 127).sum() <= side * side / 8:
            continue
        turned = np.rot90(image[window], int(generator.integers(4)))
        larger = cv2.resize(np.ascontiguousarray(turned), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        return np.asarray(larger, dtype=np.uint8)
    return None
