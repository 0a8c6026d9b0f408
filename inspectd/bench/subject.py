"""What is measured: a bank file's scoring or a made-up bank's, and the frames it gets.

Torch is loaded only where it scores: the CPU's fast path does without, and memory is measured too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from inspectd.bench.machine import FOR_BANK_FILES, missing
from inspectd.bench.timing import Frame
from inspectd.errors import InputError, UnavailableError
from inspectd.model.score import ImageScore

if TYPE_CHECKING:
    from inspectd.model.pipeline import Pipeline as ReferencePipeline


class Pipeline(Protocol):
    """Whatever scores frames."""

    def warm_up(self, max_batch: int) -> None:
        """Score blank frames, so that the first real ones are not slow."""

    def score(self, frames: Sequence[Frame]) -> list[ImageScore]:
        """Score frames, each (H, W, 3) uint8 BGR."""


@dataclass(frozen=True)
class Way:
    """How to compute; see `backends.base.ScoringPath`, which needs packages a benchmark may lack."""

    device: str = "auto"
    threads: int = 0
    backend: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    search: Literal["auto", "exact", "flat", "ivf", "hnsw"] = "auto"


@dataclass(frozen=True)
class Subject:
    """A pipeline and what is worth telling of it.

    Attributes:
        pipeline: ready on its device.
        device: `cpu`, or `cuda` with its number.
        facts: what it is made of, as JSON values.
        reference: on CUDA, makes the same pipeline as torch computes it step by step on the CPU.
    """

    pipeline: Pipeline
    device: str
    facts: dict[str, Any]
    reference: Callable[[], ReferencePipeline] | None

    def score(self, frames: Sequence[Frame]) -> Mapping[str, float]:
        """Score frames and say how long each stage took; see `timing.Score`."""
        return self.pipeline.score(frames)[0].stage_ms


def of_bank(path: Path, way: Way) -> Subject:
    """The pipeline of a bank file.

    Raises:
        BankError: the bank cannot be used.
        UnavailableError: the device, or a package that reads bank files, is not there.
    """
    absent = missing(FOR_BANK_FILES)
    if absent:
        raise UnavailableError(
            f"bank {path}: reading bank files needs the packages {', '.join(absent)}, which are not "
            "installed; install them, or measure a synthetic bank: --backbone NAME --bank ROWS,DIMS"
        )
    from inspectd.backends.scorer import Scorer, ScoringPath  # noqa: PLC0415 - needs packages that may be missing
    from inspectd.bank.file import read_manifest  # noqa: PLC0415 - as above

    scorer = Scorer.load(path, way.device, way.threads, ScoringPath(way.backend, way.precision, way.search))
    info, manifest = scorer.info, read_manifest(path)
    facts = {
        "bank": str(path),
        "detector": info.detector,
        "rows": info.rows,
        "dims": info.dims,
        "backbone": info.backbone,
        "layers": list(manifest.layers),
        "weights": manifest.weights,
        "input": [info.input_height, info.input_width],
        "backend": info.backend,
        "precision": info.precision,
        "search": info.search,
        "search_recall": info.search_recall,
    }
    return Subject(scorer.pipeline, info.device, facts, _reference(path) if info.device != "cpu" else None)


def _reference(path: Path) -> Callable[[], ReferencePipeline]:
    import torch  # noqa: PLC0415 - it scores on CUDA and is there already

    from inspectd.backends.reference import reference_pipeline  # noqa: PLC0415 - loads torch
    from inspectd.bank.file import read_bank  # noqa: PLC0415 - needs packages that may be missing

    bank = read_bank(path)  # the file may be gone when the operations are counted
    return lambda: reference_pipeline(path, bank, torch.device("cpu"))


def synthetic_frames(count: int, height: int, width: int, device: str) -> list[Frame]:
    """Frames of noise, each (height, width, 3) uint8; page-locked for CUDA, as the daemon's rings are."""
    frames = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415 - it scores on CUDA and is there already

        frames = torch.from_numpy(frames).pin_memory().numpy()
    return list(frames)


def frames_of(folder: Path, most: int) -> list[Frame]:
    """The first images of a folder, each (H, W, 3) uint8 BGR.

    Raises:
        InputError: there is no such folder, or no image in it can be read.
        UnavailableError: a package that reads images is not there.
    """
    try:
        from inspectd.bank.images import find_images, read_image  # noqa: PLC0415 - needs what may be missing
    except ModuleNotFoundError as error:
        raise UnavailableError(f"--images: needs the package {error.name}; it is not installed") from error
    read = (read_image(path) for path in find_images(folder)[:most])
    frames = [frame for frame in read if frame is not None]
    if not frames:
        raise InputError(f"folder {folder}: none of its first {most} images can be read")
    return frames
