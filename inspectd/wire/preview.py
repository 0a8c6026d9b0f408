"""Previews: small pictures of what was judged, with their heat. For people, never for a gate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from inspectd.wire.verdicts import Evaluation, Int64, Number, Reason, Rectangle, place_of

HEAT_AT_THRESHOLD: Final = 128
"""The value of a heat that stands for a score at the threshold."""
_STEPS: Final = 127
"""From there to a score that is further by `heat_span`."""


class PreviewHeat(msgspec.Struct, frozen=True):
    """Size of a preview's heat: `(height, width)` bytes of `heat_of`, row by row."""

    height: int
    width: int
    rectangle: Rectangle | None = None
    """Part of the JPEG that it lies over, in pixels of it; None: all of it."""


class PreviewHeader(msgspec.Struct, frozen=True, tag_field="schema", tag="preview/1"):
    """Header of a preview; a JPEG follows, and then its heat, which is empty where `heat` is None."""

    epoch: Number
    seq: Number
    camera: str
    region: str | None
    captured_utc_ns: Int64
    width: int
    height: int
    evaluation: Evaluation
    reason: Reason
    score: float | None
    threshold: float | None
    heat: PreviewHeat | None
    jpeg_bytes: int
    rectangle: Rectangle | None = None
    """Part of the camera's frame that the preview shows, in pixels of the frame; None: all of it."""

    @property
    def place(self) -> str:
        """What was judged: `CAMERA`, or `CAMERA/REGION`."""
        return place_of(self.camera, self.region)


def heat_span(threshold: float) -> float:
    """Distance of scores from 128 to 255, and from 128 to 1: the threshold's from zero; 1 where that is zero.

    Every detector's scores are zero for what is no different from good parts. So the scale depends on nothing
    but the threshold: 1 is a score of zero, 128 one at the threshold, 255 twice that or more.
    """
    return abs(threshold) or 1.0


def heat_of(scores: Iterable[float], threshold: float) -> bytes:
    """Scores as one byte each, on the one scale of every picture that is shown to people.

    Args:
        scores: in the unit of `threshold`; what is no number becomes 255.
        threshold: of the verdict they belong to; finite.
    """
    scale = _STEPS / heat_span(threshold)
    levels = (HEAT_AT_THRESHOLD + (float(score) - threshold) * scale for score in scores)
    # In this order: every comparison with what is no number is false, and it must not look good.
    return bytes(0 if level <= 0 else round(level) if level < 255 else 255 for level in levels)
