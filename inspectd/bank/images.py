"""Image files: finding and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})


def find_images(folder: Path) -> list[Path]:
    """All image files below a folder, in path order.

    Raises:
        InputError: there is no such folder, or it has no images.
    """
    if not folder.is_dir():
        raise InputError(f"folder {folder}: not found, expected a folder of images")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise InputError(
            f"folder {folder}: has no images, expected files ending in {', '.join(sorted(SUFFIXES))}"
        )
    return found


def read_image(path: Path) -> NDArray[np.uint8] | None:
    """The image as (H, W, 3) uint8 BGR, or None where it cannot be read."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    return image
