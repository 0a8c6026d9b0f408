"""The files that a camera's pictures are made by: a person puts them in force, and no restart does.

A capture process starts anew whenever something went wrong. Were it to work by its calibration, or by its
pictures of the empty belt, as they lie there by then, a file that was changed in place would come into force
at a moment that nobody chose, and be recorded nowhere. So the first process says what it found, and later
ones work by that or not at all, until a reload (`CameraStage`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.capture.driver import CameraError
from inspectd.capture.geometry.calibration import CalibrationError, calibration_bytes
from inspectd.capture.geometry.picture import PictureGeometry, read_geometry
from inspectd.capture.presence import EmptyBelt, PresenceError, list_empty_belt, read_empty_belt
from inspectd.pictures.depth import PictureError
from inspectd.pictures.reading import read_bytes


class FilesChangedError(CameraError):
    """They are not those that the line took up."""

    def __init__(self) -> None:
        super().__init__(
            "geometry.calibration or presence.empty_folder: has changed on disk since the line loaded it; "
            "restore the earlier files, or load the new ones (systemctl reload inspectd@LINE)"
        )


class CameraFiles:
    """The calibration and the empty belt of a camera: their digest, and what is made of the same bytes.

    Args:
        camera: its settings.

    Attributes:
        belt: by the pictures of the empty belt; None: the settings name none, or it was not made yet.
    """

    def __init__(self, camera: config.Camera) -> None:
        self._camera = camera
        self._calibration: bytes | None = None
        self._pictures: dict[str, bytes] = {}
        """SHA-256 of each, by its name in the folder."""
        self._geometry: PictureGeometry | None = None
        self.belt: EmptyBelt | None = None

    @property
    def geometry(self) -> PictureGeometry:
        """As the calibration says."""
        assert self._geometry is not None
        return self._geometry

    def read(self, beat: Callable[[], None]) -> str | None:
        """The digest of the files with their names; None: the settings name none.

        Args:
            beat: called now and then, as reading takes long.

        Raises:
            CameraError: one cannot be read.
        """
        geometry, folder = self._camera.geometry, self._camera.presence.empty_folder
        if geometry.calibration is None and folder is None:
            return None
        digest = hashlib.sha256()
        with _named():
            if geometry.calibration is not None:
                self._calibration = calibration_bytes(Path(geometry.calibration))
                digest.update(hashlib.sha256(self._calibration).digest())
            if folder is not None:
                self._pictures = {
                    name: hashlib.sha256(data.data).digest() for name, data in _pictures(Path(folder), beat)
                }
        for name, sha256 in self._pictures.items():
            digest.update(hashlib.sha256(name.encode()).digest() + sha256)
        return digest.hexdigest()

    def make(self, beat: Callable[[], None]) -> None:
        """Make geometry and belt of what was read.

        Args:
            beat: called now and then.

        Raises:
            CameraError: nothing can be made of it, or it was changed meanwhile.
        """
        left = dict(self._pictures)

        def same(path: Path) -> NDArray[np.uint8]:
            data = read_bytes(path)
            name = path.relative_to(self._camera.presence.empty_folder or "").as_posix()
            if left.pop(name, None) != hashlib.sha256(data.data).digest():
                raise PictureError("was changed while it was read")
            return data

        with _named():
            self._geometry = read_geometry(self._camera.geometry, self._calibration)
            belt = read_empty_belt(self._camera, beat, same)
            if left:
                raise PresenceError(f"{next(iter(left))}: was removed while it was read")
        self.belt = belt


@contextmanager
def _named() -> Iterator[None]:
    """Errors begin with the setting."""
    try:
        yield
    except CalibrationError as error:
        raise CameraError(f"geometry.calibration: {error}") from error
    except PresenceError as error:
        raise CameraError(f"presence.empty_folder: {error}") from error


def _pictures(folder: Path, beat: Callable[[], None]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    for path in list_empty_belt(folder, beat):
        name = path.relative_to(folder).as_posix()
        try:
            yield name, read_bytes(path)
        except PictureError as error:
            raise PresenceError(f"{folder}: {name}: {error}") from error
        beat()
