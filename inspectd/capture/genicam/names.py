"""What cameras of different age call differently, and what GenApi says when it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from inspectd.capture.genicam.camera import FeatureError, Features
from inspectd.text import printable

DELAYS: Final = ("TriggerDelay", "TriggerDelayAbs")
OLDER_PIXEL_FORMATS: Final = {"RGB8": "RGB8Packed", "BGR8": "BGR8Packed"}
"""Names from before the Pixel Format Naming Convention; the numbers are the same."""
_EXPOSURES: Final = ("ExposureTime", "ExposureTimeAbs")
_TICKS: Final = ("DeviceTimestampFrequency", "GevTimestampTickFrequency")
_THROWN: Final = re.compile(r"\s*:\s*\w+Exception thrown.*", re.DOTALL)


def in_words(thrown: Exception) -> str:
    """What GenApi, the standard's reader of descriptions, throws, in one line and without where it did so."""
    return _THROWN.sub("", printable(str(thrown)))


def first_of(camera: Features, names: Sequence[str]) -> str | None:
    """The first of these features that a camera has now; None: it has none of them.

    Raises:
        FeatureError: the camera cannot be asked.
    """
    return next((name for name in names if camera.has(name)), None)


def exposure_feature(camera: Features) -> str:
    """What a camera calls its exposure time in microseconds.

    Raises:
        FeatureError: it has none, or cannot be asked.
    """
    name = first_of(camera, _EXPOSURES)
    if name is None:
        raise FeatureError(f"has no feature {' or '.join(_EXPOSURES)}")
    return name


def ticks_a_second(camera: Features) -> int:
    """How fast the clock counts by which a camera stamps frames; 0: it does not say.

    Raises:
        FeatureError: the camera cannot be asked.
    """
    name = first_of(camera, _TICKS)
    return camera.whole(name) if name is not None else 0
