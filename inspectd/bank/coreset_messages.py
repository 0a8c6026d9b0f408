"""What a build and the processes that choose its coreset say to each other."""

from __future__ import annotations

import msgspec

from inspectd.bank.patches import FeatureType
from inspectd.ipc.messages import CarriesDescriptors, Failed


class StartCoresetWorker(msgspec.Struct, frozen=True, array_like=True, tag="start_coreset_worker"):
    """Build to worker, first."""

    threads: int
    """Of its arithmetic."""


class TakePart(CarriesDescriptors, frozen=True, array_like=True, tag="take_part"):
    """Build to worker, next, with the descriptor of the features beside it: its images are these."""

    shape: tuple[int, int, int, int]
    kind: FeatureType
    first_image: int
    stop_image: int
    mask: bytes | None
    """`(h, w) bool`, the places whose patches count; None: all."""


class BeginCoreset(msgspec.Struct, frozen=True, array_like=True, tag="begin_coreset"):
    """Build to worker: forget all centres."""

    origin: bytes
    """`(D,) float32`"""
    left_out: list[int]
    """Images whose patches are not chosen, counted over all."""


class TakeCentres(msgspec.Struct, frozen=True, array_like=True, tag="take_centres"):
    """Build to worker: new centres, and how many candidates are wanted then."""

    groups: list[list[int]]
    """Numbers of the centres, taken in group by group; a worker made anew gets all there were so far."""
    width: int


class FarthestPatches(msgspec.Struct, frozen=True, array_like=True, tag="farthest_patches"):
    """Worker to build: its candidates. Their values are in the memory that both see."""

    rows: bytes
    """`(K,) int64`"""
    bounds: bytes
    """`(K,) float32`"""
    outside: float


ToCoresetWorker = StartCoresetWorker | TakePart | BeginCoreset | TakeCentres
FromCoresetWorker = FarthestPatches | Failed
