"""A camera at this machine (V4L2), read through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd import config
from inspectd.capture.driver import CameraError, Frame

_BELIEVABLE_AGE_MS: Final = 60_000.0


class DeviceDriver:
    """Reads a device, whose driver stamps each frame with the kernel's clock when it was taken."""

    def __init__(self, settings: config.OpenCvCamera) -> None:
        """Read `settings.source`, an index or a path such as /dev/v4l/by-id/..."""
        self._settings = settings
        self._name = config.masked(settings.source)
        self._capture: cv2.VideoCapture | None = None

    def open(self, beat: Callable[[], None]) -> None:
        """Open the device.

        Raises:
            CameraError: it does not open.
        """
        beat()
        self.close()
        capture = cv2.VideoCapture(self._settings.source, cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise CameraError(f"{self._name}: does not open; is it there, and not in use?")
        wishes = (
            (cv2.CAP_PROP_FRAME_WIDTH, self._settings.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, self._settings.height),
            (cv2.CAP_PROP_FPS, self._settings.fps),
        )
        for prop, value in wishes:
            if value is not None:
                capture.set(prop, value)
        self._capture = capture

    def due_seconds(self) -> float:
        """A device is read as it comes."""
        return 0.0

    def read(self) -> Frame | None:
        """The next frame.

        Raises:
            CameraError: it gives none, or its driver does not say when it was taken.
        """
        if self._capture is None or not self._capture.grab():
            raise CameraError(f"{self._name}: gives no frame; is it switched on and connected?")
        now_ns, utc_ns = time.monotonic_ns(), time.time_ns()
        age_ms = now_ns / 1e6 - self._capture.get(cv2.CAP_PROP_POS_MSEC)
        if not 0 <= age_ms < _BELIEVABLE_AGE_MS:
            raise CameraError(
                f"{self._name}: its driver does not say by the kernel's clock when a frame was taken, "
                "so no part can be judged by it; use another driver or camera"
            )
        taken, pixels = self._capture.retrieve()
        if not taken:
            raise CameraError(f"{self._name}: gave a frame that cannot be decoded")
        age_ns = int(age_ms * 1e6)
        return Frame(_as_bgr(pixels, self._name), now_ns - age_ns, utc_ns - age_ns, age_ms)

    def slot_bytes(self, first: Frame) -> int:
        """Bytes of its frames, which are all of one size."""
        return first.pixels.nbytes

    def close(self) -> None:
        """Release the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _as_bgr(pixels: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    if pixels.dtype != np.uint8:
        raise CameraError(f"{name}: gives {pixels.dtype} pixels, expected 8 bits a channel")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if pixels.shape[2] != 3:
        raise CameraError(f"{name}: gives {pixels.shape[2]} channels, expected 3 (BGR) or 1 (grey)")
    return np.asarray(pixels, np.uint8)
