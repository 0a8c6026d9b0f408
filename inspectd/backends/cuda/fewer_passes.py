"""Fewer passes over a backbone's maps: what follows a convolution happens in place, in one kernel.

Torch runs a convolution's bias, the addition behind it and the activation as passes of their own, which on a
card take as long as the convolutions do.
"""

from __future__ import annotations

import copy
import dataclasses
import operator
from typing import TYPE_CHECKING, Final, TypeGuard

import torch
from torch import fx, nn
from torch.nn import functional

from inspectd.backends.cuda.one_pass import OnePass, PaddedPass, by_torch
from inspectd.backends.cuda.trials import missing_for_kernels, tried

if TYPE_CHECKING:
    from inspectd.model.backbones import Backbone

_ACTIVATIONS: Final[dict[type[nn.Module], str]] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}
_TRIED_PADDING: Final = [0, 1, 1, 2]
_SUMS: Final = (operator.add, operator.iadd, torch.add)
_TOLERANCE: Final = 0.01
"""Of a map's largest value. Sums are rounded as torch rounds them, so that there is usually no difference."""


class _Rewriting:
    """Goes through a copy of a network's graph, whose weights it shares."""

    def __init__(self, network: fx.GraphModule) -> None:
        self.network = fx.GraphModule(network, copy.deepcopy(network.graph))
        self._graph = self.network.graph
        self._modules = dict(self.network.named_modules())
        self._taken: set[fx.Node] = set()

    def run(self) -> None:
        for node in list(self._graph.nodes):
            if type(self._module(node)) is nn.Identity:
                node.replace_all_uses_with(node.args[0])
                self._graph.erase_node(node)
        for node in list(self._graph.nodes):
            self._join_sum(node)
        for node in list(self._graph.nodes):
            self._join_activation(node)
        for node in list(self._graph.nodes):
            self._join_padding(node)
        self.network.delete_all_unused_submodules()
        self._graph.lint()
        self.network.recompile()

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self._modules.get(str(node.target)) if node.op == "call_module" else None

    def _bias(self, node: fx.Node) -> nn.Parameter | None:
        """Bias of a convolution that still has it; None: the node is none, or has none."""
        module = self._module(node)
        # Of what else derives from a convolution nobody knows what it does with its bias.
        if type(module) is not nn.Conv2d and not _pads(module):
            return None
        return None if node in self._taken else module.bias  # type: ignore[return-value]

    def _join_sum(self, node: fx.Node) -> None:
        if node.op != "call_function" or node.target not in _SUMS or node.kwargs or len(node.args) != 2:
            return
        own, other = node.args
        if not isinstance(own, fx.Node) or not isinstance(other, fx.Node) or own is other:
            return
        if self._bias_for(own, node) is None:
            own, other = other, own
            # What is added to in place may be read by others, who are to see the sum.
            if node.target is operator.iadd:
                return
        bias = self._bias_for(own, node)
        if bias is not None:
            self._put(node, bias, own, other)

    def _join_activation(self, node: fx.Node) -> None:
        bias = self._bias(node)
        if bias is not None:
            self._put(node, bias, node, None)

    def _bias_for(self, node: fx.Node, reader: fx.Node) -> nn.Parameter | None:
        """As `_bias`; None where others read the convolution, too."""
        return self._bias(node) if list(node.users) == [reader] else None

    def _put(self, place: fx.Node, bias: nn.Parameter, own: fx.Node, other: fx.Node | None) -> None:
        """Put one pass in place of a sum, or behind a convolution; an activation behind it is part of it.

        Convolutions stay where they are, and the sum is where it was: what they read may be changed in
        place by others later.
        """
        other_bias = None if other is None else self._bias_for(other, place)
        reader = next(iter(place.users)) if len(place.users) == 1 else place
        activation = _activation(self._module(reader))
        last = place if activation == "none" else reader
        name = f"one_pass_{own.name}"
        self._add(name, OnePass(bias, other_bias, activation, adds=other is not None))
        self._without_bias(own)
        if other is not None and other_bias is not None:
            self._without_bias(other)
        with self._graph.inserting_after(place):
            made = self._graph.call_module(name, (own,) if other is None else (own, other))
        last.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)
        for node in dict.fromkeys((last, place)):
            if node is not own:
                self._graph.erase_node(node)

    def _without_bias(self, node: fx.Node) -> None:
        bare = copy.copy(self._module(node))
        assert bare is not None
        bare._parameters = {**bare._parameters, "bias": None}  # noqa: SLF001 - the weight stays the network's own
        name = f"without_bias_{node.name}"
        self._add(name, bare)
        node.target = name
        self._taken.add(node)

    def _join_padding(self, node: fx.Node) -> None:
        """Let a pass write the zeros that the only convolution behind it would put around its output."""
        before = self._module(node)
        reader = next(iter(node.users)) if len(node.users) == 1 else node
        convolution = self._module(reader)
        if not isinstance(before, OnePass) or before.kind[1] or not _pads(convolution):
            return
        plain = copy.copy(convolution)
        plain.__class__ = nn.Conv2d  # which pads by its `padding`, and that is nothing
        for of, module in ((node, PaddedPass(before, plain)), (reader, plain)):
            name = f"padded_{of.name}"
            self._add(name, module)
            of.target = name

    def _add(self, name: str, module: nn.Module) -> None:
        self.network.add_submodule(name, module)
        self._modules[name] = module


