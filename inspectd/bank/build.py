"""Builds a bank from images of good parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.collect import Collection, NamedFrame, collect, feature_dtype, memory_bytes
from inspectd.bank.file import GOOD_SCORES, IMAGE_DIGESTS, Manifest, OddImage, write_bank
from inspectd.bank.fit import CrossFit, FitSpec, cross_fit, fit_detector
from inspectd.bank.images import named_image, read_image
from inspectd.bank.threshold import conformal_threshold, unlike_the_rest
from inspectd.errors import InputError
from inspectd.model.backbones import DEFAULT_BACKBONE, Backbone, load_backbone
from inspectd.model.detectors import Detector
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import HeadOptions, PatchOptions, options_of

Progress = Callable[[str, int, int], None]
"""Called with the name of the step, how much of it is done, and how much there is."""

FEWEST_IMAGES: Final = 10
FALSE_REJECT_RATE: Final = 0.01


@dataclass(frozen=True)
class BuildSpec:
    """What to build.

    Attributes:
        options: the detector's own settings; what is left out has its default.
        device: what computes, `cpu` or `cuda:N`.
        coreset: share of all patches to keep (float, up to 1), or how many of them (int).
        memory_gb: what the whole build may take; the features of all images are held at once.
        mask: an image whose pixels above 127 are judged, laid over the region that is looked at; None: all.
        strict: refuse unreadable images instead of leaving them out.
        keep_outliers: images unlike the rest are good, and count in finding the threshold.
        bit_depth: bits a channel of the images; above 8 they lie in words of 16.
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
    seed: int = 0
    device: str = "cpu"
    memory_gb: float = 3.0
    mask: Path | None = None
    strict: bool = False
    keep_outliers: bool = False
    bit_depth: int = 8


class BankSize(msgspec.Struct, frozen=True):
    """How much a bank remembers."""

    rows: int
    dims: int


class BuildReport(msgspec.Struct, frozen=True):
    """What was built, what was noticed, and how long each step took."""

    images: int
    patches: int
    bank: BankSize
    threshold: float
    extract_s: float
    coreset_s: float
    fit_s: float
    """Fitting everything, the cross-fit for the threshold included."""
    sha256: str
    unreadable: dict[str, str]
    """Images that cannot be used, each with the reason."""
    duplicates: list[str]
    odd_sizes: list[str]
    """Image sizes that fewer than one image in twenty has."""
    unlike_the_rest: list[str]
    """Images that score far above the others: look whether they show good parts."""
    outliers_count: bool
    """Whether these took part in finding the threshold."""
    threshold_with_outliers: float | None
    """What the threshold would be with them; None: there are none, or they count."""
    left_out: dict[str, int] = {}
    """Why other files of the folder were passed over, and how many."""


def build_bank(paths: Sequence[Path], out: Path, spec: BuildSpec, progress: Progress) -> BuildReport:
    """Fit a detector on image files of good parts, find its threshold and write the bank file.

    Raises:
        InputError: too few images can be read, or the specification cannot be met.
        UnavailableError: the device is not there, or the file cannot be written.
    """
    frames = (named_image(path, spec.bit_depth) for path in paths)
    return build_from_frames(frames, len(paths), out, spec, progress)


def plan(spec: BuildSpec, images: int) -> str:
    """What building with so many images will take, for people.

    Raises:
        InputError: it does not fit in the memory that is allowed.
    """
    height, width, dims = _extractor(spec)[1].shape()
    dtype = feature_dtype(images, height * width, dims, _limit_bytes(spec))
    needed = memory_bytes(images, height * width, dims, dtype) / 1e9
    return (
        f"{images} images, {height}x{width} patches of {dims} dimensions each: "
        f"at most {needed:.1f} GB of memory of {spec.memory_gb:g} GB allowed"
    )


def patch_bytes(spec: BuildSpec) -> int:
    """Bytes one patch takes in the bank."""
    return 4 * _extractor(spec)[1].shape()[2]


def _extractor(spec: BuildSpec) -> tuple[Backbone, FeatureExtractor]:
    device = torch.device(spec.device)
    backbone = load_backbone(spec.backbone, spec.layers, spec.weights, device)
    return backbone, FeatureExtractor(backbone, spec.height, spec.width, device, spec.patches)


def _limit_bytes(spec: BuildSpec) -> int:
    return int(spec.memory_gb * 1e9)


def build_from_frames(
    frames: Iterable[NamedFrame], total: int, out: Path, spec: BuildSpec, progress: Progress
) -> BuildReport:
    """As `build_bank`, from any source of images.

    Args:
        frames: every image with its name.
        total: the most images there can be.
        out: the bank file to write.
        spec: what to build.
        progress: told of every step's progress.
    """
    options = options_of(spec.detector, spec.options)
    if spec.detector == "dfkde":  # it compares whole images itself
        spec = replace(spec, head=replace(spec.head, alike=0))
    backbone, extractor = _extractor(spec)
    mask = None if spec.mask is None else _mask(spec.mask, spec, extractor)
    fit = FitSpec(options, spec.head, spec.coreset, spec.seed, mask)
    start = time.perf_counter()
    names: list[str] = []
    progress("features", 0, total)
    images = collect(
        extractor,
        _noted(frames, names),
        total,
        _limit_bytes(spec),
        lambda done: progress("features", done, total),
    )
    _enough(images, spec)
    extracted = time.perf_counter()
    with torch.inference_mode():
        fitted = fit_detector(images.features, fit, lambda done, count: progress("bank", done, count))
        held_out = cross_fit(images.features, fit, lambda done, count: progress("threshold", done, count))
    finished = time.perf_counter()
    used = [name for name in names if name not in {*images.unreadable, *images.duplicates}]
    found = _find_threshold(held_out.scores, keep_outliers=spec.keep_outliers)
    manifest = msgspec.structs.replace(
        _manifest(spec, backbone, images, fitted.detector, found),
        unlike_the_rest=_odd_images(used, images.digests, held_out.scores, found.odd),
    )
    sha256 = write_bank(out, manifest, _arrays(fitted.detector, held_out, images))
    return BuildReport(
        images=manifest.images,
        patches=manifest.patches,
        bank=BankSize(manifest.rows, manifest.dims),
        threshold=manifest.threshold,
        extract_s=round(extracted - start, 3),
        coreset_s=round(fitted.coreset_seconds, 3),
        fit_s=round(finished - extracted, 3),
        sha256=sha256,
        unreadable=images.unreadable,
        duplicates=images.duplicates,
        odd_sizes=_odd_sizes(images),
        unlike_the_rest=[used[row] for row in found.odd],
        outliers_count=manifest.outliers_count,
        threshold_with_outliers=manifest.threshold_with_outliers,
    )


