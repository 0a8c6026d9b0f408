"""The settings of detectors and of the head they share. No torch here: manifests are read without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from inspectd.errors import InputError
from inspectd.model.checks import (
    FLAG,
    Checked,
    OptionError,
    from_values,
    number,
    one_of,
    option,
    optional,
    share_box,
    whole,
)

ODD_DEVIATIONS: Final = 6.0
"""Robust standard deviations from the median of the good images beyond which a value is unlike the rest."""
ROBUST: Final = 1.4826
"""Median absolute deviations in a standard deviation of the normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Options(Checked):
    """Base of a detector's settings, which travel in the bank's manifest."""


@dataclass(frozen=True, kw_only=True)
class PatchCoreOptions(Options):
    """How PatchCore scores."""

    neighbours: int = option(1, whole(1, 64))
    """A patch's score is the mean distance to this many nearest patches of the bank."""
    local_scale: bool = option(default=True, check=FLAG)
    """Divide a distance by how far the nearest entry is from its own neighbours in the bank, so that rare
    but good looks, which lie scattered, count no more than common ones."""
    position_weight: float = option(0.7, number(0, 4))
    """Multiply a patch's distance by this power of its Mahalanobis distance from what good parts look like
    at the same place (PaDiM); 0: none."""
    reweight: bool = option(default=False, check=FLAG)
    """Scale an image's map by the paper's equation 7."""


@dataclass(frozen=True, kw_only=True)
class PaDiMOptions(Options):
    """How PaDiM models good parts."""

    dimensions: int = option(100, whole(1, 550))
    """Feature dimensions kept, at most those the backbone gives."""
    reduction: Literal["selection", "projection"] = option("selection", one_of("selection", "projection"))
    """Keep randomly chosen dimensions, or project onto random orthonormal directions."""
    shrinkage: float = option(0.05, number(0, 1))
    """Share of the mean covariance of all places in each place's own, which few images estimate poorly."""
    regularisation: float = option(0.01, number(0, 1000, above=True))
    """Added to every covariance's diagonal (section 3.2, epsilon)."""


@dataclass(frozen=True, kw_only=True)
class DFKDEOptions(Options):
    """How the density is estimated."""

    components: int = option(16, whole(1, 512))
    """Principal components kept, at most one fewer than there are images."""
    bandwidth: Literal["scott", "silverman", "cross-validation"] = option(
        "scott", one_of("scott", "silverman", "cross-validation")
    )
    """Rule for the kernel's width; cross-validation maximises the leave-one-out likelihood."""


@dataclass(frozen=True, kw_only=True)
class HeadOptions(Options):
    """How a map becomes a score."""

    standardise: bool = option(default=True, check=FLAG)
    """Express each place in standard deviations from what good images score there."""
    smoothing: float = option(0.7, number(0, 8))
    """Standard deviation, in patches, of the Gaussian the map is smoothed with; 0: none."""
    top: int = option(3, whole(1, 4096))
    """The image's score is the mean of this many largest places."""
    pool: Literal["max", "mean"] = option("max", one_of("max", "mean"))
    """`max`: mean of the `top` largest places; `mean`: mean of all places."""
    alike: int = option(3, whole(0, 64))
    """How many good images that look most alike tell what the image would score if it were good; 0: none."""
    alike_weight: float = option(0.5, number(0, 1))
    """Share of that expectation that is taken off the score and the heatmap."""


KINDS: Final[dict[str, type[Options]]] = {
    "patchcore": PatchCoreOptions,
    "padim": PaDiMOptions,
    "dfkde": DFKDEOptions,
}


def options_of(kind: str, values: dict[str, Any]) -> Options:
    """The settings of a detector from plain values; what is left out has its default.

    Raises:
        InputError: there is no such detector, or a value does not fit it.
    """
    if kind not in KINDS:
        raise InputError(f"unknown detector {kind!r}, expected one of: {', '.join(KINDS)}")
    try:
        return from_values(KINDS[kind], values)
    except OptionError as error:
        raise InputError(f"options of detector {kind!r}: {error}") from error


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
