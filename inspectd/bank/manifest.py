"""What a bank file says of itself."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd.detectors.options import HeadOptions
from inspectd.features.options import PatchOptions

SCHEMA: Final = "inspectd-bank/1"
GOOD_SCORES: Final = "good_scores"
"""Name of the (N,) float64 scores of the bank's own images, each from a fit that left it out."""
IMAGE_DIGESTS: Final = "image_digests"
"""Name of the (N, 32) uint8 sha256 of those images' pixels, in the same order."""

Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=1)]


class OddImage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image of the bank that scores far above its others."""

    name: str
    """Its file's name, or its number in a video or of a camera."""
    sha256: Digest
    """Of its pixels."""
    score: float
    """What it scored while it was left out."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that must be known to score with a bank exactly as it was built."""

    detector: str
    options: dict[str, Any]
    """The detector's own settings."""
    head: HeadOptions
    """How its maps become scores."""
    patches_of: PatchOptions
    """How its features are made."""
    backbone: str
    weights: str
    """`packaged`, `download`, or the weights file's name."""
    weights_sha256: Digest
    layers: Annotated[tuple[str, ...], Meta(min_length=1)]
    input_height: Count
    input_width: Count
    images: Count
    """Good images it was fitted on."""
    image_sizes: tuple[tuple[Count, Count], ...] = ()
    """Every (height, width) those images have, in order; empty: not recorded, by an earlier version."""
    bit_depth: Annotated[int, Meta(ge=8, le=16)] = 8
    """Bits a channel of those images; of more than 8 the upper 8 were used (`pictures.depth`)."""
    patches: Count
    """Patches those images gave."""
    rows: Count
    dims: Count
    coreset_ratio: float | None
    seed: int
    threshold: float
    """Scores above it are defects."""
    threshold_basis: str
    """How the threshold was found, for people."""
    unlike_the_rest: tuple[OddImage, ...] = ()
    """Images that score far above the others; none in banks from before they were recorded."""
    outliers_count: bool = False
    """Whether such images took part in finding the threshold, because somebody vouched for them."""
    threshold_with_outliers: float | None = None
    """What the threshold would be with them; None: there are none, or they count."""
    schema: str = SCHEMA
