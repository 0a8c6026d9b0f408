"""A share of a build's images, with the features that a worker makes of them and keeps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.bank.coreset import Centres, PointsHere
from inspectd.bank.images import named_image, pixel_digest
from inspectd.bank.lists import nearest_rows
from inspectd.bank.patches import FeatureType, Patches, left_out_slices
from inspectd.errors import InputError
from inspectd.model.backbones import load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import image_embedding
from inspectd.model.options import PatchCoreOptions, PatchOptions
from inspectd.model.padim import reduced
from inspectd.model.patchcore import PatchCore

_SCORE_BATCH: Final = 8
_SAMPLES_AT_ONCE: Final = 32


class ShareSpec(msgspec.Struct, frozen=True):
    """What a worker makes its share of."""

    backbone: str
    layers: tuple[str, ...]
    weights: str
    weights_sha256: str
    height: int
    width: int
    patches: PatchOptions
    bit_depth: int
    kind: FeatureType
    mask: bytes | None
    """`(h, w) bool`, the places whose patches count; None: all."""
    first_image: int = 0
    """Number, among all, of the first one."""
    paths: list[str] = []
    digests: bytes = b""
    """`(n, 32) uint8`, sha256 of the pixels of each."""
    groups: list[int] = []
    """How many are extracted together: a batch of another size may round otherwise."""


def shares_of(
    every: ShareSpec, names: Sequence[str], digests: NDArray[np.uint8], groups: Sequence[int], count: int
) -> list[ShareSpec]:
    """Shares of nearly as many images, cut where those that are extracted together end.

    Args:
        every: what all shares have in common.
        names: of all images.
        digests: (N, 32), sha256 of the pixels of each.
        groups: how many of them are extracted together, one after the other.
        count: shares; at most one for each group.
    """
    ends = np.cumsum([0, *groups]).tolist()
    cuts = np.linspace(0, len(groups), min(count, len(groups)) + 1).astype(int).tolist()
    return [
        msgspec.structs.replace(
            every,
            first_image=ends[first],
            paths=[str(Path(name).absolute()) for name in names[ends[first] : ends[stop]]],
            digests=digests[ends[first] : ends[stop]].tobytes(),
            groups=list(groups[first:stop]),
        )
        for first, stop in itertools.pairwise(cuts)
    ]


class ShareOfImages:
    """Features of some images, and what a build asks of them. Images are numbered among all.

    Args:
        spec: what it is made of.

    Raises:
        InputError: the backbone cannot be had, or is another one.
    """

    def __init__(self, spec: ShareSpec) -> None:
        self._spec = spec
        device = torch.device("cpu")
        backbone = load_backbone(
            spec.backbone, spec.layers, spec.weights, device,
            size=(spec.height, spec.width), final_norm=spec.patches.final_norm,
        )  # fmt: skip
        if backbone.weights_sha256 != spec.weights_sha256:
            raise InputError(
                f"weights {spec.weights} of {spec.backbone}: got sha256 {backbone.weights_sha256[:12]}, "
                f"expected {spec.weights_sha256[:12]} as where the bank is built: features would differ"
            )
        self._extractor = FeatureExtractor(backbone, spec.height, spec.width, device, spec.patches)
        shape = self._extractor.shape()
        kind = torch.float16 if spec.kind == "float16" else torch.float32
        self._features = torch.empty((len(spec.paths), *shape), dtype=kind)
        self._groups = 0
        self._extracted = 0
        places = None
        if spec.mask is not None:
            places = torch.from_numpy(np.frombuffer(spec.mask, dtype=np.bool_).reshape(shape[:2]).copy())
        self._places = places
        self._patches: Patches | None = None
        self._part: PointsHere | None = None

    def extract(self, count: int) -> None:
        """Have the features of so many of its images, in whole groups.

        Raises:
            InputError: a file is missing, or holds another picture than where the bank is built.
        """
        digests = np.frombuffer(self._spec.digests, dtype=np.uint8).reshape(-1, 32)
        while self._extracted < count:
            rows = slice(self._extracted, self._extracted + self._spec.groups[self._groups])
            frames = [
                self._frame(path, digest)
                for path, digest in zip(self._spec.paths[rows], digests[rows], strict=True)
            ]
            self._features[rows] = self._extractor(frames).to(self._features.dtype)
            self._groups += 1
            self._extracted = rows.stop

    def value(self, row: int) -> NDArray[np.float32]:
        """(D,), the patch of a number."""
        patches = self._own_patches()
        return _array(patches.values(np.array([row - self._spec.first_image * patches.each]))[0])

    def begin(self, origin: NDArray[np.float32], left_out: NDArray[np.int64]) -> None:
        """Forget all centres; see `Part.begin`. The patches of some images are never chosen."""
        first, each = self._spec.first_image, self._own_patches().each
        slices = left_out_slices(left_out.tolist(), first, first + len(self._features), each)
        if self._part is None or self._places is None:
            points = self._own_patches().of_images(0, len(self._features))
        else:
            points = self._part.points  # a copy, which is made once
        self._part = PointsHere(points, first * each, slices)
        self._part.begin(torch.from_numpy(np.array(origin)))

    def take(
        self, rows: list[list[int]], values: list[NDArray[np.float32]], width: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], float]:
        """Take centres in, group by group; then rows, values, bounds and outside of `Candidates`."""
        if self._part is None:
            raise ValueError("no coreset is begun")
        for numbers, group in zip(rows, values, strict=True):
            self._part.ask(Centres(numbers, torch.from_numpy(np.array(group))), width)
        found = self._part.answer()
        return found.rows, _array(found.values), found.bounds, found.outside

    def sums(self, images: NDArray[np.int64], reduction: NDArray[np.float32]) -> NDArray[np.float64]:
        """(h * w, d), sums over some images of what a reduction (D, d) leaves of each place."""
        total = torch.zeros((self._features[0, ..., 0].numel(), reduction.shape[1]), dtype=torch.float64)
        for samples in self._samples(images, reduction):
            total += samples.double().sum(dim=0)
        return _array(total)

    def scatter(
        self, images: NDArray[np.int64], reduction: NDArray[np.float32], means: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """(h * w, d, d), sums of the products of offsets from means (h * w, d); see `sums`."""
        centre = torch.from_numpy(np.array(means))
        total = torch.zeros((*means.shape, means.shape[1]), dtype=torch.float64)
        for samples in self._samples(images, reduction):
            offsets = (samples - centre).permute(1, 2, 0).double()
            total.baddbmm_(offsets, offsets.mT)
        return _array(total)

    def maps(
        self, images: NDArray[np.int64], tensors: dict[str, NDArray[Any]], options: dict[str, Any]
    ) -> NDArray[np.float32]:
        """(n, h, w), score maps of some images by a PatchCore's tensors and options."""
        detector = _patchcore(tensors, options)
        own = self._own(images)
        return _array(
            torch.cat([detector.score_maps(batch.float()) for batch in torch.split(own, _SCORE_BATCH)])
        )

    def nearest(
        self, images: NDArray[np.int64], tensors: dict[str, NDArray[Any]], options: dict[str, Any]
    ) -> NDArray[np.int64]:
        """(n, h, w), `nearest_rows` of some images."""
        return _array(nearest_rows(_patchcore(tensors, options), self._own(images)))

    def embeddings(self, images: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, L), see `image_embedding`."""
        batches = torch.split(self._own(images), _SCORE_BATCH)
        return _array(torch.cat([image_embedding(batch) for batch in batches]))

    def _frame(self, path: str, digest: NDArray[np.uint8]) -> NDArray[np.uint8]:
        _, frame = named_image(Path(path), self._spec.bit_depth)
        if isinstance(frame, str):
            raise InputError(f"{path}: {frame}; expected the same files at the same paths on each machine")
        if not np.array_equal(pixel_digest(frame), digest):
            raise InputError(
                f"{path}: holds another picture than where the bank is built, expected the same files at the "
                "same paths on each machine"
            )
        return frame

    def _own(self, images: NDArray[np.int64]) -> torch.Tensor:
        return self._features[torch.from_numpy(images - self._spec.first_image)]

    def _own_patches(self) -> Patches:
        if self._patches is None:
            self._patches = Patches(self._features, self._places)
        return self._patches

    def _samples(self, images: NDArray[np.int64], reduction: NDArray[np.float32]) -> Iterator[torch.Tensor]:
        matrix = torch.from_numpy(np.array(reduction))
        for start in range(0, len(images), _SAMPLES_AT_ONCE):
            yield reduced(self._own(images[start : start + _SAMPLES_AT_ONCE]).flatten(1, 2), matrix)


def _patchcore(tensors: dict[str, NDArray[Any]], options: dict[str, Any]) -> PatchCore:
    made = {name: torch.from_numpy(np.array(values)) for name, values in tensors.items()}
    return PatchCore.restore(made, msgspec.convert(options, PatchCoreOptions))


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.numpy()
    return array
