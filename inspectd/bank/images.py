"""Image files and videos as the bank's commands read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.pictures.depth import EIGHT_BITS, PictureError
from inspectd.pictures.folder import list_pictures
from inspectd.pictures.reading import read_picture
from inspectd.video import VideoError, count_pictures, open_video

NamedFrame = tuple[str, NDArray[np.uint8] | str]
"""An image's name and its pixels (H, W, 3) uint8 BGR, or why it cannot be used."""


def find_images(folder: Path) -> list[Path]:
    """All pictures of parts below a folder, in path order; see `list_pictures` for what else lies there.

    Raises:
        InputError: there is no such folder, or it has no images.
    """
    return list_pictures(folder).pictures


def read_image(path: Path, bit_depth: int = EIGHT_BITS) -> NDArray[np.uint8] | None:
    """The image as (H, W, 3) uint8 BGR, or None where it cannot be read; `read_picture` raises the reason."""
    try:
        return read_picture(path, bit_depth)
    except PictureError:
        return None


def named_image(path: Path, bit_depth: int) -> NamedFrame:
    """An image's name and its pixels, (H, W, 3) uint8 BGR, or why it cannot be used."""
    try:
        return str(path), read_picture(path, bit_depth)
    except PictureError as error:
        return str(path), str(error)


def read_again(path: Path, bit_depth: int) -> NDArray[np.uint8]:
    """An image (H, W, 3) uint8 BGR that could be read a moment ago.

    Raises:
        InputError: it cannot be read any more.
    """
    name, frame = named_image(path, bit_depth)
    if isinstance(frame, str):
        raise InputError(f"{name}: {frame}, but could be read a moment ago")
    return frame


def pixel_digest(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """sha256 (32,) uint8 of an image's size and pixels, whatever file format they came in."""
    sha = hashlib.sha256(str(frame.shape).encode())
    sha.update(np.ascontiguousarray(frame).data)
    return np.frombuffer(sha.digest(), dtype=np.uint8)


def digest_of(frame: NDArray[np.uint8]) -> str:
    """The same in hexadecimal, as banks name their images."""
    return pixel_digest(frame).tobytes().hex()


class Pictures:
    """Pictures that were seen, by their pixels: a copy in another file is no further picture of anything."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def same_as(self, name: str, frame: NDArray[np.uint8]) -> str | None:
        """The first picture (H, W, 3) uint8 BGR with these pixels, by its name; None: it is this one."""
        digest = pixel_digest(frame).tobytes()
        if digest in self._names:
            return self._names[digest]
        self._names[digest] = name
        return None

    def why_no_news(self, name: str, frame: NDArray[np.uint8]) -> str | None:
        """Why a picture (H, W, 3) uint8 BGR is left out, for people; None: it copies no earlier one."""
        first = self.same_as(name, frame)
        return None if first is None else no_news(first)


def no_news(first: str) -> str:
    """Why a copy of a picture is left out, for people."""
    return f"has the same pixels as {first}, so it shows nothing more"


def without_copies(frames: Iterable[NamedFrame]) -> Iterator[NamedFrame]:
    """The same frames, each picture once; those that cannot be used stay."""
    seen = Pictures()
    for name, frame in frames:
        if isinstance(frame, str) or seen.same_as(name, frame) is None:
            yield name, frame


def video_frames(path: Path, count: int) -> Iterator[NamedFrame]:
    """Up to `count` frames spread evenly over a video, each with a name; and why any is left out.

    A frame that was not received whole is left out, and the next whole one stands for it. Where the header
    names more frames than there are, the file was cut: that is reported under the file's own name.

    Raises:
        InputError: it cannot be opened, or holds no frame.
    """
    try:
        stated, length = count_pictures(path)
        container, pictures = open_video(path)
    except VideoError as error:
        raise InputError(f"video {error}") from error
    with closing(container):
        if length < 1:
            raise InputError(f"video {path}: holds no frame")
        if length < stated:
            yield str(path), f"ends after {length} of the {stated} frames that its header names"
        # The last frame of a file that was cut is as a rule a torn one.
        last = max(0, length - (2 if length < stated else 1))
        wanted = set(np.linspace(0, last, min(count, last + 1)).astype(int).tolist())
        owed = 0
        for index, picture in enumerate(pictures):
            owed += index in wanted
            if owed and picture.whole:
                yield f"{path}#{index}", picture.pixels
                owed -= 1
            elif index in wanted:
                yield f"{path}#{index}", "is incomplete"
