"""The settings of detectors and of the head they share. No torch here: manifests are read without it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, field, inspect

from inspectd.errors import InputError

OUTLIER_DEVIATIONS: Final = 6.0
"""Robust standard deviations from the median of the good images beyond which a value is an outlier."""
ROBUST: Final = 1.4826
"""Median absolute deviations in a standard deviation of the normal distribution."""

IMPORTED: Final = "imported"
"""The kind of detector that is a model trained elsewhere."""

PACKAGED: Final = "packaged"
DOWNLOAD: Final = "download"
RANDOM: Final = "random"
"""Weights drawn with a fixed seed: enough to measure speed, not to find defects."""

Share = Annotated[float, Meta(ge=0, le=1)]

BackbonePrecision = Literal["float32", "bfloat16", "int8"]
"""Of a backbone's arithmetic. Noise of it adds to every distance, so a bank, its statistics and its threshold
are made in the precision they are used in."""
WantedPrecision = Literal["auto", "float32", "bfloat16", "int8"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of settings that travel in a bank's manifest."""


class PatchCoreOptions(Options, frozen=True, kw_only=True):
    """Settings of PatchCore."""

    neighbours: Annotated[int, Meta(ge=1, le=64)] = 1
    """A patch's score is the mean distance to this many nearest patches of the bank."""
    local_scale: bool = True
    """Divide a distance by how far the nearest entry is from its own neighbours in the bank, so that rare
    but good variants, which lie scattered, count no more than common ones."""
    position_weight: Annotated[float, Meta(ge=0, le=4)] = 0.7
    """Multiply a patch's distance by this power of its Mahalanobis distance from good parts at the same
    position (PaDiM); 0: none."""
    reweight: bool = False
    """Scale an image's map by the paper's equation 7."""


class PaDiMOptions(Options, frozen=True, kw_only=True):
    """Settings of PaDiM."""

    dimensions: Annotated[int, Meta(ge=1, le=550)] = 100
    """Feature dimensions kept, at most those the backbone gives."""
    reduction: Literal["selection", "projection"] = "selection"
    """Keep randomly chosen dimensions, or project onto random orthonormal directions."""
    shrinkage: Share = 0.05
    """Share of the mean covariance of all positions in each position's own, which few images estimate
    poorly."""
    regularisation: Annotated[float, Meta(gt=0, le=1000)] = 0.01
    """Added to every covariance's diagonal (section 3.2, epsilon)."""


class DFKDEOptions(Options, frozen=True, kw_only=True):
    """Settings of DFKDE."""

    components: Annotated[int, Meta(ge=1, le=512)] = 16
    """Principal components kept, at most one fewer than there are images."""
    bandwidth: Literal["scott", "silverman", "cross-validation"] = "scott"
    """Rule for the kernel's width; cross-validation maximises the leave-one-out likelihood."""


class ImportedOptions(Options, frozen=True, kw_only=True):
    """Settings of a model that was trained elsewhere: how it takes pictures, and what it says of them."""

    judged: Literal["score", "map"] = "score"
    """What counts: the model's own score of the image, or its map of places, by the head."""
    score_output: str | None = None
    """Name of the output that is the score; None: it gives none."""
    map_output: str | None = None
    """Name of the output that is the map; None: it gives none."""
    is_lower_worse: bool = False
    """Whether the model gives defects lower values than good parts: the sign of all is then changed."""
    colours: Literal["rgb", "bgr", "grey"] = "rgb"
    """Order of the channels that it takes."""
    channels: Literal["first", "last"] = "first"
    """Whether they come before height and width or after these."""
    scale: Annotated[float, Meta(gt=0, le=65_535)] = 255.0
    """Pixel values, 0 to 255, are divided by this,"""
    mean: tuple[float, ...] = (0.0,)
    """then this is taken off each channel, of one value all,"""
    deviation: tuple[Annotated[float, Meta(gt=0)], ...] = (1.0,)
    """and each is divided by this."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that are used, in the order of the features made of them."""
        return tuple(name for name in (self.map_output, self.score_output) if name is not None)


