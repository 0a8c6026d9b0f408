"""Frames that must not be judged: black, frozen, partial or stale ones.

A subsample of about 128 whole rows is looked at, which keeps the cost of a full-HD frame well under a
millisecond. Whole rows of a sensor never repeat byte for byte, so noise alone rules a false "frozen" out, and
anything in the picture that changes over `height / 128` rows or more is seen. A video encoder may smooth the
noise of a still scene away and repeat a picture exactly; such a stream needs a larger `frozen_frames`, or 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.capture.driver import Frame
from inspectd.config import QualityGate
from inspectd.records import Quality

_SAMPLED_ROWS: Final = 128
_BGR_TO_GREY: Final = np.array([0.114, 0.587, 0.299])  # ITU-R BT.601


class FrameGate:
    """Judges the frames of one camera in the order they came; remembers only what "frozen" needs."""

    def __init__(self, settings: QualityGate) -> None:
        """Judge by `settings`; a limit of 0 turns its judgement off."""
        self._settings = settings
        self._previous: NDArray[np.uint8] | None = None
        self._previous_source: str | None = None
        self._repeats = 0

    def judge(self, frame: Frame) -> Quality:
        """The first thing that is wrong with `frame`, of stale, black, frozen and partial, or OK."""
        limits = self._settings
        sample = frame.pixels[:: max(1, frame.pixels.shape[0] // _SAMPLED_ROWS)]
        frozen = self._is_frozen(sample, frame.source)
        if 0 < limits.max_age_ms < frame.age_ms:
            return Quality.STALE
        if limits.black_below > 0 and mean_grey(sample) < limits.black_below:
            return Quality.BLACK
        if frozen:
            return Quality.FROZEN
        if limits.partial_share > 0 and is_partial(frame.pixels, limits.partial_share):
            return Quality.PARTIAL
        return Quality.OK

    def _is_frozen(self, sample: NDArray[np.uint8], source: str | None) -> bool:
        """True when this sample equals those of the `frozen_frames` frames before it.

        The same replayed file shown again is no sign of a frozen camera and is not counted.
        """
        if self._settings.frozen_frames == 0:
            return False
        if source is None or source != self._previous_source:
            same = self._previous is not None and np.array_equal(sample, self._previous)
            self._repeats = self._repeats + 1 if same else 0
            self._previous = sample.copy()
            self._previous_source = source
        return self._repeats >= self._settings.frozen_frames


def mean_grey(pixels: NDArray[np.uint8]) -> float:
    """Mean grey level, 0 to 255, of every eighth column of `(H, W, 3) uint8 BGR`."""
    looked_at = pixels[:, ::8]
    # Ten times as fast as one mean over both axes, and this is most of what a frame's judgement costs.
    sums = [looked_at[..., channel].sum(dtype=np.uint64) for channel in range(3)]
    return float(np.array(sums) / (looked_at.shape[0] * looked_at.shape[1]) @ _BGR_TO_GREY)


def is_partial(pixels: NDArray[np.uint8], share: float) -> bool:
    """True when the bottom `share` of the rows is one single colour and the rows above it are not.

    That is what decoders and grabbers leave where the rest of a frame never came.

    Args:
        pixels: `(H, W, 3) uint8 BGR`.
        share: share of rows, above 0 and at most 1.
    """
    height = pixels.shape[0]
    rows = max(1, round(height * share))
    if rows >= height:
        return False
    bottom = pixels[height - rows :]
    colour = pixels[-1, -1]
    # A few pixels refute nearly every whole frame; only a suspect is looked at in full.
    if not (bottom[:: max(1, rows // 8), ::16] == colour).all() or not (bottom == colour).all():
        return False
    above = pixels[: height - rows]
    return not ((above[::8, ::16] == colour).all() and (above == colour).all())
