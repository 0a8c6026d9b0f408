"""What exposure time and gain do to pictures that no sensor takes."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.capture.camera_settings import refuse_another_value
from inspectd.config import ImagesCamera, SyntheticCamera
from inspectd.records import CameraSettings

_GREY_LEVELS: Final = 256


class SimulatedExposure:
    """How much brighter a simulated camera's pictures are than it has them, from which moment on."""

    def __init__(self, camera: ImagesCamera | SyntheticCamera) -> None:
        """The pictures of `camera` are taken to be of its own `exposure_us` and `gain_db`."""
        self._camera = camera
        self._before = self._now = _brighter(1.0)
        self._from_ns = 0

    def apply(self, settings: CameraSettings) -> None:
        """Show the pictures as a camera with these settings would have taken them, after its `settle_ms`.

        The longest exposure is the time between two frames; where it is to be longer, it is that, as of a
        real camera.

        Raises:
            CameraSettingsError: the exposure is to be longer.
        """
        factor, own = 1.0, self._camera
        wanted_us, longest_us = settings.exposure_us, 1e6 / own.fps
        if wanted_us is not None and own.exposure_us is not None:
            factor *= min(wanted_us, longest_us) / own.exposure_us
        if settings.gain_db is not None and own.gain_db is not None:
            factor *= 10 ** ((settings.gain_db - own.gain_db) / 20)
        self._change(factor, time.monotonic_ns() + (own.settle_ns or 0))
        if wanted_us is not None:
            refuse_another_value("exposure_us", wanted_us, min(wanted_us, longest_us))

    def of(self, pixels: NDArray[np.uint8], taken_ns: int) -> NDArray[np.uint8]:
        """`(H, W, 3) uint8 BGR` as the camera would have taken it at that moment."""
        table = self._now if taken_ns >= self._from_ns else self._before
        return pixels if table is None else table[pixels]

    def _change(self, factor: float, from_ns: int) -> None:
        self._before, self._now, self._from_ns = self._now, _brighter(factor), from_ns


def _brighter(factor: float) -> NDArray[np.uint8] | None:
    """`(256,) uint8`: each grey level made brighter; None: as it is."""
    if factor == 1.0:
        return None
    table: NDArray[np.uint8] = np.clip(np.rint(np.arange(_GREY_LEVELS) * factor), 0, 255).astype(np.uint8)
    return table
