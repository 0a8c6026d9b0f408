"""A folder of images, replayed as if a camera saw them."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inspectd import config
from inspectd.capture.driver import CameraError, Frame, UnreadableImageError
from inspectd.capture.schedule import ReplaySchedule

SUFFIXES: Final = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_CHANNELS: Final = 3


class ImagesDriver:
    """Replays the images of a folder; the folder a file lies in is its ground-truth label."""

    def __init__(self, settings: config.ImagesCamera, clock: Callable[[], float] = time.monotonic) -> None:
        """Replay as `settings` say, on a schedule by `clock` (seconds)."""
        self._settings = settings
        self._clock = clock
        self._folder = Path(settings.folder)
        self._paths: list[Path] = []
        self._position = 0
        self._readable_in_pass = 0
        self._reported: set[Path] = set()
        self._largest_bytes = 0
        self._decoded: dict[Path, NDArray[np.uint8] | None] = {}
        self._schedule = ReplaySchedule(settings.fps, clock, settings.phase)

    def open(self, beat: Callable[[], None]) -> None:
        """List the folder's images and find the size of the largest; a replay that broke off goes on.

        Raises:
            CameraError: the folder is missing or holds no image.
        """
        paths = self._list()
        if self._settings.shuffle_seed is not None:
            random.Random(self._settings.shuffle_seed).shuffle(paths)  # noqa: S311 - an order, not a secret
        if paths != self._paths:
            self._paths, self._position, self._readable_in_pass = paths, 0, 0
        self._largest_bytes = self._peek_largest(beat)
        if self._settings.preload:
            self._preload(beat)
        self._schedule = ReplaySchedule(self._settings.fps, self._clock, self._settings.phase)

    def due_seconds(self) -> float:
        """How long until the next image is due."""
        return self._schedule.due_seconds()

    def read(self) -> Frame | None:
        """The next image that was not reported as unreadable before, or None at the end.

        Raises:
            CameraError: not one image of the folder can be read.
            UnreadableImageError: this one cannot be read; said once for each file.
        """
        while True:
            if self._position == len(self._paths) and not self._rewind():
                return None
            path = self._paths[self._position]
            self._position += 1
            if path not in self._reported:
                self._schedule.taken()
                return self._decode(path)

    def slot_bytes(self, first: Frame) -> int:
        """Bytes of the folder's largest image, so that images of mixed sizes fit one ring."""
        return max(self._largest_bytes, first.pixels.nbytes)

    def close(self) -> None:
        """Nothing is held open."""

    def _list(self) -> list[Path]:
        if not self._folder.is_dir():
            raise CameraError(f"{self._folder}: is no folder; create it, mount it, or correct `folder`")
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        unnamed = [path for path in paths if not _is_utf8(path)]
        if unnamed:
            # OpenCV ends the process over such a name.
            names = ", ".join(ascii(path.name) for path in unnamed[:3])
            raise CameraError(
                f"{self._folder}: {len(unnamed)} file names are not UTF-8 ({names}); rename them"
            )
        if not paths:
            kinds = ", ".join(sorted(SUFFIXES))
            raise CameraError(f"{self._folder}: holds no image; expected files ending in {kinds}")
        return paths

    def _rewind(self) -> bool:
        if self._readable_in_pass == 0:
            self._position = 0
            self._reported.clear()
            raise CameraError(f"{self._folder}: none of its {len(self._paths)} images can be read")
        if not self._settings.loop:
            return False
        self._position = 0
        self._readable_in_pass = 0
        return True

    def _decode(self, path: Path) -> Frame:
        # Before it is read: an image shows what was there then or later, however long reading takes.
        captured_ns, captured_utc_ns = time.monotonic_ns(), time.time_ns()
        pixels = self._decoded[path] if path in self._decoded else _read(path)
        relative = path.relative_to(self._folder)
        if pixels is None:
            self._reported.add(path)
            raise UnreadableImageError(f"{relative}: is damaged or no image; it is left out of the replay")
        self._readable_in_pass += 1
        return Frame(
            pixels=pixels,
            captured_ns=captured_ns,
            captured_utc_ns=captured_utc_ns,
            label=relative.parent.as_posix() if relative.parent != Path() else None,
            source=relative.as_posix(),
        )

    def _preload(self, beat: Callable[[], None]) -> None:
        for path in self._paths:
            beat()
            self._decoded[path] = _read(path)

    def _peek_largest(self, beat: Callable[[], None]) -> int:
        largest = 0
        with warnings.catch_warnings():
            # Pillow warns of very large images; only their header is read here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            for path in self._paths:
                beat()
                largest = max(largest, _frame_bytes(path))
        return largest


def _read(path: Path) -> NDArray[np.uint8] | None:
    """The image as `(H, W, 3) uint8 BGR`; None where it cannot be read."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _frame_bytes(path: Path) -> int:
    """Bytes of the decoded image, from its header alone; 0 when it has none that can be read."""
    try:
        with Image.open(path) as image:
            return image.width * image.height * _CHANNELS
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        # `read` decodes and reports it; Pillow raises SyntaxError for broken headers.
        return 0
