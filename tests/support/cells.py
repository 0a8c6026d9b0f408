"""Real images for tests: the monocrystalline solar cells of the `elpv-dataset` package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from PIL import Image

SMALL_PIXELS: Final = 60
"""Height and width of a picture of `shrink`."""


def cells(*, defective: bool) -> list[Path]:
    """Paths of the cells that are certainly good, or certainly defective, by file name."""
    package = importlib.util.find_spec("elpv_dataset")
    assert package is not None
    assert package.submodule_search_locations is not None
    data = Path(package.submodule_search_locations[0]) / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text().splitlines()]
    wanted = 1.0 if defective else 0.0
    return sorted(
        data / path for path, probability, kind in rows if kind == "mono" and float(probability) == wanted
    )


def link(images: list[Path], folder: Path) -> Path:
    """Make `folder` with links to the images."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        (folder / image.name).symlink_to(image)
    return folder


def shrink(images: list[Path], folder: Path) -> Path:
    """Make `folder` with the images at a fifth of their size.

    The stub looks at their mean alone, and a capture process spends half its time on cells as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in images:
        with Image.open(path) as image:
            image.resize((SMALL_PIXELS, SMALL_PIXELS), Image.Resampling.BOX).save(folder / path.name)
    return folder
