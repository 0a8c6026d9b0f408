"""Builds a bank from images of good parts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.alike import MOST_ALIKE, alike
from inspectd.bank.blind import highest_odd
from inspectd.bank.build_spec import (
    BuildSpec,
    OfPictures,
    Prepare,
    Prepared,
    check_ray,
    check_workers,
    judged_patches,
    rows_of,
)
from inspectd.bank.built import BankSize, BuildReport, Built, rare_sizes
from inspectd.bank.collect import (
    BuildMemory,
    Collection,
    Look,
    ShareMemory,
    collect,
    feature_dtype,
    filling,
    kept_bytes,
)
from inspectd.bank.coreset_workers import CoresetWorkers
from inspectd.bank.file import (
    GOOD_SCORES,
    IMAGE_PARTS,
    Manifest,
    Outlier,
    write_bank,
)
from inspectd.bank.fit import CrossFit, Features, FeaturesHere, FitSpec, Fitted, cross_fit
from inspectd.bank.foreground import learn_foreground
from inspectd.bank.image_records import arrays_of, taught_images, taught_rows, unlike_the_rest
from inspectd.bank.images import NamedFrame, digest_of, named_image
from inspectd.bank.lists import add_lists
from inspectd.bank.patches import SharedFeatures
from inspectd.bank.progress import Progress
from inspectd.bank.share import ShareSpec, shares_of
from inspectd.bank.threshold import FoundThreshold, find_threshold, outlier_limit, outliers
from inspectd.errors import InputError
from inspectd.model.backbones import load_backbone
from inspectd.model.detectors import Detector
from inspectd.model.features import FeatureExtractor
from inspectd.model.options import (
    BackbonePrecision,
    Options,
    PaDiMOptions,
    PatchCoreOptions,
    options_of,
)
from inspectd.model.pipeline import ReferencePipeline
from inspectd.model.score import Scoring
from inspectd.pictures.parts import numbered
from inspectd.quality.align import AlignedLearnt, AligningPipeline
from inspectd.quality.learn import QualityLearner

if TYPE_CHECKING:
    from inspectd.bank.ray_workers import RayWorkers


FEWEST_IMAGES: Final = 10
_LOOKED_AT: Final = 100
"""Images that tell which values a backbone has, before the first is used."""


class BankBuilder:
    """Builds banks by one specification; its backbone is loaded once.

    Args:
        spec: settings.
        device: `cpu` or `cuda:N`.
        prepare: brings the backbone to another precision than float32.
        imported: what makes the features where the detector is an imported model; None: the backbone that
            the specification names.

    Raises:
        InputError: the specification cannot be met.
    """

    def __init__(
        self,
        spec: BuildSpec,
        device: str = "cpu",
        prepare: Prepare | None = None,
        *,
        imported: Prepared | None = None,
    ) -> None:
        self._spec = spec
        self._prepare = prepare
        self._imported = imported
        target = torch.device(device)
        if spec.ray is not None:
            check_ray(spec, imported, target)
        check_workers(spec, target)
        options, head = options_of(spec.detector, spec.options), spec.head
        if spec.detector == "dfkde":  # it compares whole images itself
            if spec.mask is not None or spec.area is not None or spec.foreground:
                raise InputError(
                    "--mask, --polygon, --foreground: dfkde judges images as a whole, expected patchcore or "
                    "padim"
                )
            head = msgspec.structs.replace(head, similar_images=0)
        if spec.foreground and (spec.mask is not None or spec.area is not None):
            raise InputError("--foreground: finds what is judged, expected it without --mask and polygons")
        if imported is None:
            backbone = load_backbone(
                spec.backbone, spec.layers, spec.weights, target,
                size=(spec.height, spec.width), final_norm=spec.patches.final_norm,
            )  # fmt: skip
            self._extractor = FeatureExtractor(backbone, spec.height, spec.width, target, spec.patches)
        else:
            self._extractor = imported.extractor
        self._backbone = self._extractor.backbone
        self._shape = self._extractor.shape()
        judged = judged_patches(spec, self._shape)
        mask = None if judged is None else judged.to(target)
        coreset = spec.coreset if spec.bank_mb is None else rows_of(spec.bank_mb, 4 * self._shape[2])
        self._fit = FitSpec(options, head, coreset, spec.seed, mask)
        self._memory = BuildMemory(_place_dims(options), spec.workers)

    @property
    def extractor(self) -> FeatureExtractor:
        """What makes the features."""
        return self._extractor

    @property
    def fit_spec(self) -> FitSpec:
        """Settings of what is made of the features."""
        return self._fit

    def room_for(self, images: int) -> torch.Tensor:
        """(images, h, w, D) float32, or float16 where that does not fit in memory, for features.

        Raises:
            InputError: neither fits in the memory that is allowed.
        """
        return torch.empty((images, *self._shape), dtype=self._dtype(images), device=self._extractor.device)

    @property
    def weights_sha256(self) -> str:
        """Digest of the backbone's weights."""
        return self._backbone.weights_sha256

    def estimate(self, images: int) -> str:
        """Memory that building with so many images takes, for people.

        Raises:
            InputError: it does not fit in the memory that is allowed.
        """
        height, width, dims = self._shape
        if self._spec.ray is not None:
            share = -(-images // self._spec.workers)
            memory = self._share_memory()
            needed = memory.peak_bytes(share, height * width, dims, self._dtype(images)) / 1e9
            return (
                f"{images} images, {height}x{width} patches of {dims} dimensions each: at most "
                f"{needed:.1f} GB of memory for each of {self._spec.workers} workers and "
                f"{kept_bytes(images, height * width) / 1e9:.1f} GB here, of {self._spec.memory_gb:g} GB "
                "allowed for each"
            )
        needed = self._memory.peak_bytes(images, height * width, dims, self._dtype(images)) / 1e9
        return (
            f"{images} images, {height}x{width} patches of {dims} dimensions each: "
            f"at most {needed:.1f} GB of memory of {self._spec.memory_gb:g} GB allowed"
        )

    def build(self, frames: Iterable[NamedFrame], total: int, out: Path, progress: Progress) -> BuildReport:
        """Fit a detector on images of good parts, find its threshold and write the bank file.

        Args:
            frames: every image with its name.
            total: the most images there can be.
            out: the bank file to write.
            progress: called with every step's progress.

        Raises:
            InputError: too few images can be read, or their features do not fit in memory.
            UnavailableError: the file cannot be written.
        """
        return self.write(self.fit(frames, total, progress), out)

    def write(self, built: Built, out: Path) -> BuildReport:
        """Write the bank file; raises as `build`."""
        manifest, images = built.manifest, built.images
        own = np.flatnonzero(~self._taught(images))
        extract_s, coreset_s, fit_s = (round(seconds, 3) for seconds in built.seconds)
        return BuildReport(
            images=manifest.images,
            patches=manifest.patches,
            bank=BankSize(manifest.rows, manifest.dims),
            threshold=manifest.threshold,
            extract_s=extract_s,
            coreset_s=coreset_s,
            fit_s=fit_s,
            sha256=write_bank(out, manifest, built.arrays),
            unreadable=images.unreadable,
            duplicates=images.duplicates,
            rare_sizes=rare_sizes(images),
            outliers=[images.names[row] for row in own[outliers(built.arrays[GOOD_SCORES])]],
            outliers_count=self._spec.keep_outliers and bool(manifest.outliers),
            threshold_with_outliers=manifest.threshold_with_outliers,
            quality=manifest.quality,
            radius=None if built.radius is None else round(built.radius, 4),
            workers_lost=built.workers_lost,
            parts=None if IMAGE_PARTS not in built.arrays else len(np.unique(built.arrays[IMAGE_PARTS])),
            alike=[list(names) for names in built.alike],
        )

    def fit(
        self,
        frames: Iterable[NamedFrame],
        total: int,
        progress: Progress,
        aligned: AlignedLearnt | None = None,
    ) -> Built:
        """As `build`, but no file is written.

        Args:
            frames: every image with its name.
            total: the most images there can be.
            progress: called with every step's progress.
            aligned: learnt of the same images before, which are aligned by it; None: they are taken as they
                are, and what frames have to be like is learnt meanwhile.

        Raises:
            InputError: as `build`.
            UnavailableError: a worker was lost again and again.
        """
        if self._spec.ray is not None:
            if aligned is not None:
                raise InputError("--ray: its workers align no images, expected --align off")
            from inspectd.bank.ray_workers import RayCluster  # noqa: PLC0415 - an extra of its own

            self._dtype(total)
            with RayCluster(self._spec.ray):
                return self._built(frames, total, progress, aligned, None)
        if self._spec.workers == 1:
            return self._built(frames, total, progress, aligned, None)
        with closing(SharedFeatures.make((total, *self._shape), self._dtype(total))) as shared:
            return self._built(frames, total, progress, aligned, shared)

    def _built(
        self,
        frames: Iterable[NamedFrame],
        total: int,
        progress: Progress,
        aligned: AlignedLearnt | None,
        shared: SharedFeatures | None,
    ) -> Built:
        start = time.perf_counter()
        first: list[NDArray[np.uint8]] = []
        made, frames = self._prepared(_first_kept(self._of_the_drawn_area(frames), first))
        reading = "features" if self._spec.ray is None else "images"
        progress(reading, 0, total)
        learner = QualityLearner(self._spec.patches.region, most=total, parts=self._spec.parts)
        look: Look = _looked_at(learner, self._spec.taught) if aligned is None else aligned.lay
        groups: list[int] = []
        room = torch.empty(0) if self._spec.ray is not None else self._room(total, shared)

        def left_to_workers(_rows: slice, laid: list[NDArray[np.uint8]]) -> None:
            groups.append(len(laid))  # they extract the same ones together

        take = filling(room, made.extractor) if self._spec.ray is None else left_to_workers
        images = collect(frames, total, take, lambda done: progress(reading, done, total), look)
        taught = self._taught(images)
        parts = self._parts(images, taught)
        with torch.inference_mode(), ExitStack() as stack:
            fit = self._fit
            features: Features
            workers: RayWorkers | CoresetWorkers | None = None
            if self._spec.ray is not None:
                features = workers = stack.enter_context(self._by_ray(images, groups, progress))
                extracted = time.perf_counter()
            else:
                tensor = room[: len(images.names)]
                extracted = time.perf_counter()
                if self._spec.foreground:
                    fit = replace(fit, mask=learn_foreground(tensor, np.flatnonzero(~taught).tolist()))
                if shared is None:
                    features = FeaturesHere(tensor)
                else:
                    workers = stack.enter_context(
                        CoresetWorkers(shared, len(tensor), fit.mask, self._spec.workers, fit.seed)
                    )
                    features = FeaturesHere(tensor, workers.choose)
            fitted, held_out = _fitted(features, fit, taught, parts, progress)
            same = self._alike(features, np.flatnonzero(~taught))
            lost = 0 if workers is None else workers.lost
        finished = time.perf_counter()
        own_scores = held_out.scores[~taught]
        unlike, aside = unlike_the_rest(self._spec, images, np.flatnonzero(~taught), own_scores)
        threshold = find_threshold(own_scores, aside, None if parts is None else parts[~taught])
        learnt = learner.learn() if aligned is None else aligned.learnt
        left_out = held_out.held_out
        pipeline: Scoring = ReferencePipeline(made.extractor, left_out.detector, left_out.head)
        if aligned is not None:
            pipeline = AligningPipeline(pipeline, aligned.check)
        manifest = self._manifest(images, fitted.detector, unlike, threshold, made.precision)
        manifest = msgspec.structs.replace(
            manifest,
            images=len(own_scores),
            taught=taught_images(images, np.flatnonzero(taught), held_out.scores, outlier_limit(own_scores)),
            highest_odd=highest_odd(pipeline, first[0]),
            alike=_said_if_many(same, len(own_scores)),
            quality=None if learnt is None else learnt.quality,
        )
        arrays = arrays_of(fitted.detector, held_out, images, taught, parts) | dict(made.tensors)
        if learnt is not None:
            arrays |= learnt.tensors
        seconds = (extracted - start, fitted.coreset_seconds, finished - extracted)
        return Built(
            manifest, arrays, images, seconds, fitted.radius, lost, pipeline,
            [images.names[row] for row in left_out.rows],
            taught_rows(images, np.flatnonzero(taught), fitted.row_images),
            [[images.names[row] for row in rows] for rows in same],
        )  # fmt: skip

    def _room(self, total: int, shared: SharedFeatures | None) -> torch.Tensor:
        return self.room_for(total) if shared is None else shared.tensor

    def _by_ray(self, images: Collection, groups: list[int], progress: Progress) -> RayWorkers:
        """Workers with the features of all images."""
        from inspectd.bank.ray_workers import RayWorkers  # noqa: PLC0415 - an extra of its own

        fit, total = self._fit, len(images.names)
        return RayWorkers(
            self._shares(images, groups), self._shape, fit.seed, fit.mask,
            lambda done: progress("features", done, total),
        )  # fmt: skip

    def _shares(self, images: Collection, groups: list[int]) -> list[ShareSpec]:
        spec, backbone, mask = self._spec, self._backbone, self._fit.mask
        every = ShareSpec(
            backbone=backbone.name,
            layers=backbone.layers,
            weights=backbone.weights,
            weights_sha256=backbone.weights_sha256,
            height=spec.height,
            width=spec.width,
            patches=spec.patches,
            bit_depth=spec.bit_depth,
            kind="float16" if self._dtype(len(images.names)) == torch.float16 else "float32",
            mask=None if mask is None else mask.numpy().tobytes(),
        )
        return shares_of(every, images.names, images.digests, groups, spec.workers)

    def _share_memory(self) -> ShareMemory:
        return ShareMemory(self._memory.place_dims, self._fit.mask is not None)

    def _taught(self, images: Collection) -> NDArray[np.bool_]:
        """Mask (N,) of the images that were taught."""
        wanted = self._spec.taught
        return np.array([digest.tobytes().hex() in wanted for digest in images.digests], dtype=bool)

    def _parts(self, images: Collection, taught: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Numbers (N,) of the parts that the images show; None: each shows another, or nobody said it.

        Raises:
            InputError: of too few parts one image can be used; see `_check_enough`.
        """
        named, parts = self._spec.parts, None
        own = np.flatnonzero(~taught)
        of_own = None if named is None else numbered([named[images.names[row]] for row in own])
        if of_own is not None:
            parts = np.arange(len(taught)) + len(own)  # each taught image by itself
            parts[own] = of_own
        count = int((~taught).sum()) if parts is None else len(np.unique(parts[~taught]))
        of_each = "" if parts is None else ", of each part one"
        _check_enough(images, count, of_each, strict=self._spec.strict)
        return parts

    def _alike(self, features: Features, own: NDArray[np.int64]) -> list[list[int]]:
        """Groups of the images `own` that look like several of one part each; none where parts were named."""
        if self._spec.parts is not None or self._imported is not None:
            return []
        groups = alike(features.embeddings()[torch.from_numpy(own)])
        return [own[rows].tolist() for rows in groups]

    def _of_the_drawn_area(self, frames: Iterable[NamedFrame]) -> Iterator[NamedFrame]:
        """The same frames; raises InputError at one on which mask or polygons were not drawn."""
        drawn_on = OfPictures(self._spec)
        for name, frame in frames:
            if not isinstance(frame, str):
                drawn_on.refuse(*frame.shape[:2])
            yield name, frame

    def _prepared(self, frames: Iterable[NamedFrame]) -> tuple[Prepared, Iterable[NamedFrame]]:
        """The extractor in the precision that is wanted, and all frames again."""
        if self._imported is not None:
            return self._imported, frames
        if self._spec.precision == "float32" or self._prepare is None:
            return Prepared(self._extractor), frames
        all_frames = iter(frames)
        first = list(itertools.islice(all_frames, _LOOKED_AT))
        taught = self._spec.taught
        pixels = [frame for _, frame in first if not isinstance(frame, str) and not _is_among(frame, taught)]
        made = self._prepare(self._extractor, self._spec.precision, pixels)
        return made, itertools.chain(first, all_frames)

    def _dtype(self, images: int) -> torch.dtype:
        height, width, dims = self._shape
        limit_bytes = int(self._spec.memory_gb * 1e9)
        if self._spec.ray is not None:
            if (needed := kept_bytes(images, height * width)) > limit_bytes:
                raise InputError(
                    f"{images} images of {height * width} patches need {needed / 1e9:.1f} GB here, "
                    f"{limit_bytes / 1e9:.1f} GB are allowed: raise --memory-gb, or use fewer images"
                )
            share = -(-images // self._spec.workers)
            return feature_dtype(share, height * width, dims, limit_bytes, self._share_memory())
        return feature_dtype(images, height * width, dims, limit_bytes, self._memory)

    def _manifest(
        self,
        images: Collection,
        detector: Detector,
        unlike: list[Outlier],
        found: FoundThreshold,
        precision: BackbonePrecision,
    ) -> Manifest:
        spec, fit, backbone = self._spec, self._fit, self._backbone
        return Manifest(
            detector=spec.detector,
            options=msgspec.to_builtins(fit.options),
            head=fit.head,
            patch_options=spec.patches,
            backbone=backbone.name,
            weights=backbone.weights,
            weights_sha256=backbone.weights_sha256,
            layers=backbone.layers,
            precision=precision,
            input_height=spec.height,
            input_width=spec.width,
            images=len(images.names),
            image_sizes=tuple(sorted(images.sizes)),
            bit_depth=spec.bit_depth,
            patches=len(images.names) * self._shape[0] * self._shape[1],
            rows=detector.rows,
            dims=detector.dims,
            coreset_ratio=fit.coreset if isinstance(fit.coreset, float) else None,
            seed=spec.seed,
            threshold=found.value,
            threshold_basis=found.basis,
            outliers=tuple(unlike),
            threshold_with_outliers=found.with_outliers,
            excluded=spec.excluded,
            settings_choice=spec.settings_choice,
            foreground=spec.foreground,
            calibrated=False,
        )


def _place_dims(options: Options) -> int:
    """Dimensions of the Gaussian that a detector has for each place; 0: none."""
    if isinstance(options, PatchCoreOptions):
        return PaDiMOptions().dimensions if options.position_weight else 0
    return options.dimensions if isinstance(options, PaDiMOptions) else 0


def _fitted(
    features: Features,
    fit: FitSpec,
    taught: NDArray[np.bool_],
    parts: NDArray[np.int64] | None,
    progress: Progress,
) -> tuple[Fitted, CrossFit]:
    """The detector, with the lists of its search, and scores of all images by fits without them."""
    fitted = features.fitted(None, fit, partial(progress, "bank"), taught)
    _, height, width, _ = features.shape
    add_lists(fitted.detector, height * width, features.nearest)
    return fitted, cross_fit(features, fit, partial(progress, "threshold"), taught, parts)


def _said_if_many(groups: Sequence[Sequence[int]], images: int) -> int | msgspec.UnsetType:
    """What a manifest says of groups of images that look like one part each; see `Manifest.alike`."""
    further = sum(len(group) - 1 for group in groups)
    return further if further > MOST_ALIKE * images else msgspec.UNSET


def build_bank(
    paths: Sequence[Path],
    out: Path,
    spec: BuildSpec,
    progress: Progress,
    device: str = "cpu",
    *,
    prepare: Prepare | None = None,
) -> BuildReport:
    """As `BankBuilder.build`, from image files."""
    frames = (named_image(path, spec.bit_depth) for path in paths)
    return BankBuilder(spec, device, prepare).build(frames, len(paths), out, progress)


def _first_kept(frames: Iterable[NamedFrame], first: list[NDArray[np.uint8]]) -> Iterator[NamedFrame]:
    """The same frames; the first that can be used is put into `first`."""
    for name, frame in frames:
        if not first and not isinstance(frame, str):
            first.append(frame)
        yield name, frame


def _looked_at(learner: QualityLearner, taught: frozenset[str]) -> Look:
    def look(name: str, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not _is_among(frame, taught):
            learner.add(name, frame)
        return frame

    return look


def _is_among(frame: NDArray[np.uint8], taught: frozenset[str]) -> bool:
    return bool(taught) and digest_of(frame) in taught


def _check_enough(images: Collection, count: int, of_each: str, *, strict: bool) -> None:
    """Refuse too few images, `count` without those that were taught, or in a strict build unreadable ones."""
    if strict and images.unreadable:
        named = "; ".join(f"{name}: {why}" for name, why in images.unreadable.items())
        raise InputError(f"{len(images.unreadable)} unreadable images: {named}")
    if count < FEWEST_IMAGES:
        left_out = f"{len(images.unreadable)} unreadable and {len(images.duplicates)} repeated ones left out"
        first = "".join(f"; {name}: {why}" for name, why in list(images.unreadable.items())[:1])
        raise InputError(
            f"{count} images of good parts{of_each} ({left_out}{first}), "
            f"expected at least {FEWEST_IMAGES}; 100 to 500 serve well"
        )
