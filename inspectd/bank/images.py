"""Image files and videos as the bank's commands read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.pictures.depth import EIGHT_BITS, PictureError
from inspectd.pictures.folder import list_pictures
from inspectd.pictures.reading import read_picture


def find_images(folder: Path) -> list[Path]:
    """All pictures of parts below a folder, in path order; `list_pictures` says what else lies there.

    Raises:
        InputError: there is no such folder, or it has no images.
    """
    return list_pictures(folder).pictures


def read_image(path: Path, bit_depth: int = EIGHT_BITS) -> NDArray[np.uint8] | None:
    """The image as (H, W, 3) uint8 BGR, or None where it cannot be read; `read_picture` says why."""
    try:
        return read_picture(path, bit_depth)
    except PictureError:
        return None


def named_image(path: Path, bit_depth: int) -> tuple[str, NDArray[np.uint8] | str]:
    """An image's name and its pixels, (H, W, 3) uint8 BGR, or why it cannot be used."""
    try:
        return str(path), read_picture(path, bit_depth)
    except PictureError as error:
        return str(path), str(error)


def video_frames(path: Path, count: int) -> Iterator[tuple[str, NDArray[np.uint8] | str]]:
    """Up to `count` frames spread evenly over a video, each with a name; and why any is left out.

    Where the header does not say how many frames there are, they are counted. Where it says more than can be
    read, the file was cut: that is told under the file's own name, its last frame is left out, as decoders
    complete a torn one, and others stand for those that are missing.

    Raises:
        InputError: it cannot be opened, or holds no frame.
    """
    stated = _stated_length(path)
    length = stated if stated > 0 else _counted(path)
    if length < 1:
        raise InputError(f"video {path}: cannot be opened as a video file, or holds no frame")
    wanted = _spread(range(length), count)
    found = 0
    held: tuple[int, NDArray[np.uint8]] | None = None
    for index, frame in _chosen(path, wanted, length):
        if held is not None:
            yield f"{path}#{held[0]}", held[1]
        found, held = index + 1, None if frame is None else (index, frame)
    is_cut = found < length or stated < 1
    if not is_cut:
        if held is not None:
            yield f"{path}#{held[0]}", held[1]
        return
    last = found - 1
    if found < length:
        yield str(path), f"ends after {found} of the {length} frames that its header names"
    if held is not None:
        yield f"{path}#{last}", "is the last frame of a file whose end is not known, and may be torn"
    taken = {index for index in wanted if index < last}
    spare = [index for index in range(last) if index not in taken]
    for index, frame in _chosen(path, _spread(spare, count - len(taken)), last):
        if frame is not None:
            yield f"{path}#{index}", frame


def _spread(indices: Sequence[int], count: int) -> set[int]:
    """Up to `count` of the indices, evenly spread."""
    if not indices or count < 1:
        return set()
    places = np.linspace(0, len(indices) - 1, min(count, len(indices))).astype(int)
    return {indices[place] for place in places}


def _stated_length(path: Path) -> int:
    """How many frames a video's header names; below 1 where it does not."""
    with _opened(path) as video:
        return int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0


def _counted(path: Path) -> int:
    with _opened(path) as video:
        frames = 0
        while video.grab():
            frames += 1
        return frames


def _chosen(path: Path, wanted: set[int], most: int) -> Iterator[tuple[int, NDArray[np.uint8] | None]]:
    """Every frame of a video with its index, up to `most`; only the wanted ones are decoded."""
    with _opened(path) as video:
        for index in range(most):
            if not video.grab():
                return
            read, frame = video.retrieve() if index in wanted else (False, None)
            yield index, np.asarray(frame, np.uint8) if read else None


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture(str(path))
    try:
        yield video
    finally:
        video.release()