def _pads(module: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Whether it is timm's convolution that pads by its input's size; without timm there is none."""
    return type(module).__qualname__ == "Conv2dSame" and getattr(module, "padding", None) == (0, 0)


def _activation(module: nn.Module | None) -> str:
    return "none" if module is None else _ACTIVATIONS.get(type(module), "none")


def in_one_pass(network: fx.GraphModule) -> fx.GraphModule:
    """A network with the same answers in which one pass follows each convolution that has a bias.

    Args:
        network: in evaluation mode, its batch normalisations fused; stays as it is and shares its weights.
    """
    rewriting = _Rewriting(network)
    rewriting.run()
    return rewriting.network


def with_fewer_passes(backbone: Backbone, height: int, width: int) -> Backbone:
    """The backbone with one pass behind each convolution, where the kernel for it runs and is right.

    Args:
        backbone: in half precision, on its device.
        height: of its input, in pixels.
        width: of its input, in pixels.

    Raises:
        torch.OutOfMemoryError: the device has not the memory to try it.
    """
    network = backbone.network
    weight = next(network.parameters())
    if not isinstance(network, fx.GraphModule) or missing_for_kernels(weight.device) is not None:
        return backbone
    fewer = dataclasses.replace(backbone, network=in_one_pass(network))
    generator = torch.Generator().manual_seed(0)
    image = torch.randn((1, 3, height, width), generator=generator).to(weight)
    image = image.contiguous(memory_format=torch.channels_last)
    # Kinds that the network has not would only be compiled for the trial.
    kinds = {one.kind for one in fewer.network.modules() if isinstance(one, OnePass)}
    refused = tried("one_pass", lambda: _wrong_values(weight, kinds) or _wrong_maps(backbone, fewer, image))
    return backbone if refused else fewer


def _wrong_values(like: torch.Tensor, kinds: set[tuple[str, bool, bool, bool]]) -> str | None:
    """What the kernel does otherwise than torch, with values that are no numbers and without end, too."""
    generator = torch.Generator().manual_seed(0)
    for activation, adds, adds_bias, pads in sorted(kinds):
        values, other = (8.0 * torch.randn((2, 24, 13, 11), generator=generator) for _ in range(2))
        values[0, :3, 0, 0] = torch.tensor([torch.nan, torch.inf, -torch.inf])
        other[1, :3, 5, 5] = torch.tensor([torch.nan, torch.inf, -torch.inf])
        values, other = (
            one.to(like).contiguous(memory_format=torch.channels_last) for one in (values, other)
        )
        bias, other_bias = (torch.randn(24, generator=generator).to(like) for _ in range(2))
        rest = (bias, other if adds else None, other_bias if adds_bias else None, activation)
        wanted = by_torch(values, *rest)
        if pads:
            wanted = functional.pad(wanted, _TRIED_PADDING)
            values = torch.ops.inspectd.one_pass_padded(values, bias, activation, _TRIED_PADDING)
        else:
            torch.ops.inspectd.one_pass_(values, *rest)
        if not bool(((values == wanted) | (values.isnan() & wanted.isnan())).all()):
            return f"other values than torch's with activation {activation}, {adds=}, {adds_bias=}, {pads=}"
    return None


def _wrong_maps(before: Backbone, after: Backbone, image: torch.Tensor) -> str | None:
    with torch.inference_mode():
        pairs = zip(before.layers, before(image), after(image), strict=True)
        for layer, wanted, got in pairs:
            apart = float((got.float() - wanted.float()).abs().max())
            largest = float(wanted.float().abs().max())
            if not apart <= _TOLERANCE * largest:
                return f"layer {layer}: {apart:.3g} apart, values up to {largest:.3g}"
    return None
