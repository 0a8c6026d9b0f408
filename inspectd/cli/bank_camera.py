"""Frames of a configured camera as images of good parts."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.bank.images import NamedFrame
from inspectd.capture.backoff import Backoff
from inspectd.capture.camera_settings import open_as_set
from inspectd.capture.driver import CameraError, Frame, UnreadableImageError
from inspectd.capture.presence import read_empty_belt
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.capture.registry import make_driver
from inspectd.errors import InputError
from inspectd.pictures.channels import as_bgr
from inspectd.pictures.depth import EIGHT_BITS
from inspectd.records import FrameRegion, Quality
from inspectd.wire import place_of

_MOST_FAILURES: Final = 5
"""Connections in a row that give no frame; a camera that is away for longer is worth a person's look."""
_MOST_BAD_PER_GOOD: Final = 10
_BAD_AT_THE_START: Final = 100


def find_camera(file: Path | None, place: str) -> tuple[config.Camera, FrameRegion | None]:
    """A camera of a configuration file, and which region of it is meant where it has some.

    Args:
        file: the configuration.
        place: `CAMERA`, or `CAMERA/REGION` of a camera with regions.

    Raises:
        InputError: no configuration was given, or it has no such camera or region.
        ConfigError: the configuration has problems.
    """
    if file is None:
        raise InputError("--camera: expected --config FILE with it, the configuration that names the camera")
    camera = config.load_camera(file, place.partition("/")[0])[1]
    if place not in camera.places:
        raise InputError(
            f"--camera: got {place!r}, expected what is judged by itself: {', '.join(camera.places)}"
        )
    regions = {place_of(camera.name, region.name): region.of_frame for region in camera.regions}
    return camera, regions.get(place)


class CameraFrames(NamedTuple):
    """Frames of one camera.

    Attributes:
        bit_depth: bits a channel that it delivers.
        frames: each with its name.
    """

    bit_depth: int
    frames: Iterator[NamedFrame]


def camera_frames(camera: config.Camera, count: int, region: FrameRegion | None = None) -> CameraFrames:
    """Up to `count` frames of a camera that the daemon would judge, and why each other one is left out.

    With a region each is cut to it.

    A camera whose connection breaks, or that was not read for too long while features were made, is opened
    again. It ends early where a replay ends, or where hardly any frame can be judged.

    Raises:
        CameraError: the camera does not open, or gives no more frames; also while they are taken.
        PresenceError: the pictures of the empty belt cannot be used; as above.
    """
    frames = _frames(camera)
    begun: list[Frame | UnreadableImageError] = []
    for frame in frames:
        begun.append(frame)
        if isinstance(frame, Frame):  # it alone says how many bits it has
            good = _judged(camera, chain(begun, frames), count, region, frame.bit_depth)
            return CameraFrames(frame.bit_depth, good)
    return CameraFrames(EIGHT_BITS, _judged(camera, begun, count, region, EIGHT_BITS))


def _judged(
    camera: config.Camera,
    frames: Iterable[Frame | UnreadableImageError],
    count: int,
    region: FrameRegion | None,
    bit_depth: int,
) -> Iterator[NamedFrame]:
    gate, belt = FrameGate(camera.quality), read_empty_belt(camera)
    good = bad = 0
    for number, frame in enumerate(frames, start=1):
        name = f"{camera.name}#{number}"
        if isinstance(frame, UnreadableImageError):
            yield name, str(frame)
        elif region is not None and not _shows(frame, region):
            yield name, f"the daemon would not judge it: region {region.name} lies beyond it"
        elif (quality := gate.judge(frame, frame_digest(frame.pixels).digest())) is not Quality.OK:
            yield name, f"the daemon would not judge it: {quality}"
        elif frame.bit_depth != bit_depth:
            yield name, f"has {frame.bit_depth} bits per channel, the first one had {bit_depth}"
        elif belt is not None and belt.is_in(frame.pixels):
            yield name, "shows the empty belt"
        else:
            # A copy: the driver may fill the same memory again before this frame's batch is full. Of three
            # channels: a bank knows its images again by their pixels, and in files they have three.
            yield name, as_bgr(_cut(frame.pixels, region).copy())
            good += 1
        bad = number - good
        if good == count or bad > _BAD_AT_THE_START + _MOST_BAD_PER_GOOD * good:
            return


def _shows(frame: Frame, region: FrameRegion) -> bool:
    """Whether the region lies wholly inside the frame."""
    height, width, _ = frame.pixels.shape
    return bool(region.left + region.width <= width and region.top + region.height <= height)


def _cut(pixels: NDArray[np.uint8], region: FrameRegion | None) -> NDArray[np.uint8]:
    """The region of a frame, `(H, W, 3) uint8 BGR`, as a view."""
    if region is None:
        return pixels
    return pixels[region.top : region.top + region.height, region.left : region.left + region.width]


def _frames(camera: config.Camera) -> Iterator[Frame | UnreadableImageError]:
    """Frames of a camera until a replay ends; opened again after a fault, as the daemon does."""
    backoff = Backoff(camera.reconnect_min_ms, camera.reconnect_max_ms, random.Random())  # noqa: S311 - a wait
    driver = make_driver(camera)
    failures = 0
    try:
        open_as_set(driver, camera)
        while True:
            try:
                if failures:
                    open_as_set(driver, camera)
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
