"""Networks by name, with random weights: torchvision's, timm's, and the default one."""

from __future__ import annotations

from typing import Any, Final

import torch
import torchvision
from torch import nn

from inspectd.errors import InputError
from inspectd.model.intermediates import gives_intermediates, usual_blocks

DEFAULT_BACKBONE: Final = "efficientnet_lite0"

_IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
_IMAGENET_STD: Final = (0.229, 0.224, 0.225)
_HALF: Final = (0.5, 0.5, 0.5)
_RANDOM_SEED: Final = 0


def architecture(name: str) -> tuple[nn.Module, tuple[float, float, float], tuple[float, float, float]]:
    """A network, and the mean and deviation per RGB channel of values scaled to 0..1 that it expects.

    Raises:
        InputError: unknown backbone, or the package for it is missing.
    """
    if name == DEFAULT_BACKBONE:
        return _timm("tf_efficientnet_lite0"), _HALF, _HALF
    if is_of_torchvision(name):
        return _torchvision(name), _IMAGENET_MEAN, _IMAGENET_STD
    if timm_library(name).is_model(name):
        network = _timm(name)
        settings: dict[str, Any] = vars(network)["pretrained_cfg"]
        return network, tuple(settings["mean"]), tuple(settings["std"])
    raise InputError(
        f"unknown backbone {name!r}, expected {DEFAULT_BACKBONE}, a torchvision model (resnet18, "
        "wide_resnet50_2, ...) or a timm model"
    )


def default_layers(name: str) -> tuple[str, ...]:
    """The layers used when the user names none.

    Raises:
        InputError: there is no usual choice for this backbone.
    """
    if name == DEFAULT_BACKBONE:
        return ("blocks.1", "blocks.2", "blocks.4")
    if "resnet" in name or "resnext" in name:
        return ("layer2", "layer3")
    if not is_of_torchvision(name) and timm_library(name).is_model(name):
        network = _timm(name, "meta")  # its shape alone
        if gives_intermediates(network):
            return usual_blocks(name, network)
    raise InputError(f"backbone {name!r} has no usual layers: name them, e.g. --layers LAYER1,LAYER2")


def is_of_torchvision(name: str) -> bool:
    """Whether torchvision has a network of that name."""
    return name in torchvision.models.list_models(module=torchvision.models)


def _timm(name: str, device: str = "cpu") -> nn.Module:
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(_RANDOM_SEED)
        network: nn.Module = timm_library(name).create_model(name, pretrained=False)
    return network


def timm_library(name: str) -> Any:
    """The package timm; `name` is the backbone that needs it, for messages.

    Raises:
        InputError: it is not installed.
    """
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
