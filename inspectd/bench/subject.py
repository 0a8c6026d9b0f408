"""The pipeline that is measured, of a bank file or a synthetic one, and the frames it gets.

Torch is loaded only where it scores: OpenVINO does without, and memory is measured too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from inspectd.backends.base import Backend
from inspectd.backends.scorer import Scorer, ScoringOptions
from inspectd.bank.file import read_bank
from inspectd.bench.machine import FOR_IMAGES, missing
from inspectd.bench.timing import Frame
from inspectd.errors import InputError, UnavailableError, error_of
from inspectd.files import temporary_folder
from inspectd.model.options import IMPORTED, PatchCoreOptions
from inspectd.model.score import Scoring

if TYPE_CHECKING:
    from inspectd.model.pipeline import ReferencePipeline


class Synthetic(msgspec.Struct, frozen=True):
    """Specification of a synthetic bank.

    Attributes:
        backbone: as `model.backbones.load_backbone` takes it; None: the default one where timm is installed.
        layers: None: the backbone's usual ones.
        weights: `random` needs neither a file nor a network; None: packaged ones where they are installed.
        grid: as in `PatchOptions`.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        precision: of the backbone.
        rows: patches in the bank.
        dims: dimensions of a patch, at most those the layers give; None: all of them.
        options: of PatchCore.
        seed: of the random frames the bank is made of.
    """

    backbone: str | None = None
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    grid: Literal["coarse", "fine"] = "coarse"
    height: int = 256
    width: int = 256
    precision: Literal["float32", "bfloat16"] = "float32"
    rows: int = 3072
    dims: int | None = None
    options: PatchCoreOptions = PatchCoreOptions()
    seed: int = 0


@dataclass(frozen=True)
class Subject:
    """A pipeline and its facts.

    Attributes:
        pipeline: ready on its device.
        device: `cpu`, or `cuda` with its number.
        facts: about the bank and how it is computed, as JSON values.
        reference: on CUDA, makes the same pipeline as torch computes it step by step on the CPU.
    """

    pipeline: Scoring
    device: str
    facts: dict[str, Any]
    reference: Callable[[], ReferencePipeline] | None

    def score(self, frames: Sequence[Frame]) -> Mapping[str, float]:
        """Score frames and return the milliseconds of each stage; see `timing.Score`."""
        return self.pipeline.score(frames)[0].stage_ms


def of_bank(path: Path, device: str, options: ScoringOptions) -> Subject:
    """The pipeline of a bank file.

    Raises:
        BankError: the bank cannot be used.
        UnavailableError: the device is not there.
    """
    bank = read_bank(path)
    scorer = Scorer.of(path, bank, device, options)
    info = scorer.info
    facts = {
        "bank": str(path),
        "detector": info.detector,
        "rows": info.rows,
        "dims": info.dims,
        "backbone": info.backbone,
        "layers": list(bank.manifest.layers),
        "weights": bank.manifest.weights,
        "input": [info.input_height, info.input_width],
        "backend": info.backend,
        "precision": info.precision,
        "search": info.search,
    }
    if info.device == "cpu" or info.detector == IMPORTED:
        return Subject(scorer.pipeline, info.device, facts, None)
    import torch  # noqa: PLC0415 - it scores on CUDA and is there already

    from inspectd.backends.reference import reference_pipeline  # noqa: PLC0415 - loads torch

    cpu = torch.device("cpu")  # the file may be gone when the operations are counted
    return Subject(scorer.pipeline, info.device, facts, lambda: reference_pipeline(path, bank, cpu))


def of_synthetic(spec: Synthetic, device: str, options: ScoringOptions) -> Subject:
    """The pipeline of a synthetic bank.

    Raises:
        InputError: the backbone is unknown, a package or the weights it needs are missing, or the device has
            no such search.
        UnavailableError: the device or the backend is not there.
    """
    with temporary_folder("bench-") as folder:
        path = Path(folder) / "bank.safetensors"
        write_synthetic(path, spec, device, options.backend)
        subject = of_bank(path, device, options)
    return replace(subject, facts={**subject.facts, "bank": "synthetic"})


def write_synthetic(path: Path, spec: Synthetic, device: str = "auto", backend: Backend = "auto") -> None:
    """Write a synthetic bank in a process of its own, which also converts it if OpenVINO is to score it.

    Torch takes hundreds of megabytes that this process, whose memory is measured, may do without.

    Raises:
        InputError: the backbone is unknown, or a package or the weights it needs are missing.
        UnavailableError: the file cannot be written, or the device or the backend is not there.
    """
    words = [str(path), msgspec.json.encode(spec).decode(), device, backend]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "inspectd.bench.synthetic", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise error_of(done.returncode, done.stderr.strip()[-2000:])


def noise_frames(count: int, height: int, width: int, device: str) -> list[Frame]:
    """Frames of noise, each (height, width, 3) uint8; page-locked for CUDA, as the daemon's rings are."""
    return page_locked(
        list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)), device
    )


def page_locked(frames: list[Frame], device: str) -> list[Frame]:
    """Frames as the daemon's rings hold them for a device: page-locked for CUDA."""
    if not device.startswith("cuda"):
        return frames
    import torch  # noqa: PLC0415 - it scores on CUDA and is there already

    return [torch.from_numpy(frame).pin_memory().numpy() for frame in frames]


def frames_of(folder: Path, most: int) -> list[Frame]:
    """The first images of a folder, each (H, W, 3) uint8 BGR.

    Raises:
        InputError: there is no such folder, or no image in it can be read.
        UnavailableError: a package that reads images is not there.
    """
    absent = missing(FOR_IMAGES)
    if absent:
        raise UnavailableError(f"--images: needs the package {', '.join(absent)}; it is not installed")
    from inspectd.bank.images import find_images, read_image  # noqa: PLC0415 - needs what may be missing

    read = (read_image(path) for path in find_images(folder)[:most])
    frames = [frame for frame in read if frame is not None]
    if not frames:
        raise InputError(f"folder {folder}: none of its first {most} images can be read")
    return frames
