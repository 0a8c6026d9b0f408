"""Frames of a configured camera as images of good parts."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from inspectd import config
from inspectd.bank.collect import NamedFrame
from inspectd.capture.backoff import Backoff
from inspectd.capture.camera_settings import open_as_set
from inspectd.capture.driver import CameraError, Frame, UnreadableImageError
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.capture.registry import make_driver
from inspectd.errors import InputError
from inspectd.pictures.channels import as_bgr
from inspectd.pictures.depth import EIGHT_BITS
from inspectd.records import Quality

_MOST_FAILURES: Final = 5
"""Connections in a row that give no frame; a camera that is away for longer is worth a person's look."""
_MOST_BAD_PER_GOOD: Final = 10
_BAD_AT_THE_START: Final = 100


def find_camera(file: Path | None, name: str) -> config.Camera:
    """A camera of a configuration file.

    Raises:
        InputError: no configuration was given, or it has no such camera.
        ConfigError: the configuration has problems.
    """
    if file is None:
        raise InputError("--camera: expected --config FILE with it, the configuration that names the camera")
    return config.load_camera(file, name)[1]


class CameraFrames(NamedTuple):
    """Frames of one camera.

    Attributes:
        bit_depth: bits a channel that it delivers.
        frames: each with its name.
    """

    bit_depth: int
    frames: Iterator[NamedFrame]


def camera_frames(camera: config.Camera, count: int) -> CameraFrames:
    """Up to `count` frames of a camera that the daemon would judge, and why each other one is left out.

    A camera whose connection breaks, or that was not read for too long while features were made, is opened
    again. It ends early where a replay ends, or where hardly any frame can be judged.

    Raises:
        CameraError: the camera does not open, or gives no more frames; also while they are taken.
    """
    frames = _frames(camera)
    begun: list[Frame | UnreadableImageError] = []
    for frame in frames:
        begun.append(frame)
        if isinstance(frame, Frame):  # it alone says how many bits it has
            return CameraFrames(
                frame.bit_depth, _judged(camera, chain(begun, frames), count, frame.bit_depth)
            )
    return CameraFrames(EIGHT_BITS, _judged(camera, begun, count, EIGHT_BITS))


def _judged(
    camera: config.Camera, frames: Iterable[Frame | UnreadableImageError], count: int, bit_depth: int
) -> Iterator[NamedFrame]:
    gate = FrameGate(camera.quality)
    good = bad = 0
    for number, frame in enumerate(frames, start=1):
        name = f"{camera.name}#{number}"
        if isinstance(frame, UnreadableImageError):
            yield name, str(frame)
        elif (quality := gate.judge(frame, frame_digest(frame.pixels).digest())) is not Quality.OK:
            yield name, f"the daemon would not judge it: {quality}"
        elif frame.bit_depth != bit_depth:
            yield name, f"has {frame.bit_depth} bits per channel, the first one had {bit_depth}"
        else:
            # A copy: the driver may fill the same memory again before this frame's batch is full. Of three
            # channels: a bank knows its images again by their pixels, and in files they have three.
            yield name, as_bgr(frame.pixels.copy())
            good += 1
        bad = number - good
        if good == count or bad > _BAD_AT_THE_START + _MOST_BAD_PER_GOOD * good:
            return


def _frames(camera: config.Camera) -> Iterator[Frame | UnreadableImageError]:
    """Frames of a camera until a replay ends; opened again after a fault, as the daemon does."""
    backoff = Backoff(camera.reconnect_min_ms, camera.reconnect_max_ms, random.Random())  # noqa: S311 - a wait
    driver = make_driver(camera)
    failures = 0
    try:
        open_as_set(driver, camera, _no_beat)
        while True:
            try:
                if failures:
                    open_as_set(driver, camera, _no_beat)
                time.sleep(driver.due_seconds())
                frame = driver.read()
            except UnreadableImageError as error:
                yield error
                continue
            except CameraError:
                failures += 1
                if failures > _MOST_FAILURES:
                    raise
                driver.close()
                time.sleep(backoff.next_seconds())
                continue
            if frame is None:
                return
            failures = 0
            backoff.reset()
            yield frame
    finally:
        driver.close()


def _no_beat() -> None:
    """Nobody waits for a sign of life here."""
