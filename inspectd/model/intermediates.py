"""Feature maps of transformers and hybrids, by timm's `forward_intermediates`.

A block's tokens come as a grid, one place for each patch of the input; class and register tokens are left
out. Most such networks are made for one size of input. They are brought to another the way timm does it:
positions that were learnt are interpolated, rotary ones computed, windows kept to their share of the grid.

Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021; Liu et al., "Swin Transformer", 2021; Oquab et al.,
"DINOv2", 2023; Darcet et al., "Vision Transformers Need Registers", 2024; Simeoni et al., "DINOv3", 2025.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn

from inspectd.errors import InputError

Size = tuple[int, int]
"""Height and width in pixels."""

_MIDDLE_REDUCTIONS: Final = (8, 16)
"""Pixels to a place of the stages that PatchCore takes of a residual network."""


def gives_intermediates(network: nn.Module) -> bool:
    """Whether timm gives the maps of a network's blocks."""
    return hasattr(network, "forward_intermediates") and hasattr(network, "feature_info")


def has_fixed_size(network: nn.Module) -> bool:
    """Whether a network is made for one size of input, as those with positions or windows are."""
    settings: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    return gives_intermediates(network) and bool(settings.get("fixed_input_size"))


def usual_blocks(name: str, network: nn.Module) -> tuple[str, ...]:
    """The blocks that are used when the user names none.

    DINOv2: the last (Damm et al., "AnomalyDINO", 2025). DINOv3: the last of each quarter (SuperADD, 2026).
    Others of one resolution: the last of the second and third quarter; of several: the stages that PatchCore
    takes of a residual network, of 8 and 16 pixels a place.
    """
    blocks = _blocks(network)
    reductions = [stage["reduction"] for stage in _stages(network)]
    if len(set(reductions)) > 1:
        middle = [
            block
            for block, reduction in zip(blocks, reductions, strict=True)
            if reduction in _MIDDLE_REDUCTIONS
        ]
        return tuple(middle or blocks[-1:])
    quarters = [blocks[len(blocks) * part // 4 - 1] for part in (1, 2, 3, 4)]
    if "dinov2" in name:
        return (blocks[-1],)
    return tuple(quarters if "dinov3" in name else quarters[1:3])


def refuse_size(name: str, network: nn.Module, size: Size) -> None:
    """Refuse a size of input that a network cannot be brought to.

    Raises:
        InputError: no whole number of patches fills it, or the network takes its own size alone.
    """
    if not has_fixed_size(network):
        return
    own = _own_size(network)
    if size == own:
        return
    got = f"--size: got {size[0]}x{size[1]}, backbone {name!r} takes"
    if not hasattr(network, "set_input_size"):
        raise InputError(f"{got} {own[0]}x{own[1]} alone: its positions cannot be interpolated")
    step = max(stage["reduction"] for stage in _stages(network))
    if any(length % step for length in size):
        lower = [max(1, length // step) * step for length in size]
        upper = [-(-length // step) * step for length in size]
        nearest = dict.fromkeys("x".join(map(str, sides)) for sides in (lower, upper))
        raise InputError(f"{got} multiples of {step} pixels, the nearest of which are {', '.join(nearest)}")


class IntermediateMaps(nn.Module):
    """A timm network cut down to the blocks whose maps are wanted.

    Args:
        name: of the backbone, for messages.
        network: in evaluation mode, with its weights; changed in place.
        layers: names of blocks, as timm's `feature_info` has them.
        size: of the input; None: the network takes any.
        is_normed: whether tokens are normalised as the network does it after its last block. Where stages
            differ in resolution, timm does it to the last stage alone.

    Raises:
        InputError: there is no such block.
    """

    def __init__(
        self, name: str, network: Any, layers: Sequence[str], size: Size | None, *, is_normed: bool
    ) -> None:
        super().__init__()
        blocks = _blocks(network)
        unknown = [layer for layer in layers if layer not in blocks]
        if unknown:
            raise InputError(
                f"backbone {name!r} has no layer {unknown[0]!r}, expected one of: {', '.join(blocks)}"
            )
        self._wanted = sorted({blocks.index(layer) for layer in layers})
        self._names = [blocks[block] for block in self._wanted]
        of_one_width = len({stage["num_chs"] for stage in _stages(network)}) == 1
        self._is_normed = is_normed and (of_one_width or self._wanted[-1] == len(blocks) - 1)
        if size is not None and size != _own_size(network):
            with warnings.catch_warnings():
                # Torch would have timm interpolate what windows have learnt in other words.
                warnings.simplefilter("ignore", UserWarning)
                network.set_input_size(img_size=size)
        is_dynamic = size is not None and getattr(network, "dynamic_img_size", False)
        if is_dynamic and getattr(network, "rope", None) is not None:
            network.rope = _RotaryPositions(network.rope, network.patch_embed.dynamic_feat_size(size))
        network.prune_intermediate_layers(self._wanted, prune_norm=not self._is_normed, prune_head=True)
        self.network = network

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Maps (N, C_l, h_l, w_l) by block of images (N, 3, H, W), float."""
        maps = self.network.forward_intermediates(
            images, indices=self._wanted, norm=self._is_normed, stop_early=True, intermediates_only=True
        )
        return dict(zip(self._names, maps, strict=True))


class _RotaryPositions(nn.Module):
    """Rotary positions of one grid. timm works them out for every image, on the CPU, for which a card waits.

    Args:
        rope: timm's.
        grid: rows and columns of patches.
    """

    positions: torch.Tensor

    def __init__(self, rope: Any, grid: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("positions", rope.get_embed(shape=grid).detach(), persistent=False)

    def get_embed(self, shape: object) -> torch.Tensor:  # noqa: ARG002 - as timm calls it
        """The positions, as timm's own module gives them."""
        return self.positions


def _stages(network: Any) -> list[dict[str, Any]]:
    return list(network.feature_info)


def _blocks(network: nn.Module) -> list[str]:
    return [stage["module"] for stage in _stages(network)]


def _own_size(network: Any) -> Size:
    _, height, width = network.pretrained_cfg["input_size"]
    return height, width
