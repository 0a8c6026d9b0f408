"""Frames that must not be judged: black, frozen, partial or stale ones.

A subsample of about 128 whole rows is looked at for black, which keeps the cost of a full-HD frame well under
a millisecond. A frame is frozen when its bytes are those of a frame shortly before it: the noise of a sensor
never repeats, so such a picture is an old one, whether a camera stands still or a driver hands out its
buffers again and again. A video encoder may smooth the noise of a still scene away and repeat a picture
exactly; there one repeat proves nothing. Nor does one that differs prove that the camera lives: an encoder
that is given the same picture again and again codes it a little differently each time. So a stream that was
found frozen stays so until something in the picture has moved.

Black and partial are judged by the picture as the camera gave it, frozen by the corrected one, whose digest
is made anyway: the same picture always gives the same corrected one.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.capture.driver import Frame
from inspectd.capture.old_rows import OldRows
from inspectd.config import QualityGate
from inspectd.records import Quality

_SAMPLED_ROWS: Final = 128
_REMEMBERED_FRAMES: Final = 64
"""More than drivers have buffers."""
_REPEATS_OF_AN_ENCODER: Final = 3
_BLOCK_PIXELS: Final = 16
_MOVED_LEVELS: Final = 10.0
"""Change of a block's mean level that no encoder made of the same picture (measured: docs/dating.md)."""
_BGR_TO_GREY: Final = np.array([0.114, 0.587, 0.299])  # ITU-R BT.601


class FrameGate:
    """Judges the frames of one camera in the order they came; remembers the digests of the last of them."""

    def __init__(self, settings: QualityGate) -> None:
        """Judge by `settings`; a limit of 0 turns its judgement off."""
        self._settings = settings
        self._seen: OrderedDict[bytes, str | None] = OrderedDict()
        self._repeats = 0
        self._rows = OldRows()
        self._stuck_at: NDArray[np.float32] | None = None
        """Blocks of a stream's picture when it was found frozen; None: it is not."""

    def judge(self, frame: Frame, digest: bytes) -> Quality:
        """The first thing that is wrong with `frame`, of stale, partial, black and frozen, or OK.

        Args:
            frame: in the order the camera gave them.
            digest: SHA-256 of its pixels.
        """
        limits = self._settings
        frozen = self._is_frozen(frame, digest)
        has_old_rows = frame.never_repeats and limits.partial_share > 0 and self._rows.are_in(frame.raw)
        if 0 < limits.max_age_ms < frame.age_ms:
            return Quality.STALE
        if frame.flaw is not Quality.OK:
            return frame.flaw
        # Rows that never came lie at the bottom of what the camera gave, wherever they are turned to.
        raw = frame.raw
        sample = raw[:: max(1, raw.shape[0] // _SAMPLED_ROWS)]
        if limits.black_below > 0 and mean_grey(sample) < limits.black_below:
            return Quality.BLACK
        if frozen:
            return Quality.FROZEN
        if has_old_rows or (limits.partial_share > 0 and is_partial(raw, limits.partial_share)):
            return Quality.PARTIAL
        return Quality.OK

    def _is_frozen(self, frame: Frame, digest: bytes) -> bool:
        """True for a repeat of one of the frames before, or for the last of several in turn.

        The same replayed file shown again is not a sign of a frozen camera and is not counted.
        """
        file = None if frame.never_repeats else frame.source
        limit = self._settings.frozen_frames
        if limit is None:
            limit = 1 if file is None and not frame.may_repeat else _REPEATS_OF_AN_ENCODER
        is_repeat = digest in self._seen and (file is None or self._seen[digest] != file)
        self._repeats = self._repeats + 1 if is_repeat else 0
        self._seen[digest] = file
        self._seen.move_to_end(digest)
        if len(self._seen) > _REMEMBERED_FRAMES:
            self._seen.popitem(last=False)
        return self._stays_frozen(frame, is_frozen=0 < limit <= self._repeats)

    def _stays_frozen(self, frame: Frame, *, is_frozen: bool) -> bool:
        """True for a frozen frame, and for what a stream gives after one until something moves."""
        if not frame.may_repeat or not (is_frozen or self._stuck_at is not None):
            return is_frozen
        blocks = _blocks(frame.raw)
        if not is_frozen and (
            self._stuck_at is None
            or self._stuck_at.shape != blocks.shape
            or bool((np.abs(blocks - self._stuck_at) > _MOVED_LEVELS).any())
        ):
            self._stuck_at = None
            return False
        if self._stuck_at is None:
            self._stuck_at = blocks
        return True


def frame_digest(pixels: NDArray[np.uint8]) -> hashlib._Hash:
    """SHA-256 of `(H, W, C) uint8` pixels, row by row, as `FrameRef.sha256` has it."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data)


def _blocks(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean levels of blocks of about 16 x 16 pixels."""
    height, width = pixels.shape[:2]
    grid = (max(1, width // _BLOCK_PIXELS), max(1, height // _BLOCK_PIXELS))
    return np.asarray(cv2.resize(pixels, grid, interpolation=cv2.INTER_AREA), np.float32)


def mean_grey(pixels: NDArray[np.uint8]) -> float:
    """Mean grey level, 0 to 255, of every eighth column of `(H, W, 3) uint8 BGR` or `(H, W, 1)`."""
    looked_at = pixels[:, ::8]
    # Ten times as fast as one mean over both axes, and this is most of what a frame's judgement costs.
    sums = [looked_at[..., channel].sum(dtype=np.uint64) for channel in range(looked_at.shape[2])]
    means = np.array(sums) / (looked_at.shape[0] * looked_at.shape[1])
    return float(means[0] if len(means) == 1 else means @ _BGR_TO_GREY)


def is_partial(pixels: NDArray[np.uint8], share: float) -> bool:
    """True when the bottom `share` of the rows is one single colour and the rows above it are not.

    That is what decoders and grabbers leave where the rest of a frame never came.

    Args:
        pixels: `(H, W, C) uint8`.
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
