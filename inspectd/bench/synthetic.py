"""A pipeline with a made-up memory of any size: what speed needs, on any machine, without a bank file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from inspectd.backends.cuda.device import choose_device
from inspectd.model.backbones import DEFAULT_BACKBONE, load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head
from inspectd.model.options import HeadOptions, PaDiMOptions, PatchCoreOptions, PatchOptions
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import Pipeline


@dataclass(frozen=True)
class Synthetic:
    """What to make up.

    Attributes:
        backbone: as `model.backbones.load_backbone` takes it.
        layers: None: the backbone's usual ones.
        weights: `random` needs neither a file nor a network.
        grid: as in `PatchOptions`.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        rows: patches in the bank.
        dims: dimensions of a patch, at most those the layers give; None: all of them.
        options: how PatchCore scores.
        seed: names the random frames the bank is made of.
    """

    backbone: str = DEFAULT_BACKBONE
    layers: tuple[str, ...] | None = None
    weights: str | None = None
    grid: Literal["coarse", "fine"] = "coarse"
    height: int = 256
    width: int = 256
    rows: int = 3072
    dims: int | None = None
    options: PatchCoreOptions = PatchCoreOptions()  # noqa: RUF009 - frozen
    seed: int = 0


def synthetic_pipeline(spec: Synthetic, device: str = "auto") -> Pipeline:
    """PatchCore with a bank of random frames' patches.

    Raises:
        InputError: the backbone is unknown, or a package or weights it needs are missing.
        UnavailableError: the device is not there.
    """
    target = choose_device(device)
    backbone = load_backbone(spec.backbone, spec.layers, spec.weights, target)
    patches = PatchOptions(grid=spec.grid, dimensions=spec.dims)
    extractor = FeatureExtractor(backbone, spec.height, spec.width, target, patches)
    with torch.inference_mode():
        detector = _detector(spec, extractor)
        height, width, _ = extractor.shape()
        flat = torch.zeros((height, width), device=target)
        head = Head(HeadOptions(alike=0), flat, torch.ones_like(flat))
    return Pipeline(extractor, detector, head)


def _detector(spec: Synthetic, extractor: FeatureExtractor) -> PatchCore:
    generator = torch.Generator().manual_seed(spec.seed)
    frames = [
        torch.randint(0, 256, (spec.height, spec.width, 3), dtype=torch.uint8, generator=generator).numpy()
        for _ in range(8)
    ]
    features = extractor(frames)
    points = features.flatten(0, 2)
    # Real features around which entries scatter: norms and spread as in a bank of that backbone.
    chosen = torch.randint(len(points), (spec.rows,), generator=generator).to(points.device)
    noise = torch.randn(spec.rows, points.shape[1], generator=generator).to(points.device)
    bank = points[chosen] + 0.5 * points.std(dim=0) * noise
    places = PaDiM.fit(features, PaDiMOptions(), spec.seed) if spec.options.position_weight else None
    return PatchCore(bank, spec.options, places=places)
