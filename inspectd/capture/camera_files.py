"""The files that a camera's pictures are made by: a person puts them in force, and no restart does.

A capture process starts anew whenever something went wrong. Were it to work by its calibration, or by its
pictures of the empty belt, as they lie there by then, a file that was changed in place would come into force
at a moment that nobody chose, and be recorded nowhere. So the first process says what it found, and later
ones work by that or not at all, until a reload (`CameraStage`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from inspectd import config
from inspectd.capture.driver import CameraError
from inspectd.capture.geometry.calibration import CalibrationError, calibration_bytes
from inspectd.capture.geometry.picture import read_geometry
from inspectd.capture.presence import PresenceError, list_empty_belt
from inspectd.pictures.depth import PictureError
from inspectd.pictures.reading import read_bytes


class FilesChangedError(CameraError):
    """They are not those that the line took up."""

    def __init__(self) -> None:
        super().__init__(
            "geometry.calibration or presence.empty_folder: what lies there now is not what the line took "
            "up; put that back, or have this taken up by a reload (systemctl reload inspectd@LINE)"
        )


def files_sha256(camera: config.Camera, beat: Callable[[], None]) -> str | None:
    """Digest of the calibration and of the pictures of the empty belt, with their names; None: no such file.

    Args:
        camera: its settings.
        beat: called now and then, as reading takes long.

    Raises:
        CameraError: one cannot be read.
    """
    digest = hashlib.sha256()
    is_any = False
    try:
        for name, data in _files(camera, beat):
            is_any = True
            digest.update(f"{len(name.encode())} {name} {len(data)} ".encode())
            digest.update(data)
            beat()
    except CalibrationError as error:
        raise CameraError(f"geometry.calibration: {error}") from error
    except PresenceError as error:
        raise CameraError(f"presence.empty_folder: {error}") from error
    return digest.hexdigest() if is_any else None


def refuse_unusable(geometry: config.GeometrySettings) -> None:
    """Refuse a calibration of which no pictures can be made.

    Raises:
        CameraError: it is none.
    """
    try:
        read_geometry(geometry)
    except CalibrationError as error:
        raise CameraError(f"geometry.calibration: {error}") from error


def _files(camera: config.Camera, beat: Callable[[], None]) -> Iterator[tuple[str, bytes]]:
    if camera.geometry.calibration is not None:
        yield "calibration", calibration_bytes(Path(camera.geometry.calibration))
    if camera.presence.empty_folder is not None:
        folder = Path(camera.presence.empty_folder)
        for path in list_empty_belt(folder, beat):
            name = path.relative_to(folder).as_posix()
            try:
                yield name, read_bytes(path).tobytes()
            except PictureError as error:
                raise PresenceError(f"{folder}: {name}: {error}") from error