def _mask(path: Path, spec: BuildSpec, extractor: FeatureExtractor) -> torch.Tensor:
    """(h, w) bool on the extractor's device: the patches of which at least half is judged."""
    if spec.detector == "dfkde":
        raise InputError("--mask: dfkde judges images as a whole, expected patchcore or padim")
    image = read_image(path)
    if image is None:
        raise InputError(f"--mask: {path} cannot be read as an image")
    height, width, _ = extractor.shape()
    share = cv2.resize(image.max(axis=2), (width, height), interpolation=cv2.INTER_AREA)
    if not (share > 127).any():
        raise InputError(f"--mask: {path} leaves no patch to judge, expected white where parts are judged")
    return torch.from_numpy(share > 127).to(extractor.device)


def _noted(frames: Iterable[NamedFrame], names: list[str]) -> Iterator[NamedFrame]:
    for name, frame in frames:
        names.append(name)
        yield name, frame


def _enough(images: Collection, spec: BuildSpec) -> None:
    if spec.strict and images.unreadable:
        named = "; ".join(f"{name}: {why}" for name, why in images.unreadable.items())
        raise InputError(f"{len(images.unreadable)} unreadable images: {named}")
    count = len(images.features)
    if count < FEWEST_IMAGES:
        left_out = f"{len(images.unreadable)} unreadable and {len(images.duplicates)} repeated ones left out"
        first = "".join(f"; {name}: {why}" for name, why in list(images.unreadable.items())[:1])
        raise InputError(
            f"{count} images of good parts ({left_out}{first}), "
            f"expected at least {FEWEST_IMAGES}; 100 to 500 serve well"
        )


@dataclass(frozen=True)
class _Found:
    """A threshold, how it came about, and the rows of images that are unlike the rest."""

    threshold: float
    basis: str
    odd: list[int]
    with_outliers: float | None


def _find_threshold(scores: NDArray[np.float64], *, keep_outliers: bool) -> _Found:
    odd = unlike_the_rest(scores)
    aside = 0 if keep_outliers else int(odd.sum())
    counted = scores[~odd] if aside else scores
    basis = f"{FALSE_REJECT_RATE:.1%} of {len(counted)} cross-fitted good scores above"
    return _Found(
        conformal_threshold(counted, FALSE_REJECT_RATE),
        f"{basis}, {aside} unlike the rest set aside" if aside else basis,
        np.flatnonzero(odd).tolist(),
        conformal_threshold(scores, FALSE_REJECT_RATE) if aside else None,
    )


def _odd_images(
    names: list[str], digests: NDArray[np.uint8], scores: NDArray[np.float64], odd: list[int]
) -> tuple[OddImage, ...]:
    """What the manifest says of them; without folders, which would make the same build another file."""
    readable = {row: Path(names[row]).name.encode(errors="backslashreplace").decode() for row in odd}
    return tuple(OddImage(readable[row], digests[row].tobytes().hex(), float(scores[row])) for row in odd)


def _manifest(
    spec: BuildSpec, backbone: Backbone, images: Collection, detector: Detector, found: _Found
) -> Manifest:
    return Manifest(
        detector=spec.detector,
        options=msgspec.to_builtins(options_of(spec.detector, spec.options)),
        head=spec.head,
        patches_of=spec.patches,
        backbone=backbone.name,
        weights=backbone.weights,
        weights_sha256=backbone.weights_sha256,
        layers=backbone.layers,
        input_height=spec.height,
        input_width=spec.width,
        images=len(images.features),
        image_sizes=tuple(sorted(images.sizes)),
        bit_depth=spec.bit_depth,
        patches=images.features[..., 0].numel(),
        rows=detector.rows,
        dims=detector.dims,
        coreset_ratio=spec.coreset if isinstance(spec.coreset, float) else None,
        seed=spec.seed,
        threshold=found.threshold,
        threshold_basis=found.basis,
        outliers_count=spec.keep_outliers and bool(found.odd),
        threshold_with_outliers=found.with_outliers,
    )


def _arrays(detector: Detector, held_out: CrossFit, images: Collection) -> dict[str, NDArray[Any]]:
    """Everything the bank file holds, by name."""
    tensors = {f"detector.{name}": tensor for name, tensor in detector.tensors().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in held_out.head.tensors().items()}
    arrays: dict[str, NDArray[Any]] = {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}
    return arrays | {GOOD_SCORES: held_out.scores, IMAGE_DIGESTS: images.digests}


def _odd_sizes(images: Collection) -> list[str]:
    total = sum(images.sizes.values())
    odd = [(size, count) for size, count in sorted(images.sizes.items()) if count * 20 < total]
    if sum(count for _, count in odd) * 2 > total:  # every size is odd: parts are cut out one by one
        return []
    return [f"{height}x{width} ({count})" for (height, width), count in odd]
