"""What a CUDA graph is recorded of: it waits for nothing, and has no more kernels than it needs."""

import copy
import functools
from collections import Counter
from dataclasses import dataclass

import pytest
import torch

from inspectd.backends.cuda import half
from inspectd.backends.cuda.half import HalvedPipeline
from inspectd.backends.cuda.patch_kernel import PatchKernel
from inspectd.backends.cuda.proposals import MOST_BY_TILES
from inspectd.model.backbones import load_backbone
from inspectd.model.features import FeatureExtractor
from inspectd.model.head import Head
from inspectd.model.options import HeadOptions, PatchCoreOptions, PatchOptions
from inspectd.model.padim import PaDiM
from inspectd.model.patchcore import PatchCore
from inspectd.model.pipeline import ReferencePipeline
from tests.backends.cuda.fake_card import CARD, Launches, fake_card, on_fake_card

CPU = torch.device("cpu")
DEFAULT = PatchCoreOptions()
OF_TRITON = ("features_of_maps", "prepare", "tile_minima", "measure_again")
NO_LIKENESS = HeadOptions(similar_images=0)


@functools.cache
def loaded(backbone, layers, size):
    return load_backbone(backbone, layers, "random", CPU, size=(size, size))


@dataclass(frozen=True)
class Network:
    """A backbone, its layers, the edge of its input and the dimensions of its patch features (None: all)."""

    backbone: str
    layers: tuple[str, ...]
    size: int
    dims: int | None = None


SMALL = Network("resnet18", ("layer1", "layer2"), 64)
LARGE = Network("wide_resnet50_2", ("layer2", "layer3"), 224, dims=1024)
USUAL = Network("efficientnet_lite0", ("blocks.2", "blocks.4"), 256)


def reference(network, rows, options, head, *, is_masked=False):
    """A reference pipeline of a bank without values; only its shapes matter."""
    made = copy.deepcopy(loaded(network.backbone, network.layers, network.size))
    patches = PatchOptions(grid="fine", dimensions=network.dims)
    extractor = FeatureExtractor(made, network.size, network.size, CPU, patches)
    height, width, dims = extractor.shape()
    kept = min(100, dims)
    positions = PaDiM(
        torch.eye(dims)[:, :kept],
        torch.zeros(height, width, kept),
        torch.zeros(height * width, kept * (kept + 1) // 2),
    )
    detector = PatchCore(
        torch.zeros(rows, dims), options, torch.ones(rows), positions if options.position_weight else None
    )
    flat = torch.ones(height, width)
    mask = flat.bool().clone() if is_masked else None
    if mask is not None:
        mask[: height // 2] = False
    likeness = {}
    if head.similar_images:
        likeness = {"embeddings": torch.zeros(30, 32 * 49), "embedding_scores": torch.zeros(30)}
    return ReferencePipeline(extractor, detector, Head(head, flat, flat, mask=mask, **likeness))


def recorded(monkeypatch, pipeline, batches):
    """Kernels of the recorded part for each size of batch, by name."""
    triton = []
    extractor, preprocess = pipeline.extractor, pipeline.extractor.preprocess
    blank = torch.zeros(1, 3, preprocess.height, preprocess.width)
    # Its tables are made of values, on the CPU.
    patch_kernel = PatchKernel(extractor.options, [level.half() for level in extractor.backbone(blank)])
    monkeypatch.setattr(half, "_patch_kernel", lambda _: patch_kernel)
    network = pipeline.extractor.backbone.network.half()
    monkeypatch.setattr(network, "half", lambda: network)  # torch cannot convert weights without values
    found = {}
    with fake_card(monkeypatch, triton) as mode:
        on_fake_card(mode, pipeline)
        on_fake_card(mode, patch_kernel)
        steps = HalvedPipeline(pipeline)
        for batch in batches:
            triton.clear()
            images = torch.empty(
                (batch, 3, steps.preprocess.height, steps.preprocess.width),
                dtype=torch.half, device=CARD, memory_format=torch.channels_last,
            )  # fmt: skip
            with Launches() as launches:
                scores, heatmaps = steps.answers(steps.features(images))
            assert launches.strays == []
            assert (scores.shape, scores.dtype, scores.device) == ((batch,), torch.float32, CARD)
            assert (heatmaps.shape[0], heatmaps.dtype, heatmaps.device) == (batch, torch.half, CARD)
            found[batch] = Counter(launches.names + triton)
    by_tiles = pipeline.detector.neighbours <= MOST_BY_TILES
    assert steps.search == ("exact-float8" if by_tiles else "exact-float16")
    return found


def test_the_fake_card_finds_what_it_is_for(monkeypatch):
    with fake_card(monkeypatch, []), Launches() as launches:
        values = torch.ones(3, device=CARD)
        for waits in (lambda: values.sum().item(), values.nonzero, lambda: bool(values[0])):
            with pytest.raises(RuntimeError, match=r"aten\."):
                waits()
        assert launches.strays == []
        values + torch.tensor([1.0, 2.0, 3.0], device=CARD)
        assert launches.strays != []
        launches.strays.clear()
        values.cpu()
        assert launches.strays != []


@pytest.mark.parametrize(("rows", "is_masked"), [(1, False), (5, True), (3000, False)])
@pytest.mark.parametrize(
    ("options", "head"),
    [
        (DEFAULT, HeadOptions()),
        (PatchCoreOptions(local_scale=False, position_weight=0.0), NO_LIKENESS),
        (PatchCoreOptions(neighbours=9), HeadOptions()),
        (PatchCoreOptions(reweight=True), HeadOptions(pool="mean")),
        (PatchCoreOptions(reweight=True, neighbours=4), HeadOptions(smoothing=0.0, standardise=False)),
    ],
    ids=["default", "published", "nine neighbours", "reweighted", "neither smooth nor standard"],
)
def test_nothing_waits_for_the_card_or_comes_from_the_host(monkeypatch, options, head, rows, is_masked):
    recorded(monkeypatch, reference(SMALL, rows, options, head, is_masked=is_masked), (1, 4))


@pytest.mark.parametrize(
    "network",
    [
        Network("vit_tiny_patch16_224", ("blocks.1", "blocks.3"), 64),
        Network("vit_tiny_patch16_dinov3_qkvb", ("blocks.1",), 64),
        Network("swin_tiny_patch4_window7_224", ("layers.1",), 64),
    ],
    ids=lambda network: network.backbone,
)
def test_transformers_wait_for_nothing_either(monkeypatch, network):
    recorded(monkeypatch, reference(network, 300, DEFAULT, HeadOptions()), (1, 4))


# Seven of them, on single numbers or one map, see to it that nothing passes by a score that is not finite.
@pytest.mark.parametrize(
    ("network", "rows", "joined", "most"),
    [(LARGE, 16384, 40, {1: 131, 32: 131}), (USUAL, 3072, 33, {1: 114, 32: 114})],
    ids=["wide_resnet50_2", "efficientnet_lite0"],
)
def test_there_are_no_more_kernels_than_it_needs(monkeypatch, network, rows, joined, most):
    found = recorded(monkeypatch, reference(network, rows, DEFAULT, HeadOptions()), tuple(most))
    for batch, kernels in found.items():
        assert kernels.total() <= most[batch], kernels
        assert kernels["one_pass_"] + kernels["one_pass_padded"] == joined
        assert all(kernels[name] == 1 for name in OF_TRITON), kernels
        assert kernels["bias"] == kernels["relu_"] == kernels["hardtanh_"] == 0
