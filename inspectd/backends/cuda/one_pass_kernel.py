"""Bias, addition and activation in place, in one Triton kernel; see `backends.cuda.one_pass`.

Imported only where Triton is installed, which `backends.cuda.trials` looks for.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl

GROUPS: Final = 256
"""Of channels, in a program: one for each of its threads."""
OPTIONS: Final = {"num_warps": 8, "enable_fp_fusion": False}


@triton.jit(do_not_specialize=["groups", "channel_groups"])  # type: ignore[untyped-decorator]
def one_pass(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0917 - Triton reads annotations, and launches
    values, bias, other, other_bias,  # noqa: ANN001 - pointers
    groups, channel_groups,  # noqa: ANN001 - integers
    adds: tl.constexpr, adds_bias: tl.constexpr, low: tl.constexpr, high: tl.constexpr,
    groups_tile: tl.constexpr, vector: tl.constexpr,
):  # fmt: skip
    """Write activation((values + bias) + (other + other_bias)) over the values, each sum rounded as they are.

    Args:
        values: (P, C) any float, read and written; pixels are the rows of maps that lie channels last.
        bias: (C,) of the same type.
        other: (P, C) of the same type; only read where `adds`.
        other_bias: (C,) of the same type; only read where `adds_bias`.
        groups: P * C / vector.
        channel_groups: C / vector.
        adds: whether there is an other.
        adds_bias: whether the other has a bias.
        low: whether values end at 0; what is no number stays none.
        high: whether they end at 6.
        groups_tile: groups of a program.
        vector: channels of a group.
    """
    program = tl.program_id(0)
    first = program.to(tl.int64) * groups_tile
    own = tl.arange(0, groups_tile)
    inner = tl.arange(0, vector)
    # That of (first + own), without a division of 64 bits, which would take longer than memory does.
    channel = ((program % channel_groups) * (groups_tile % channel_groups) + own) % channel_groups
    at = ((first + own) * vector)[:, None] + inner[None, :]
    channels = (channel * vector)[:, None] + inner[None, :]
    inside = (first + own < groups)[:, None] & (inner >= 0)[None, :]
    kind = values.dtype.element_ty
    total = tl.load(values + at, mask=inside).to(tl.float32) + tl.load(bias + channels).to(tl.float32)
    total = total.to(kind).to(tl.float32)
    if adds:
        more = tl.load(other + at, mask=inside).to(tl.float32)
        if adds_bias:
            more = (more + tl.load(other_bias + channels).to(tl.float32)).to(kind).to(tl.float32)
        total = (total + more).to(kind).to(tl.float32)
    if low:
        total = tl.maximum(total, 0.0, propagate_nan=tl.PropagateNan.ALL)
    if high:
        total = tl.minimum(total, 6.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(values + at, total.to(kind), mask=inside)


def launch(
    values: torch.Tensor,
    bias: torch.Tensor,
    other: torch.Tensor | None,
    other_bias: torch.Tensor | None,
    activation: str,
    *,
    vector: int,
) -> None:
    """As `one_pass.by_torch`, over the values, which are dense and channels last, as the other is.

    Args:
        values: (N, C, H, W) any float, C a multiple of `vector` and less than 2 ** 15 of these.
        bias: (C,) of the same type.
        other: as the values.
        other_bias: as the bias; only with `other`.
        activation: `relu`, `relu6` or `none`.
        vector: channels of a group, a power of two.
    """
    groups = values.numel() // vector
    if not groups:
        return
    one_pass[(-(-groups // GROUPS),)](
        values, bias, values if other is None else other, bias if other_bias is None else other_bias,
        groups, values.shape[1] // vector,
        adds=other is not None, adds_bias=other_bias is not None,
        low=activation != "none", high=activation == "relu6",
        groups_tile=GROUPS, vector=vector, **OPTIONS,
    )  # fmt: skip


@triton.jit(do_not_specialize=["groups", "channel_groups", "left", "top"])  # type: ignore[untyped-decorator]
def one_pass_padded(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0917 - as above
    values, bias, padded,  # noqa: ANN001 - pointers
    groups, channel_groups, width, height, padded_width, padded_height, left, top,  # noqa: ANN001 - integers
    low: tl.constexpr, high: tl.constexpr, groups_tile: tl.constexpr, vector: tl.constexpr,
):  # fmt: skip
    """Write activation(values + bias) into larger maps, with zeros around it.

    Args:
        values: (N, height, width, C) any float.
        bias: (C,) of the same type.
        padded: (N, padded_height, padded_width, C) of the same type, written.
        groups: of `vector` channels in `padded`, less than 2 ** 31.
        channel_groups: C / vector.
        width: of the values, in pixels.
        height: of the values.
        padded_width: of what is written.
        padded_height: of what is written.
        left: zeros before a row.
        top: rows of zeros before a map.
        low: as in `one_pass`.
        high: as in `one_pass`.
        groups_tile: groups of a program.
        vector: channels of a group.
    """
    at = tl.program_id(0) * groups_tile + tl.arange(0, groups_tile)
    inner = tl.arange(0, vector)
    pixel = at // channel_groups
    channels = ((at - pixel * channel_groups) * vector)[:, None] + inner[None, :]
    row = pixel // padded_width
    image = row // padded_height
    x = pixel - row * padded_width - left
    y = row - image * padded_height - top
    inside = at < groups
    within = ((x >= 0) & (x < width) & (y >= 0) & (y < height) & inside)[:, None] & (inner >= 0)[None, :]
    source = ((image * height + y).to(tl.int64) * width + x) * channel_groups * vector
    kind = values.dtype.element_ty
    total = tl.load(values + source[:, None] + channels, mask=within, other=0.0).to(tl.float32)
    total = (total + tl.load(bias + channels).to(tl.float32)).to(kind).to(tl.float32)
    if low:
        total = tl.maximum(total, 0.0, propagate_nan=tl.PropagateNan.ALL)
    if high:
        total = tl.minimum(total, 6.0, propagate_nan=tl.PropagateNan.ALL)
    total = tl.where(within, total, 0.0)
    target = (at.to(tl.int64) * vector)[:, None] + inner[None, :]
    tl.store(padded + target, total.to(kind), mask=inside[:, None] & (inner >= 0)[None, :])


def launch_padded(
    values: torch.Tensor,
    bias: torch.Tensor,
    padded: torch.Tensor,
    activation: str,
    corner: tuple[int, int],
    *,
    vector: int,
) -> None:
    """As `one_pass.by_torch` with nothing added, into larger maps with zeros around it.

    Args:
        values: (N, C, H, W) any float, dense, channels last; C a multiple of `vector`.
        bias: (C,) of the same type.
        padded: (N, C, H', W') of the same, written; less than 2 ** 31 groups of `vector`.
        activation: `relu`, `relu6` or `none`.
        corner: zeros to the left of the values and above them.
        vector: channels of a group, a power of two.
    """
    groups = padded.numel() // vector
    if not groups:
        return
    _, channels, height, width = values.shape
    one_pass_padded[(-(-groups // GROUPS),)](
        values, bias, padded, groups, channels // vector, width, height,
        padded.shape[3], padded.shape[2], *corner,
        low=activation != "none", high=activation == "relu6", groups_tile=GROUPS, vector=vector, **OPTIONS,
    )  # fmt: skip
