"""What every table of the file is made of: their base, and values that several of them take."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z"  # `$` would let a line break follow
_NAME_WORDS: Final = "letters, digits, - and _, at most 63, a letter or digit first"

MOST_NAME: Final = 63
"""Characters of a name."""
MOST_PLACES: Final = 256
"""Of a line: what is judged by itself, and so the cameras, and the banks that judge at a time. Recipes,
orders, what a line reports and what a page is asked to show have room for so many."""


Name = Annotated[str, Meta(pattern=_NAME_PATTERN, examples=["side-2"], extra={"words": _NAME_WORDS})]
Host = Annotated[
    str,
    Meta(
        min_length=1,
        pattern=r"^([^:]+|[^:]*:[^:]*:.*)\Z",
        examples=["127.0.0.1"],
        extra={"words": "an address alone, as the port is a setting of its own"},
    ),
]
PlaceName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(/[A-Za-z0-9][A-Za-z0-9_-]{0,62})?\Z",
        examples=["side-2", "side-2/label"],
    ),
]
"""What is judged by itself: `CAMERA`, or `CAMERA/REGION` of a camera with regions."""
Pixels = Annotated[int, Meta(ge=1, le=100_000)]
Rate = Annotated[float, Meta(gt=0, le=10_000)]
BitDepth = Annotated[int, Meta(ge=8, le=16)]
PixelFormatName = Literal[
    "Mono8",
    "Mono10",
    "Mono12",
    "Mono14",
    "Mono16",
    "BayerGR8",
    "BayerRG8",
    "BayerGB8",
    "BayerBG8",
    "RGB8",
    "BGR8",
]
"""Pixel formats of GenICam cameras that the line has a conversion for."""
FeatureName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,64}\Z", examples=["ExposureTime"])]
"""A feature of a GenICam camera, by its name in the camera's description."""
FeatureValue = (
    bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | Annotated[str, Meta(max_length=256)]
)
"""What such a feature is set to: on or off, a number, a choice or a text."""
ExposureUs = Annotated[float, Meta(ge=1, le=60_000_000)]
GainDb = Annotated[float, Meta(ge=-100, le=100)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the file."""