class HeadOptions(Options, frozen=True, kw_only=True):
    """Settings of the head, which makes a score of a map."""

    standardise: bool = True
    """Express each position in standard deviations from what good images score there."""
    smoothing: Annotated[float, Meta(ge=0, le=8)] = 0.7
    """Standard deviation, in patches, of the Gaussian the map is smoothed with; 0: none."""
    top: Annotated[int, Meta(ge=1, le=4096)] = 3
    """The image's score is the mean of this many largest positions."""
    pool: Literal["max", "mean"] = "max"
    """`max`: mean of the `top` largest positions; `mean`: mean of all positions."""
    similar_images: Annotated[int, Meta(ge=0, le=64)] = field(default=3, name="alike")
    """Number of most similar good images that predict what the image would score if it were good; 0: none."""
    similar_weight: Share = field(default=0.5, name="alike_weight")
    """Share of that prediction that is taken off the score and the heatmap."""


class PatchOptions(Options, frozen=True, kw_only=True):
    """Settings by which a backbone's feature maps become patch features."""

    grid: Literal["coarse", "fine"] = "coarse"
    """One patch for each cell of the coarsest layer, or of the finest: slower, with a sharper heatmap."""
    region: tuple[Share, Share, Share, Share] | None = None
    """The part of every image that is scored: left, top, width and height as shares of the image."""
    compression: Annotated[float, Meta(gt=0, le=1)] = 0.75
    """Each value v becomes sign(v) |v|^compression, which tames the heavy tails of deep features; 1: none."""
    dimensions: Annotated[int, Meta(ge=1, le=65_536)] | None = None
    """Average neighbouring channels down to this many dimensions, at most those the layers give; None: keep
    them all."""
    final_norm: bool = True
    """Normalise a transformer's tokens as it does itself after its last block; no other network has them."""


KINDS: Final[dict[str, type[Options]]] = {
    "patchcore": PatchCoreOptions,
    "padim": PaDiMOptions,
    "dfkde": DFKDEOptions,
}
"""Of the detectors that learn from good images."""


def smoothing_reach(deviation: float) -> int:
    """Positions to each side that a Gaussian of a standard deviation, in positions, takes in."""
    return int(3.0 * deviation + 0.5)


_Struct = TypeVar("_Struct", bound=msgspec.Struct)


def options_of(kind: str, values: dict[str, Any]) -> Options:
    """Settings of a detector from plain values; the others have their defaults.

    Raises:
        InputError: the detector is unknown, or a value does not fit.
    """
    kinds: dict[str, type[Options]] = {**KINDS, IMPORTED: ImportedOptions}
    if kind not in kinds:
        raise InputError(f"unknown detector {kind!r}, expected one of: {', '.join(kinds)}")
    return converted(values, kinds[kind], f"options of detector {kind!r}")


def converted(values: object, kind: type[_Struct], where: str) -> _Struct:
    """A struct of plain values.

    Raises:
        InputError: a value does not fit, or has an unknown name; begins with `where`.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {_problem(error, values, kind)}") from error


def _problem(error: msgspec.ValidationError, values: Any, kind: Any) -> str:
    """The value that msgspec refused, where it is, and what was expected there."""
    detail, _, path = str(error).partition(" - at `$")
    expected: Any = inspect.type_info(kind)
    names: list[str] = []
    for name in re.findall(r"\w+", path):
        if not isinstance(values, dict):  # within a list, which is shown whole
            break
        values = values[name]
        expected = next(one.type for one in expected.fields if one.encode_name == name)
        names.append(name)
    at = ".".join(names)
    if not isinstance(values, dict):
        return f"{at} is {values!r:.200}, expected {_expected(expected) or detail.removeprefix('Expected ')}"
    known = [one.encode_name for one in expected.fields]
    for name in values:
        if name not in known:
            return f"{at + ' has' if at else 'there is'} no {name!r}, expected one of: {', '.join(known)}"
    return f"{at or 'it'}: {detail}"


def _expected(kind: inspect.Type) -> str:
    """Description of the values that fit a type, for people; empty: msgspec's own words serve."""
    text = ""
    match kind:
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            text = _expected(inner)
        case inspect.IntType(ge=int(least), le=int(most)):
            text = f"a whole number from {least} to {most}"
        case inspect.FloatType(gt=None, ge=int(least), le=int(most)):
            text = f"a number from {least} up to {most}"
        case inspect.FloatType(gt=int(least), ge=None, le=int(most)):
            text = f"a number above {least} up to {most}"
        case inspect.BoolType():
            text = "true or false"
        case inspect.LiteralType(values=values):
            text = f"one of: {', '.join(map(str, values))}"
        case inspect.TupleType(item_types=items):
            text = f"{len(items)} values, each {_expected(items[0])}"
    return text
