"""What a bank learnt of how its good images were taken: the limits of light, place and detail.

Bank files are read with this: no cv2.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inspectd.records import MeasureLimit

LEAST_SIDE: Final = 32
"""Pixels that a picture which frames are registered to has at least, each way."""
MEASURED: Final = 2
"""How measures are taken today, see `LearntQuality.measured`."""
REFERENCES: Final = "quality.references"
"""Name of the (K, h, w) uint8 pictures that frames are registered to, the most usual first."""
TINT: Final = "quality.tint"
"""Name of the (h, w) float32 tint of good images, see `measures.tint`."""
NEAREST: Final = "quality.nearest"
"""Name of the (L, h, w, 3) uint8 BGR good images that came nearest to a limit, in the manifest's order."""


class Nearest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The good image that came nearest to a limit."""

    measure: str
    value: float
    image: str
    """Its file's name."""


class LearntQuality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bank learnt of how its good images were taken."""

    images: Annotated[int, Meta(ge=1)]
    """That were measured."""
    parts: Annotated[int, Meta(ge=1)] | msgspec.UnsetType = msgspec.UNSET
    """That they show; unset: each shows another, or nobody said which."""
    measured: Annotated[int, Meta(ge=1, le=MEASURED)] = 1
    """How measures were taken when limits were learnt, and are of frames. 1: regions longer than 3:1 are
    stretched to that before they are looked at, and JPEG's blocks are taken to begin at the region's corner.
    2: regions are looked at in their own proportions, and blocks begin at the frame's corner."""
    limits: dict[str, MeasureLimit]
    """By the name of the measure."""
    not_findable: dict[str, str] = {}
    """What these images do not tell, and why."""
    found: dict[str, float] = {}
    """Share of some good images in which a fault was found that was made in them on purpose."""
    held_out_alarms: Annotated[int, Meta(ge=0)] = 0
    """Images beyond limits that were found without them, or parts with such images where `parts` is set."""
    usual_quarters: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Of the light, in each quarter of the picture."""
    nearest: tuple[Nearest, ...] = ()
    enough_likeness: float = 1.0
    """With a reference; then no other one is tried."""
    aligned: bool = False
    """The images were turned and shifted onto the first reference before they were learnt, and frames are."""
