"""Pretrained networks cut down to the layers whose feature maps are wanted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import feature_extraction

from inspectd.errors import InputError
from inspectd.model.architectures import DEFAULT_BACKBONE, architecture, default_layers
from inspectd.model.intermediates import (
    IntermediateMaps,
    Size,
    gives_intermediates,
    has_fixed_size,
    refuse_size,
)
from inspectd.model.options import DOWNLOAD, PACKAGED
from inspectd.model.weights import digest, load_state, state_of


@dataclass(frozen=True)
class Backbone:
    """A network in evaluation mode that yields feature maps.

    Attributes:
        name: as the user gave it.
        layers: names of the layers whose outputs are returned, in this order.
        weights: `packaged`, `download`, `random` or the path of the file the weights came from.
        weights_sha256: digest of the weights, as `model.weights.digest` makes it.
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
    final_norm: bool = True,
) -> Backbone:
    """Build a backbone by name and load its weights.

    Args:
        name: `efficientnet_lite0`, a torchvision classification model, or a timm model.
        layers: layers to return; None: the backbone's usual ones.
        weights: None for the backbone's own (shipped or downloaded), else `packaged`, `download`, `random`
            or a file.
        device: where the network goes.
        size: height and width of the input; needed by networks that are made for one size.
        final_norm: whether a transformer's tokens are normalised as it does it after its last block.

    Raises:
        InputError: unknown backbone, unknown layer, a size that it does not take, or weights that cannot be
            had or do not fit.
    """
    network, mean, std = architecture(name)
    if size is not None:
        refuse_size(name, network, size)
    elif has_fixed_size(network):
        raise InputError(f"backbone {name!r} is made for one size of input: expected a size")
    source = weights or (PACKAGED if name == DEFAULT_BACKBONE else DOWNLOAD)
    state = state_of(name, network, source)
    load_state(name, network, state, source)
    network.eval()
    layers = layers or default_layers(name)
    sha256 = digest(state)  # of what was loaded: positions are interpolated after that
    extractor = _cut(name, network, layers, size, final_norm=final_norm)
    extractor = extractor.to(device).to(memory_format=torch.channels_last)
    return Backbone(name, layers, source, sha256, mean, std, extractor.requires_grad_(requires_grad=False))


def _cut(
    name: str, network: nn.Module, layers: tuple[str, ...], size: Size | None, *, final_norm: bool
) -> nn.Module:
    if has_fixed_size(network):
        return IntermediateMaps(name, network, layers, size, is_normed=final_norm)
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
            return IntermediateMaps(name, network, layers, None, is_normed=final_norm)
        raise InputError(f"backbone {name!r}: cannot be cut at {', '.join(layers)}: {error}") from error
    return fuse_batch_norm(extractor)


def _leaves(network: nn.Module) -> list[type[nn.Module]]:
    """Module types to keep whole: timm's, whose padding depends on the input, and batch normalisations."""
    kept = [nn.BatchNorm2d]
    if type(network).__module__.startswith("timm."):
        from timm.models import get_notrace_modules  # noqa: PLC0415 - loaded already

        kept += get_notrace_modules()
    return [*kept, *{type(m) for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.Conv2d)}]


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
