"""Frames of a configured camera as images of good parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from inspectd import config
from inspectd.bank.collect import NamedFrame
from inspectd.capture.driver import UnreadableImageError
from inspectd.capture.kinds import make_driver
from inspectd.errors import InputError


def camera_frames(file: Path | None, name: str, count: int) -> Iterator[NamedFrame]:
    """Up to `count` frames of a camera, as its settings say.

    Raises:
        InputError: no configuration was given, or it has no such camera.
        ConfigError: the configuration has problems.
        CameraError: the camera does not open, or gives no more frames.
    """
    if file is None:
        raise InputError(
            "--camera: expected --config FILE beside it, the configuration that names the camera"
        )
    settings = config.load(file)
    try:
        camera = settings.camera(name)
    except KeyError as error:
        names = ", ".join(known.name for known in settings.cameras)
        raise InputError(f"--camera: {file} has no camera {name!r}, expected one of: {names}") from error
    return _frames(camera, count)


def _frames(camera: config.Camera, count: int) -> Iterator[NamedFrame]:
    driver = make_driver(camera)
    driver.open(lambda: None)
    try:
        for number in range(1, count + 1):
            time.sleep(driver.due_seconds())
            try:
                frame = driver.read()
            except UnreadableImageError as error:
                yield str(error), None
                continue
            if frame is None:
                return
            # The driver may fill the same memory again before this frame's batch is full.
            yield f"{camera.name}#{number}", frame.pixels.copy()
    finally:
        driver.close()
