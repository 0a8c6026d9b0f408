"""How patch features are made. No torch here: manifests are read without it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]


class PatchOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a backbone's feature maps become patch features."""

    grid: Literal["coarse", "fine"] = "coarse"
    """One patch for each cell of the coarsest layer, or of the finest: slower, with a sharper heatmap."""
    region: tuple[Share, Share, Share, Share] | None = None
    """The part of every image that is looked at: left, top, width and height as shares of the image."""
    compression: Annotated[float, Meta(gt=0, le=1)] = 0.75
    """Each value v becomes sign(v) |v|^compression, which tames the heavy tails of deep features; 1: none."""
