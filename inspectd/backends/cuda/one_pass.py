"""Bias, addition and activation behind a convolution as one operator: on a card, as one Triton kernel."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional

VECTOR: Final = 8
"""Channels that a thread of the kernel loads at once; maps have a multiple of them."""
_MOST_CHANNELS: Final = VECTOR << 15
_MOST_VALUES: Final = VECTOR << 30

# An operator of torch's own kind: torch picks the device's implementation, and a trace counts it as one.
_library: Final = torch.library.Library("inspectd", "FRAGMENT")  # type: ignore[no-untyped-call]
_library.define(  # type: ignore[no-untyped-call]
    "one_pass_(Tensor(a!) values, Tensor bias, Tensor? other, Tensor? other_bias, str activation) -> ()"
)
_library.define(  # type: ignore[no-untyped-call]
    "one_pass_padded(Tensor values, Tensor bias, str activation, int[] padding) -> Tensor"
)


def _on_host(
    values: torch.Tensor,
    bias: torch.Tensor,
    other: torch.Tensor | None,
    other_bias: torch.Tensor | None,
    activation: str,
) -> None:
    values.copy_(by_torch(values, bias, other, other_bias, activation))


def _on_card(
    values: torch.Tensor,
    bias: torch.Tensor,
    other: torch.Tensor | None,
    other_bias: torch.Tensor | None,
    activation: str,
) -> None:
    from inspectd.backends.cuda.one_pass_kernel import launch  # noqa: PLC0415 - it needs Triton

    with torch.cuda.device(values.device):
        launch(values, bias, other, other_bias, activation, vector=VECTOR)


def _padded_on_host(
    values: torch.Tensor, bias: torch.Tensor, activation: str, padding: list[int]
) -> torch.Tensor:
    padded = functional.pad(by_torch(values, bias, None, None, activation), padding)
    return padded.contiguous(memory_format=torch.channels_last)


def _padded_on_card(
    values: torch.Tensor, bias: torch.Tensor, activation: str, padding: list[int]
) -> torch.Tensor:
    from inspectd.backends.cuda.one_pass_kernel import launch_padded  # noqa: PLC0415 - it needs Triton

    padded = _room(values, bias, activation, padding)
    with torch.cuda.device(values.device):
        launch_padded(values, bias, padded, activation, (padding[0], padding[2]), vector=VECTOR)
    return padded


def _room(values: torch.Tensor, _bias: torch.Tensor, _activation: str, padding: list[int]) -> torch.Tensor:
    count, channels, height, width = values.shape
    left, right, top, bottom = padding
    shape = (count, channels, top + height + bottom, left + width + right)
    return torch.empty(shape, dtype=values.dtype, device=values.device, memory_format=torch.channels_last)


for _operator, _device, _implementation in (
    ("one_pass_", "CPU", _on_host), ("one_pass_", "CUDA", _on_card), ("one_pass_", "Meta", lambda *_: None),
    ("one_pass_padded", "CPU", _padded_on_host), ("one_pass_padded", "CUDA", _padded_on_card),
    ("one_pass_padded", "Meta", _room),
):  # fmt: skip
    _library.impl(_operator, _implementation, _device)  # type: ignore[no-untyped-call]


def by_torch(
    values: torch.Tensor,
    bias: torch.Tensor,
    other: torch.Tensor | None,
    other_bias: torch.Tensor | None,
    activation: str,
) -> torch.Tensor:
    """What `OnePass` computes, step by step: (N, C, H, W), every sum rounded to its type.

    Args:
        values: (N, C, H, W), a convolution's output without its bias.
        bias: (C,).
        other: added after the bias; None: nothing.
        other_bias: (C,), added to `other` first; None: nothing.
        activation: `relu`, `relu6` or `none`; what is no number stays none.
    """
    total = values + bias.view(1, -1, 1, 1)
    if other is not None:
        total = total + (other if other_bias is None else other + other_bias.view(1, -1, 1, 1))
    if activation == "relu":
        return functional.relu(total)
    return functional.relu6(total) if activation == "relu6" else total


class OnePass(nn.Module):
    """Bias, addition and activation behind a convolution, written over the convolution's output.

    Args:
        bias: (C,), the convolution's.
        other_bias: (C,) of the convolution that what is added comes from, which has it no more; None: it has.
        activation: as `by_torch` takes it.
        adds: whether something is added.
    """

    def __init__(
        self, bias: nn.Parameter, other_bias: nn.Parameter | None, activation: str, *, adds: bool
    ) -> None:
        super().__init__()
        self.kind = activation, adds, other_bias is not None, False
        self.bias = bias
        self.other_bias = other_bias
        self._activation = activation

    def forward(self, values: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) of the same; `values` must not be read by anything else."""
        if not _is_dense(values) or (other is not None and not _is_alike(values, other)):
            return by_torch(values, self.bias, other, self.other_bias, self._activation)
        torch.ops.inspectd.one_pass_(values, self.bias, other, self.other_bias, self._activation)
        return values


class PaddedPass(OnePass):
    """The same, nothing added, with the zeros around it that a convolution of timm asks for.

    Args:
        before: the pass without them.
        convolution: a `Conv2dSame`, whose output has the input's size divided by its stride.
    """

    def __init__(self, before: OnePass, convolution: nn.Conv2d) -> None:
        super().__init__(before.bias, None, before.kind[0], adds=False)
        self.kind = *before.kind[:3], True
        axes = zip(convolution.kernel_size, convolution.stride, convolution.dilation, strict=True)
        self._axes = tuple((stride, dilation * (size - 1) + 1) for size, stride, dilation in axes)

    def forward(
        self,
        values: torch.Tensor,
        other: torch.Tensor | None = None,  # noqa: ARG002 - there is none
    ) -> torch.Tensor:
        """(N, C, top + H + bottom, left + W + right) of (N, C, H, W)."""
        padding = [
            part
            for length, (stride, reach) in zip(values.shape[:1:-1], reversed(self._axes), strict=True)
            for part in _halves(max((-(-length // stride) - 1) * stride + reach - length, 0))
        ]
        rows, columns = values.shape[2] + sum(padding[2:]), values.shape[3] + sum(padding[:2])
        if not _is_dense(values) or values.shape[0] * values.shape[1] * rows * columns > _MOST_VALUES:
            return functional.pad(by_torch(values, self.bias, None, None, self._activation), padding)
        padded: torch.Tensor = torch.ops.inspectd.one_pass_padded(
            values, self.bias, self._activation, padding
        )
        return padded


def _halves(padding: int) -> tuple[int, int]:
    return padding // 2, padding - padding // 2


def _is_dense(values: torch.Tensor) -> bool:
    return (
        values.dim() == 4
        and values.shape[1] % VECTOR == 0
        and values.shape[1] <= _MOST_CHANNELS
        and values.is_contiguous(memory_format=torch.channels_last)
    )


def _is_alike(values: torch.Tensor, other: object) -> bool:
    """Whether the other, which in a network may also be a number, lies in memory as the values do."""
    return (
        isinstance(other, torch.Tensor)
        and (other.shape, other.dtype, other.device) == (values.shape, values.dtype, values.device)
        and other.is_contiguous(memory_format=torch.channels_last)
    )
