"""The emulated camera of Basler's pylon under contract; it runs in the line's own capture process."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self
from unittest import mock

import numpy as np

from camera_contract.camera import NAME, TRIGGERED
from inspectd.wire import Verdict

_FPS: Final = 100
_WIDTH, _HEIGHT = 160, 120
_APART_NS: Final = 20_000_000
"""The line goes by another clock than UTC, and on a busy machine reads the two so far apart."""
_GREYS: Final = 256


def lacks_pylon() -> str | None:
    """What this machine lacks to emulate such a camera; None: nothing."""
    if importlib.util.find_spec("pypylon") is None:
        return "the package pypylon is not installed (inspectd[pylon])"
    return None


class PylonContractCamera:
    """Its frame number N shows stripes that have moved on by N pixels, and 255 frames in a row differ.

    Args:
        _: an empty folder; it needs none.
        failing: of its first frames so many fail.
    """

    undated = 0

    def __init__(self, _: Path, *, failing: int = 0) -> None:
        self._failing = failing
        self._on = ExitStack()
        self._last: tuple[int, int] = 0, 0
        """Of the frame of the part before, when it was taken at the earliest and its number."""

    def __enter__(self) -> Self:
        self._on.enter_context(mock.patch.dict(os.environ, PYLON_CAMEMU="1"))
        return self

    def __exit__(self, *_: object) -> None:
        self._on.close()

    def table(self) -> str:
        """See `ContractCamera.table`."""
        features = {
            "Width": str(_WIDTH),
            "Height": str(_HEIGHT),
            "TestImageSelector": '"Testimage2"',
            "AcquisitionFrameRateEnable": "true",
            "AcquisitionFrameRateAbs": str(_FPS),
            "ForcedFailedBuffersRemaining": str(self._failing),
        }
        listed = ", ".join(f"{name} = {value}" for name, value in features.items())
        named = f'\n[[cameras]]\nkind = "genicam"\nname = "{NAME}"\nrecipe = "part"\n'
        reached = 'backend = "pylon"\ndevice = "serial:0815-0000"\npixel_format = "Mono8"\n'
        return f"{named}{reached}latency_ms = 20\n{TRIGGERED}features = {{ {listed} }}\n"

    def put(self, number: int) -> None:
        """It draws a picture of its own."""

    def fire(self, number: int) -> None:
        """It runs free."""

    def is_of(self, _: int, verdict: Verdict) -> bool:
        """The picture of its own number, dated after the trigger, and further on as time went by."""
        frame = None if verdict.device is None else verdict.device.frame_id
        at_ns, triggered_ns = verdict.captured_utc_ns, verdict.triggered_utc_ns
        if frame is None or at_ns is None or triggered_ns is None or at_ns < triggered_ns - _APART_NS:
            return False
        (last_ns, last), self._last = self._last, (at_ns, frame)
        # It rests while nobody takes its frames, so that there may be fewer than its rate, but never more.
        most = (at_ns - last_ns + _APART_NS) * _FPS * 1.05 / 1e9 + 2
        return verdict.frame_sha256 == _sha256(frame) and 0 < frame - last <= (most if last else frame)

    def unplug(self) -> None:
        """Nobody does."""

    def plug_in(self) -> None:
        """It is there."""


def _sha256(frame: int) -> str:
    """Digest of the picture that is its frame of that number."""
    across, down = np.arange(_WIDTH), np.arange(_HEIGHT)
    grey = (down[:, None] + across + frame + 1) % _GREYS
    return hashlib.sha256(grey.astype(np.uint8).tobytes()).hexdigest()
