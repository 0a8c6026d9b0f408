"""What a build of a bank is asked for, and what of it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.file import Excluded
from inspectd.bank.images import read_image
from inspectd.bank.polygons import JudgedArea
from inspectd.bank.settings_choice import SettingsChoice
from inspectd.errors import InputError
from inspectd.model.architectures import DEFAULT_BACKBONE
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import BackbonePrecision, HeadOptions, PatchOptions, WantedPrecision
from inspectd.pictures.region import is_same_shape, pixels_of

MOST_WORKERS: Final = 64


class Prepared(NamedTuple):
    """What makes the features of a bank.

    Attributes:
        extractor: on the build's device.
        precision: of its backbone.
        tensors: of the bank file, by name, where its weights alone do not give that backbone.
    """

    extractor: FeatureExtractor
    precision: BackbonePrecision = "float32"
    tensors: Mapping[str, NDArray[np.uint8]] = MappingProxyType({})


Prepare = Callable[[FeatureExtractor, WantedPrecision, Sequence[NDArray[np.uint8]]], Prepared]
"""Called with an extractor in float32, the precision a build asks for, and some of its images; see
`backends.precisions.prepare`."""


@dataclass(frozen=True)
class BuildSpec:
    """Settings of a build.

    Attributes:
        options: the detector's own settings; the others have their defaults.
        coreset: share of all patches to keep (float, up to 1), or their number (int).
        bank_mb: size of the patches to keep, in MB of 1e6 bytes, instead of `coreset`.
        memory_gb: limit of the whole build; the features of all images are held at once.
        mask: an image whose pixels above 127 are scored, of the region's shape; or (h, w) bool, the patches
            that are; None: all.
        area: what of every image is judged, by polygons; with `mask` what both leave. None: all.
        foreground: judge the places where the images show a part before a background, and no others; then
            there is neither `mask` nor `area`.
        strict: refuse unreadable images instead of leaving them out.
        keep_outliers: all outliers are good, and count in finding the threshold.
        accepted: sha256 of the pixels of images that are, in hexadecimal.
        excluded: images that were taken out of an earlier bank of the same images.
        taught: sha256 of the pixels of images that are in it because the line rejected them, in hexadecimal:
            they give rows to the bank, and nothing to threshold, head and limits of quality, which stand for
            parts drawn by chance.
        parts: the part that each image shows, by the image's name; None: nobody said it, and each is taken to
            show another.
        bit_depth: bits a channel of the images; above 8 they lie in words of 16.
        precision: of the backbone; `auto`: the fastest of the device, if it is much faster than float32.
        settings_choice: how some of these settings were chosen, for the bank to record.
        workers: processes that choose PatchCore's coreset, each for a share of the images; 1: this one does.
            The bank is the same.
        ray: HOST:PORT of a Ray cluster whose machines the workers run on; each makes and keeps the features
            of its share, and `memory_gb` is the limit of each. None: they run here.
    """

    detector: str = "patchcore"
    options: dict[str, Any] = field(default_factory=dict)
    head: HeadOptions = field(default_factory=HeadOptions)
    patches: PatchOptions = field(default_factory=PatchOptions)
    backbone: str = DEFAULT_BACKBONE
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    height: int = 256
    width: int = 256
    coreset: float | int = 0.04
    bank_mb: float | None = None
    seed: int = 0
    memory_gb: float = 3.0
    mask: Path | NDArray[np.bool_] | None = None
    area: JudgedArea | None = None
    foreground: bool = False
    strict: bool = False
    keep_outliers: bool = False
    accepted: frozenset[str] = frozenset()
    excluded: tuple[Excluded, ...] = ()
    taught: frozenset[str] = frozenset()
    parts: Mapping[str, str] | None = None
    bit_depth: int = 8
    precision: WantedPrecision = "float32"
    settings_choice: SettingsChoice | None = None
    workers: int = 1
    ray: str | None = None


def check_workers(spec: BuildSpec, device: torch.device) -> None:
    """Refuse more processes than there may be, and any where nothing is theirs to do; raises InputError."""
    if not 1 <= spec.workers <= MOST_WORKERS:
        raise InputError(f"--workers: got {spec.workers}, expected 1 to {MOST_WORKERS}")
    if spec.workers > 1 and (spec.detector != "patchcore" or device.type != "cpu"):
        raise InputError(
            f"--workers: got {spec.workers} with {spec.detector} on {device}, expected it with patchcore on "
            "the CPU, whose coreset they choose"
        )


def check_ray(spec: BuildSpec, imported: Prepared | None, device: torch.device) -> None:
    """Refuse what the workers of a cluster do not do; raises InputError."""
    for given, what in (
        (spec.detector != "patchcore" or imported is not None, f"--detector {spec.detector}"),
        (spec.foreground, "--foreground"),
        (spec.precision != "float32", f"--precision {spec.precision}"),
        (device.type != "cpu", f"--device {device}"),
    ):
        if given:
            raise InputError(
                f"--ray: got it with {what}, expected it with patchcore in float32 on the CPU alone"
            )


def judged_patches(spec: BuildSpec, shape: tuple[int, int, int]) -> torch.Tensor | None:
    """(h, w) bool: the patches that mask and polygons both leave to be judged; None: all.

    Raises:
        InputError: they leave none.
    """
    mask = None if spec.mask is None else _mask(spec.mask, shape)
    if spec.area is None:
        return mask
    judged = torch.from_numpy(spec.area.patches(spec.patches.region, *shape[:2]))
    judged = judged if mask is None else judged & mask
    if not judged.any():
        raise InputError("--polygon, --exclude-polygon, --mask: leave no patch to judge")
    return judged


def _mask(path: Path | NDArray[np.bool_], shape: tuple[int, int, int]) -> torch.Tensor:
    """(h, w) bool: the patches of which at least half is scored, of features of a shape (h, w, D)."""
    if not isinstance(path, Path):
        return torch.from_numpy(path)
    height, width, _ = shape
    share = cv2.resize(_painted(path), (width, height), interpolation=cv2.INTER_AREA)
    if not (share > 127).any():
        raise InputError(f"--mask: {path} leaves no patch to judge, expected white where parts are judged")
    return torch.from_numpy(share > 127)


def _painted(path: Path) -> NDArray[np.uint8]:
    """The levels (H, W) uint8 of a mask."""
    image = read_image(path)
    if image is None:
        raise InputError(f"--mask: {path} cannot be read as an image")
    return np.asarray(image.max(axis=2))


class OfPictures:
    """Refuses pictures that are not those on which it was drawn what of them is judged.

    A mask that is stretched over another picture, or laid over a region though it was painted on the whole of
    it, leaves other places out than it is meant to: a defect there would pass.

    Args:
        spec: of a build.

    Raises:
        InputError: its mask cannot be read.
    """

    def __init__(self, spec: BuildSpec) -> None:
        self._spec = spec
        self._mask = None if not isinstance(spec.mask, Path) else _painted(spec.mask).shape[:2]

    def refuse(self, height: int, width: int) -> None:
        """Refuse a picture of this size, in pixels, if it is another one.

        Raises:
            InputError: it is.
        """
        spec = self._spec
        if spec.area is not None:
            spec.area.refuse_size(height, width)
        if self._mask is None:
            return
        rows, columns = pixels_of(spec.patches.region, height, width)
        judged = rows.stop - rows.start, columns.stop - columns.start
        is_of_whole = self._mask == (height, width) != judged
        if is_same_shape(self._mask, judged) and not is_of_whole:
            return
        where = "" if judged == (height, width) else f", of which --roi leaves {judged[1]}x{judged[0]}"
        raise InputError(
            f"--mask: {spec.mask} is {self._mask[1]}x{self._mask[0]}, an image is {width}x{height}{where}: "
            "expected a mask of what is judged, in its size or in its shape in another scale; for images of "
            "several shapes draw polygons in shares (--polygon)"
        )


def rows_of(bank_mb: float, patch_bytes: int) -> int:
    """Patches of so many bytes that a bank of a size holds."""
    rows = int(bank_mb * 1e6 / patch_bytes)
    if rows < 1:
        raise InputError(f"--bank-mb: {bank_mb} MB hold no patch of {patch_bytes} bytes")
    return rows
