"""Folds batch normalisation into the convolution before it: the same map with less work per image."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: fx.GraphModule) -> fx.GraphModule:
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
    """What is left of a batch normalisation: the activation some of them carry, or nothing."""
    activation = getattr(norm, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
