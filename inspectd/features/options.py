"""How patch features are made. No torch here: manifests are read without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inspectd.features.checks import Checked, number, one_of, option, optional, share_box, whole


@dataclass(frozen=True, kw_only=True)
class PatchOptions(Checked):
    """How a backbone's feature maps become patch features."""

    grid: Literal["coarse", "fine"] = option("coarse", one_of("coarse", "fine"))
    """One patch for each cell of the coarsest layer, or of the finest: slower, with a sharper heatmap."""
    region: tuple[float, float, float, float] | None = option(None, share_box)
    """The part of every image that is looked at: left, top, width and height as shares of the image."""
    compression: float = option(0.75, number(0, 1, above=True))
    """Each value v becomes sign(v) |v|^compression, which tames the heavy tails of deep features; 1: none."""
    dimensions: int | None = option(None, optional(whole(1, 65_536)))
    """Average neighbouring channels down to this many dimensions, at most those the layers give; None: keep
    them all."""
