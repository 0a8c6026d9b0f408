"""Image files: finding and reading them."""

from __future__ import annotations

from collections.abc import Iterator
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


def video_frames(path: Path, count: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Up to `count` frames spread evenly over a video, each with a name.

    Raises:
        InputError: it cannot be opened, or says not how long it is.
    """
    video = cv2.VideoCapture(str(path))
    try:
        length = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
        if length < 1:
            raise InputError(f"video {path}: cannot be opened as a video file")
        wanted = set(np.linspace(0, length - 1, min(count, length)).astype(int).tolist())
        for index in range(length):
            if not video.grab():
                return
            if index in wanted:
                read, frame = video.retrieve()
                if read:
                    yield f"{path}#{index}", np.asarray(frame, dtype=np.uint8)
    finally:
        video.release()
