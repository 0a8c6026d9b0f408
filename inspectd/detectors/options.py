"""The settings of detectors and of the head they share. No torch here: manifests are read without it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from inspectd.errors import InputError


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a detector's settings, which travel in the bank's manifest."""


class PatchCoreOptions(Options, frozen=True, kw_only=True):
    """How PatchCore scores."""

    neighbours: Annotated[int, Meta(ge=1, le=64)] = 1
    """A patch's score is the mean distance to this many nearest patches of the bank."""
    local_scale: bool = True
    """Divide a distance by how far the nearest entry is from its own neighbours in the bank, so that rare
    but good looks, which lie scattered, count no more than common ones."""
    position_weight: Annotated[float, Meta(ge=0, le=4)] = 0.5
    """Multiply a patch's distance by this power of its Mahalanobis distance from what good parts look like
    at the same place (PaDiM); 0: none."""
    reweight: bool = False
    """Scale an image's map by the paper's equation 7."""


class PaDiMOptions(Options, frozen=True, kw_only=True):
    """How PaDiM models good parts."""

    dimensions: Annotated[int, Meta(ge=1, le=550)] = 100
    """Feature dimensions kept, at most those the backbone gives."""
    reduction: Literal["selection", "projection"] = "selection"
    """Keep randomly chosen dimensions, or project onto random orthonormal directions."""
    shrinkage: Annotated[float, Meta(ge=0, le=1)] = 0.05
    """Share of the mean covariance of all places in each place's own, which few images estimate poorly."""
    regularisation: Annotated[float, Meta(gt=0, le=1000)] = 0.01
    """Added to every covariance's diagonal (section 3.2, epsilon)."""


class DFKDEOptions(Options, frozen=True, kw_only=True):
    """How the density is estimated."""

    components: Annotated[int, Meta(ge=1, le=512)] = 16
    """Principal components kept, at most one fewer than there are images."""
    bandwidth: Literal["scott", "silverman", "cross-validation"] = "scott"
    """Rule for the kernel's width; cross-validation maximises the leave-one-out likelihood."""


class HeadOptions(Options, frozen=True, kw_only=True):
    """How a map becomes a score."""

    standardise: bool = True
    """Express each place in standard deviations from what good images score there."""
    smoothing: Annotated[float, Meta(ge=0, le=8)] = 0.7
    """Standard deviation, in patches, of the Gaussian the map is smoothed with; 0: none."""
    top: Annotated[int, Meta(ge=1, le=4096)] = 3
    """The image's score is the mean of this many largest places."""
    pool: Literal["max", "mean"] = "max"
    """`max`: mean of the `top` largest places; `mean`: mean of all places."""


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
        return msgspec.convert(values, KINDS[kind])
    except msgspec.ValidationError as error:
        raise InputError(f"options of detector {kind!r}: {error}") from error
