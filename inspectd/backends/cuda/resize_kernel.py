"""Frames to the network's input, resized and normalised, in one Triton kernel for a batch.

Imported only where Triton is installed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import triton
import triton.language as tl
from torch.nn import functional

from inspectd.model.resize import resized

COLUMNS: Final = 64
"""Of the input that a program makes, all of one row."""
OPTIONS: Final = {"num_warps": 2, "enable_fp_fusion": True}
_WEIGHT_BITS: Final = 22
"""As Pillow has it: 32 less those of a pixel and two to spare."""
WEIGHTS: Final = {"weight_bits": _WEIGHT_BITS, "half": 1 << (_WEIGHT_BITS - 1)}
_HALF_LEVEL: Final = 0.5
"""Half precision holds a level to a twentieth or so."""
_SIZES_KEPT: Final = 128
"""Frame sizes whose weights stay on the device: a line's cameras and their regions have fewer."""


@triton.jit(
    do_not_specialize=[
        "frame_bytes",
        "row_bytes",
        "first_byte",
        "height",
        "width",
        "row_taps",
        "column_taps",
    ],
    # Behind frames of another size an image may begin anywhere: that would be another binary, compiled while
    # the line waits.
    do_not_specialize_on_alignment=["images"],
)  # type: ignore[untyped-decorator]
def fit_frames(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0917 - Triton reads annotations, and launches
    frames, images, first_rows, row_weights, first_columns, column_weights, scale, shift,  # noqa: ANN001 - pointers
    frame_bytes, row_bytes, first_byte, height, width, row_taps, column_taps,  # noqa: ANN001 - int32
    columns_tile: tl.constexpr, weight_bits: tl.constexpr, half: tl.constexpr,
):  # fmt: skip
    """Make one row's `columns_tile` columns of one network input.

    In whole numbers, along rows first and rounded between the two axes, as Pillow does it on a CPU: the same
    to the last bit, also where the exact value is a half.

    Args:
        frames: (N, H, W, 3) uint8 BGR, of rows `row_bytes` and frames `frame_bytes` apart.
        images: (N, height, width, 3) float16 RGB, written.
        first_rows: (height,) int32, the first of the frame's rows that count for each of the input's.
        row_weights: (height, row_taps) int32, in units of 2^-`weight_bits`.
        first_columns: (width,) int32.
        column_weights: (width, column_taps) int32, likewise.
        scale: (3,) float32 by RGB channel: an image is scale * value + shift.
        shift: (3,) float32.
        frame_bytes: from one frame to the next.
        row_bytes: from one row of a frame to the next.
        first_byte: of the region in each row.
        height: of the input.
        width: of the input.
        row_taps: most rows that count for one of the input's.
        column_taps: most columns that count.
        columns_tile: columns of the input a program makes.
        weight_bits: 255 times a sum of weights, one and a little, has to fit into 31 bits.
        half: a half in these units, for rounding.
    """
    frame = (tl.program_id(0) // height).to(tl.int64)
    row = tl.program_id(0) % height
    columns = tl.program_id(1) * columns_tile + tl.arange(0, columns_tile)
    inside = columns < width
    first_column = tl.load(first_columns + columns, mask=inside, other=0)
    first_row = tl.load(first_rows + row)
    start = frames + frame * frame_bytes + first_byte
    blue = tl.full((columns_tile,), half, tl.int32)
    green = tl.full((columns_tile,), half, tl.int32)
    red = tl.full((columns_tile,), half, tl.int32)
    for row_tap in range(row_taps):
        line = start + (first_row + row_tap).to(tl.int64) * row_bytes
        blue_sum = tl.full((columns_tile,), half, tl.int32)
        green_sum = tl.full((columns_tile,), half, tl.int32)
        red_sum = tl.full((columns_tile,), half, tl.int32)
        for column_tap in range(column_taps):
            weight = tl.load(column_weights + columns * column_taps + column_tap, mask=inside, other=0)
            pixel = line + 3 * (first_column + column_tap)
            blue_sum += weight * tl.load(pixel, mask=inside, other=0).to(tl.int32)
            green_sum += weight * tl.load(pixel + 1, mask=inside, other=0).to(tl.int32)
            red_sum += weight * tl.load(pixel + 2, mask=inside, other=0).to(tl.int32)
        weight = tl.load(row_weights + row * row_taps + row_tap)
        blue += weight * (blue_sum >> weight_bits)
        green += weight * (green_sum >> weight_bits)
        red += weight * (red_sum >> weight_bits)
    target = images + ((frame * height + row) * width + columns) * 3
    red = (red >> weight_bits).to(tl.float32) * tl.load(scale) + tl.load(shift)
    green = (green >> weight_bits).to(tl.float32) * tl.load(scale + 1) + tl.load(shift + 1)
    blue = (blue >> weight_bits).to(tl.float32) * tl.load(scale + 2) + tl.load(shift + 2)
    tl.store(target, red.to(tl.float16), mask=inside)
    tl.store(target + 1, green.to(tl.float16), mask=inside)
    tl.store(target + 2, blue.to(tl.float16), mask=inside)


@dataclass(frozen=True)
class _Taps:
    """How one axis is resized: output i is the sum of `weights[i]` times the inputs from `first[i]` on."""

    first: torch.Tensor
    weights: torch.Tensor


class FrameFitter:
    """Resizes and normalises frames that lie on a CUDA device.

    Args:
        height: of the network's input, in pixels.
        width: of the network's input, in pixels.
        scale: (1, 3, 1, 1) float32 by RGB channel, on the device: an image is scale * value + shift.
        shift: (1, 3, 1, 1) float32, on the device.
    """

    def __init__(self, height: int, width: int, scale: torch.Tensor, shift: torch.Tensor) -> None:
        self.height = height
        self.width = width
        self.scale = scale.flatten().contiguous()
        self.shift = shift.flatten().contiguous()
        self._taps: OrderedDict[tuple[int, int], tuple[_Taps, _Taps]] = OrderedDict()

    def fit(self, frames: torch.Tensor, images: torch.Tensor, left: int, width: int) -> None:
        """Fill images with frames, in the current stream.

        Args:
            frames: (N, H, W, 3) uint8 BGR, contiguous, whole rows of the frames.
            images: (N, 3, height, width) float16 RGB, channels_last, written.
            left: first column that counts.
            width: columns that count.
        """
        count, rows, row_width, _ = frames.shape
        by_row, by_column = self._taps_of(rows, width, frames.device)
        grid = (count * self.height, triton.cdiv(self.width, COLUMNS))
        fit_frames[grid](
            frames, images, by_row.first, by_row.weights, by_column.first, by_column.weights,
            self.scale, self.shift, rows * row_width * 3, row_width * 3, left * 3,
            self.height, self.width, by_row.weights.shape[1], by_column.weights.shape[1],
            columns_tile=COLUMNS, **WEIGHTS, **OPTIONS,
        )  # fmt: skip

    def _taps_of(self, rows: int, columns: int, device: torch.device) -> tuple[_Taps, _Taps]:
        size = (rows, columns)
        if size not in self._taps:
            self._taps[size] = (_taps(rows, self.height, device), _taps(columns, self.width, device))
            if len(self._taps) > _SIZES_KEPT:
                self._taps.popitem(last=False)
        self._taps.move_to_end(size)
        return self._taps[size]


def _taps(length: int, wanted: int, device: torch.device) -> _Taps:
    """Pillow's weights along one axis: torch's exact ones, found by resizing every unit vector, rounded."""
    identity = torch.eye(length, dtype=torch.float64)[None, None]
    exact = functional.interpolate(
        identity, (wanted, length), mode="bilinear", antialias=True, align_corners=False
    )[0, 0]
    weights = (exact * 2**_WEIGHT_BITS + 0.5).floor().int()
    counts = weights != 0
    first = counts.int().argmax(dim=1)
    taps = int(counts.sum(dim=1).max())
    first = first.clamp(max=length - taps)  # all taps of every output lie in the frame
    band = weights.gather(1, first[:, None] + torch.arange(taps))
    return _Taps(first.int().to(device), band.contiguous().to(device))


def wrong(fitter: FrameFitter) -> str | None:
    """What a fitter gets wrong of random frames, larger and smaller than the input; None: nothing.

    Args:
        fitter: tried against the resize on a CPU.
    """
    rng = np.random.default_rng(0)
    height, width = fitter.height, fitter.width
    scale, shift = (values.cpu().view(1, 3, 1, 1) for values in (fitter.scale, fitter.shift))
    for share in (0.7, 2.3):
        size = (1 + int(share * height), 2 + int(share * width))
        frames = rng.integers(0, 256, (2, *size, 3), np.uint8)
        fitted = np.stack([resized(frame, height, width, None) for frame in frames])
        want = torch.from_numpy(fitted).permute(0, 3, 1, 2).flip(1) * scale + shift
        got = torch.full((2, height, width, 3), torch.nan, dtype=torch.half, device=fitter.scale.device)
        fitter.fit(torch.from_numpy(frames).to(fitter.scale.device), got.permute(0, 3, 1, 2), 0, size[1])
        off = (got.permute(0, 3, 1, 2).float().cpu() - want).abs() / float(scale.max())
        if not bool((off < _HALF_LEVEL).all()):  # nor is a NaN
            return f"pixels up to {float(off.max()):.2f} levels off those of a CPU"
    return None
