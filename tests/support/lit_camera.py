"""A camera in front of a light: its pictures are bright while it is on, and come a known time later."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from support.mjpeg_camera import MjpegCamera
from support.pictures import noise


class LitCamera(MjpegCamera):
    """Serves each picture `latency_seconds` after its exposure, at the next period.

    Args:
        light: whether the light is on now.
        latency_seconds: from an exposure until the picture is sent, at least; a period more at most.
        period_seconds: between two pictures.
        bright: grey level with the light on.
    """

    def __init__(
        self,
        light: Callable[[], bool],
        latency_seconds: float = 0.08,
        period_seconds: float = 0.02,
        bright: int = 200,
    ) -> None:
        self._light = light
        self._latency_seconds = latency_seconds
        self._bright = bright
        self._exposed: deque[tuple[float, bool]] = deque()
        self._shown = False
        super().__init__(picture=self._picture, period_seconds=period_seconds)

    def _picture(self, number: int) -> np.ndarray:
        now = time.monotonic()
        self._exposed.append((now, self._light()))
        while self._exposed and self._exposed[0][0] <= now - self._latency_seconds:
            self._shown = self._exposed.popleft()[1]
        level = self._bright if self._shown else 1
        return np.maximum(noise(number) // 40, level).astype(np.uint8)
