"""A folder of images, replayed as if a camera saw them."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd import config, log
from inspectd.capture.driver import CameraDriver, CameraError, Facts, Frame, UnreadableImageError
from inspectd.capture.schedule import ReplaySchedule
from inspectd.capture.simulated_exposure import SimulatedExposure
from inspectd.errors import InputError
from inspectd.files import is_folder, is_there
from inspectd.pictures.channels import as_grey
from inspectd.pictures.depth import PictureError
from inspectd.pictures.folder import described, list_pictures
from inspectd.pictures.reading import claimed_pixels, read_picture
from inspectd.records import CameraSettings

_log: Final = logging.getLogger("inspectd.capture")

_Written = tuple[int, int, int] | None
"""Inode, size and time of the last change of a file; None: it cannot be seen."""


class ImagesDriver(CameraDriver):
    """Replays the images of a folder; the folder a file lies in is its ground-truth label."""

    def __init__(self, settings: config.ImagesCamera, clock: Callable[[], float] = time.monotonic) -> None:
        """Replay by `settings`, on a schedule by `clock` (seconds)."""
        self._settings = settings
        self._clock = clock
        self._folder = Path(settings.folder)
        self._paths: list[Path] = []
        self._position = 0
        self._readable_in_pass = 0
        self._reported: dict[Path, _Written] = {}
        """Files that could not be read, as they were then."""
        self._largest_bytes = 0
        self._decoded: dict[Path, NDArray[np.uint8]] = {}
        self._left_out = ""
        self._schedule = ReplaySchedule(settings.fps, clock, settings.phase)
        self._exposure = SimulatedExposure(settings)

    def open(self, beat: Callable[[], None]) -> None:
        """List the folder's images and find the size of the largest; a replay that broke off goes on.

        Raises:
            CameraError: the folder is missing, holds no image, or has names that are not UTF-8.
        """
        paths = self._list(beat)
        if self._settings.shuffle_seed is not None:
            random.Random(self._settings.shuffle_seed).shuffle(paths)  # noqa: S311 - an order, not a secret
        if paths != self._paths:
            self._paths, self._position, self._readable_in_pass = paths, 0, 0
        if self._settings.preload:
            self._preload(beat)
        self._largest_bytes = self._find_largest(beat)
        self._schedule = ReplaySchedule(self._settings.fps, self._clock, self._settings.phase)

    def apply(self, settings: CameraSettings) -> None:
        """Show the pictures as a camera with these settings would have taken them.

        Raises:
            CameraSettingsError: the exposure is to be longer than the time between two frames.
        """
        self._exposure.apply(settings)

    def due_seconds(self) -> float:
        """See `CameraDriver.due_seconds`."""
        return self._schedule.due_seconds()

    def read(self) -> Frame | None:
        """The next image that was not reported as unreadable since it was written, or None at the end.

        Raises:
            CameraError: not one image of the folder can be read, or this one is gone.
            UnreadableImageError: this one cannot be read; raised once for each file, until it is changed.
        """
        while True:
            if self._position == len(self._paths) and not self._rewind():
                return None
            path = self._paths[self._position]
            self._position += 1
            # Before it is read, as it may still be on its way here; of one in memory the file counts no more.
            written = None if path in self._decoded else _written(path)
            if path not in self._reported or self._reported[path] != written:
                self._schedule.taken()
                try:
                    return self._decode(path)
                except UnreadableImageError as error:
                    self._refuse_gone(path, error)
                    self._reported[path] = written
                    raise

    def slot_bytes(self, first: Frame) -> int:
        """Bytes of the folder's largest image, so that images of mixed sizes fit one ring."""
        return max(self._largest_bytes, first.pixels.nbytes)

    def facts(self) -> Facts:
        """How many files it replays, and what was left out."""
        return {"files": len(self._paths), "left_out": self._left_out or "nothing"}

    def close(self) -> None:
        """Nothing is held open."""

    def _refuse_gone(self, path: Path, error: UnreadableImageError) -> None:
        """Raise CameraError if a file is not there any more that was listed: opening it anew says more."""
        try:
            if is_there(path):
                return
            why = f"{path}: is gone; is the folder still mounted?"
        except InputError as unseen:
            why = f"{unseen}; is the folder still mounted, and may it be read?"
        self._position -= 1  # opened anew, it has its turn again
        raise CameraError(why) from error

    def _list(self, beat: Callable[[], None]) -> list[Path]:
        try:
            if not is_folder(self._folder):
                wrong = "is not a folder; create it, mount it, or correct `folder`"
                raise CameraError(f"{self._folder}: {wrong}")
            found = list_pictures(self._folder, beat)
        except InputError as error:
            raise CameraError(str(error)) from error
        left_out = described(found.left_out)
        if left_out not in {"", self._left_out}:
            log.event(_log, logging.INFO, "images_left_out", folder=str(self._folder), left_out=left_out)
        self._left_out = left_out
        return found.pictures

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
        pixels = self._decoded[path] if path in self._decoded else self._read(path)
        relative = path.relative_to(self._folder)
        if isinstance(pixels, PictureError):
            raise UnreadableImageError(f"{relative}: {pixels}; it is left out of the replay") from pixels
        self._readable_in_pass += 1
        return Frame(
            pixels=self._exposure.of(pixels, captured_ns),
            captured_ns=captured_ns,
            captured_utc_ns=captured_utc_ns,
            label=relative.parent.as_posix() if relative.parent != Path() else None,
            source=relative.as_posix(),
            bit_depth=self._settings.bit_depth,
        )

    def _read(self, path: Path) -> NDArray[np.uint8] | PictureError:
        try:
            pixels = read_picture(path, self._settings.bit_depth)
            pixels = pixels if self._settings.colour else as_grey(pixels)
        except PictureError as error:
            return error
        self._reported.pop(path, None)
        if self._settings.preload:
            self._decoded[path] = pixels
        return pixels

    def _preload(self, beat: Callable[[], None]) -> None:
        self._decoded.clear()  # it is opened anew: the files may be others
        for path in self._paths:
            beat()
            self._read(path)

    def _find_largest(self, beat: Callable[[], None]) -> int:
        """Bytes of the largest image that can be read: a header alone makes no ring of gigabytes."""
        claims = []
        for path in self._paths:
            beat()
            claims.append((claimed_pixels(path), path))
        for _, path in sorted(claims, reverse=True):
            beat()
            pixels = self._decoded[path] if path in self._decoded else self._read(path)
            if not isinstance(pixels, PictureError):
                return pixels.nbytes
        return 0


def _written(path: Path) -> _Written:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_ctime_ns
