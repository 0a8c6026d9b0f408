"""Looking at one camera by hand: a plain line for each frame, so that an engineer sees whether it works."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from inspectd import config
from inspectd.capture.camera_settings import open_as_set
from inspectd.capture.driver import CameraDriver, Frame, UnreadableImageError
from inspectd.capture.presence import EmptyBelt, read_empty_belt
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.capture.registry import make_driver
from inspectd.errors import ExitCode
from inspectd.text import printable


def show(path: Path, name: str, count: int | None) -> ExitCode:
    """Print what the camera `name` of the configuration at `path` gives, for `count` frames or to its end.

    Raises:
        InputError: the file has problems, or no such camera.
        CameraError: the camera does not open, or stops giving frames.
        PresenceError: the pictures of the empty belt cannot be used.
    """
    _, camera = config.load_camera(path, name)
    driver = make_driver(camera)
    try:
        _print_frames(driver, camera, count)
    except KeyboardInterrupt:
        _line(f"{name}: stopped")
    finally:
        driver.close()
    return ExitCode.OK


def _print_frames(driver: CameraDriver, camera: config.Camera, count: int | None) -> None:
    gate, belt = FrameGate(camera.quality), read_empty_belt(camera)
    open_as_set(driver, camera)
    frames, began = 0, time.monotonic()
    while count is None or frames < count:
        time.sleep(driver.due_seconds())
        try:
            frame = driver.read()
        except UnreadableImageError as error:
            _line(f"unreadable: {error}")
            continue
        if frame is None:
            _line(f"ended after {frames} frames")
            return
        frames += 1
        _line(_described(frame, frames, began, gate, belt))


def _described(frame: Frame, number: int, began: float, gate: FrameGate, belt: EmptyBelt | None) -> str:
    height, width, _ = frame.pixels.shape
    rate = (number - 1) / max(time.monotonic() - began, 1e-9)
    words = [
        f"frame {number}",
        f"{width}x{height}",
        f"{rate:.1f}/s",
        f"quality={gate.judge(frame, frame_digest(frame.pixels).digest())}",
    ]
    words += [] if belt is None else [f"empty_belt={belt.difference(frame.pixels):.2f}"]
    words += [f"age={frame.age_ms:.0f}ms"] if frame.age_ms else []
    words += [f"doubt={frame.doubt_ns / 1e6:.0f}ms"] if frame.doubt_ns else []
    words += [f"passed_over={frame.passed_over}"] if frame.passed_over else []
    words += [f"lost_before={frame.lost_before}"] if frame.lost_before else []
    words += [frame.transfer_remark] if frame.transfer_remark else []
    words += [f"label={frame.label}"] if frame.label else []
    words += [frame.source] if frame.source else []
    return "  ".join(words)


def _line(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()
