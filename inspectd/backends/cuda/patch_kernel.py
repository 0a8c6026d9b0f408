"""From a backbone's half-precision maps to patch features in one Triton kernel.

All of `model.features.patch_features` but its last power is linear, and each position of the grid is a
weighted sum of a few pixels of each map. These pixels and weights are found once, by torch's own functions;
the kernel adds in float32 and rounds nothing but its result. Imported only where Triton is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
import triton
import triton.language as tl

from inspectd.model.features import on_one_grid, patch_features
from inspectd.model.options import PatchOptions

_PLACES: Final = 8
_CHANNELS: Final = 256
"""Places and channels in a tile: 16 sums for each thread, so that half of a multiprocessor's threads find
registers. Fewer channels leave room for more places, but a single image must fill the card."""
_LEAST_SUMS: Final = 1024
OPTIONS: Final = {"num_warps": 4, "num_stages": 1, "enable_fp_fusion": True}
MOST_LAYERS: Final = 4
_MOST_TAPS: Final = 1024
_MOST_SIDE: Final = 256
"""Of a map, in pixels: its matrices are found by as many images of that size."""
_MOST_TOGETHER: Final = 16
_GROUP: Final = 8
"""Of taps, where there are more than can be read together."""
_MOST_CHANNELS: Final = 16_384
"""The values of a map of one image are counted in 32 bits."""
_MOST_WIDTH: Final = 1024
"""Of a tile, in channels."""
_LANES: Final = 32
"""Threads of a warp."""
_SMALLEST_WEIGHT: Final = 1e-9
"""Below it is what rounding left of zero."""
_TOLERANCE: Final = 1e-5
"""Of the largest feature: float32 sums in another order differ by some 1e-6."""


@triton.jit  # type: ignore[untyped-decorator]
def _with_layer(  # type: ignore[no-untyped-def]  # noqa: ANN202, PLR0917 - as in `features_of_maps`
    sums, level, pixels, weights,  # noqa: ANN001
    image, place, channel, needed, start, end,  # noqa: ANN001
    first: tl.constexpr, channels: tl.constexpr, size: tl.constexpr, taps: tl.constexpr,
    together: tl.constexpr,
):  # fmt: skip
    """Sums over a tile of places and channels, with a layer's part put in.

    Args:
        sums: (places, groups, channels) float32.
        level: (N, size, channels) float16, the layer's map.
        pixels: (places, taps) int32, each the number of a pixel.
        weights: (places, taps) float32.
        image: of the batch.
        place: (places,) int32, of the grid.
        channel: (groups, channels) int32, of all layers one after the other.
        needed: (groups, channels) bool, those that count.
        start: first channel that counts.
        end: channel after the last.
        first: channel of the layer.
        channels: of the layer; 0: there is no such layer.
        size: pixels of a map.
        taps: pixels that a place is made of.
        together: taps whose reads are under way at once; a divisor of all.
    """
    if channels == 0:
        return sums
    if (start < first + channels) & (end > first):
        own = channel - first
        inside = (own >= 0) & (own < channels) & needed
        values_of_image = level + image.to(tl.int64) * (size * channels)
        layer = tl.zeros(sums.shape, tl.float32)
        for done in range(0, taps, together):
            for step in tl.static_range(together):
                at = place * taps + (done + step)
                pixel = tl.load(pixels + at)
                weight = tl.load(weights + at)
                # Outside of the mask this is whatever it is; that is thrown away once, below.
                values = tl.load(
                    values_of_image + (pixel[:, None, None] * channels + own[None, :, :]),
                    mask=inside[None, :, :],
                )
                layer += weight[:, None, None] * values.to(tl.float32)
        sums = tl.where(inside[None, :, :], layer, sums)
    return sums


@triton.jit  # type: ignore[untyped-decorator]
def features_of_maps(  # type: ignore[no-untyped-def]  # noqa: ANN201, D417, PLR0917 - Triton reads annotations, and launches
    features,  # noqa: ANN001 - pointer, as the following
    map0, map1, map2, map3,  # noqa: ANN001
    pixels0, pixels1, pixels2, pixels3,  # noqa: ANN001
    weights0, weights1, weights2, weights3,  # noqa: ANN001
    channels0: tl.constexpr, channels1: tl.constexpr, channels2: tl.constexpr, channels3: tl.constexpr,
    size0: tl.constexpr, size1: tl.constexpr, size2: tl.constexpr, size3: tl.constexpr,
    taps0: tl.constexpr, taps1: tl.constexpr, taps2: tl.constexpr, taps3: tl.constexpr,
    together0: tl.constexpr, together1: tl.constexpr, together2: tl.constexpr, together3: tl.constexpr,
    places: tl.constexpr, dims: tl.constexpr, power: tl.constexpr,
    places_tile: tl.constexpr, groups: tl.constexpr, group_dims: tl.constexpr, group_channels: tl.constexpr,
    window: tl.constexpr,
):  # fmt: skip
    """Make a tile of patch features: program (d, p, n) those of dimensions d and places p of image n.

    Args:
        features: (N, places, dims) float32, written.
        map0: (N, size0, channels0) float16, of the first layer; likewise those of the others.
        pixels0: (places, taps0) int32, the pixels of map0 that make a place.
        weights0: (places, taps0) float32, theirs.
        channels0: of map0; 0 where there is no such layer, of which nothing is looked at.
        size0: pixels of map0.
        taps0: pixels that make a place.
        together0: taps whose reads are under way at once; a divisor of taps0.
        places: of the grid.
        dims: the sum of all channels, or fewer: then each is the mean of the channels that torch's
            `adaptive_avg_pool1d` takes.
        power: of the compression.
        places_tile: places of a program.
        groups: of dimensions in a program.
        group_dims: dimensions of a group.
        group_channels: at least the channels that these are made of, from a multiple of 8 on.
        window: most channels that make a dimension.
    """
    total: tl.constexpr = channels0 + channels1 + channels2 + channels3
    dims_tile: tl.constexpr = groups * group_dims
    image = tl.program_id(2)
    place = tl.program_id(1) * places_tile + tl.arange(0, places_tile)
    # Places past the end compute what the last one does; nothing is stored of them.
    own = tl.minimum(place, places - 1)
    first_dim = tl.program_id(0) * dims_tile
    dim = first_dim + tl.arange(0, dims_tile)
    start = first_dim * total // dims
    end = ((first_dim + dims_tile) * total + dims - 1) // dims
    group_dim = first_dim + tl.arange(0, groups) * group_dims
    group_start = group_dim * total // dims // 8 * 8
    group_end = (((group_dim + group_dims) * total + dims - 1) // dims + 7) // 8 * 8
    # With an axis of its own the compiler sees that eight channels lie side by side, and reads them at once.
    channel = group_start[:, None] + tl.arange(0, group_channels)[None, :]
    needed = channel < group_end[:, None]
    sums = tl.zeros((places_tile, groups, group_channels), tl.float32)
    sums = _with_layer(
        sums, map0, pixels0, weights0, image, own, channel, needed, start, end,
        0, channels0, size0, taps0, together0,
    )  # fmt: skip
    sums = _with_layer(
        sums, map1, pixels1, weights1, image, own, channel, needed, start, end,
        channels0, channels1, size1, taps1, together1,
    )  # fmt: skip
    sums = _with_layer(
        sums, map2, pixels2, weights2, image, own, channel, needed, start, end,
        channels0 + channels1, channels2, size2, taps2, together2,
    )  # fmt: skip
    sums = _with_layer(
        sums, map3, pixels3, weights3, image, own, channel, needed, start, end,
        channels0 + channels1 + channels2, channels3, size3, taps3, together3,
    )  # fmt: skip
    if dims == total:
        means = tl.reshape(sums, (places_tile, dims_tile))
    else:
        known = tl.minimum(dim, dims - 1)
        lowest = known * total // dims
        count = ((known + 1) * total + dims - 1) // dims - lowest
        grouped = tl.reshape(lowest, (groups, group_dims)) - group_start[:, None]
        last = tl.reshape(count, (groups, group_dims)) - 1
        means = tl.zeros((places_tile, dims_tile), tl.float32)
        for step in tl.static_range(window):
            # Dimensions past the end, of which nothing is stored, must stay within the group, too.
            taken = tl.maximum(grouped + tl.minimum(last, step), 0)[None, :, :]
            taken = tl.broadcast_to(taken, (places_tile, groups, group_dims))
            values = tl.reshape(tl.gather(sums, taken, 2), (places_tile, dims_tile))
            means += tl.where((step < count)[None, :], values, 0.0)
        means = means / count.to(tl.float32)[None, :]
    size = tl.abs(means)
    if power == 0.75:
        root = tl.sqrt(size)
        size = root * tl.sqrt(root)
    elif power != 1.0:
        size = tl.exp2(power * tl.log2(size))
    target = (image.to(tl.int64) * places + place[:, None]) * dims + dim[None, :]
    tl.store(
        features + target,
        tl.where(means < 0, -size, size),
        mask=(place < places)[:, None] & (dim < dims)[None, :],
    )


class PatchKernel:
    """`model.features.patch_features` of half-precision maps in float32, by one kernel.

    A pixel that is no number reaches the features that torch gives it weight in, and no others; a weight of
    zero, which torch's interpolation multiplies by at the borders, is none.

    Args:
        options: of the patch features.
        maps: an example: one (N, C_l, h_l, w_l) float16 per layer, on the device that computes.

    Raises:
        ValueError: the kernel has no form for such maps.
    """

    def __init__(self, options: PatchOptions, maps: Sequence[torch.Tensor]) -> None:
        self._shapes = [level.shape[1:] for level in maps]
        refuse(self._shapes, [level.dtype for level in maps])
        tables = [_table(along_y, along_x) for along_y, along_x in _axes(options, self._shapes)]
        device = maps[0].device
        self._pixels = _four([pixels.to(device) for pixels, _ in tables])
        self._weights = _four([weights.to(device) for _, weights in tables])
        self._grid = tuple(_grid(options, self._shapes))
        channels = sum(shape[0] for shape in self._shapes)
        self.dims = min(options.dimensions or channels, channels)
        groups, group_dims, group_channels, window = _tiles(channels, self.dims)
        taps = [pixels.shape[1] for pixels, _ in tables]
        self.constants = {
            **_numbered("channels", [shape[0] for shape in self._shapes], 0),
            **_numbered("size", [shape[1] * shape[2] for shape in self._shapes], 1),
            **_numbered("taps", taps, 1),
            **_numbered("together", [count if count <= _MOST_TOGETHER else _GROUP for count in taps], 1),
            "places": self._grid[0] * self._grid[1], "dims": self.dims, "power": options.compression,
            "places_tile": max(_PLACES, _LEAST_SUMS // (groups * group_channels)), "groups": groups,
            "group_dims": group_dims, "group_channels": group_channels, "window": window,
        }  # fmt: skip

    def __call__(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Patch features (N, h, w, D) float32, contiguous, of maps of the example's shapes but for N.

        Raises:
            ValueError: the maps have other shapes.
        """
        shapes = [level.shape[1:] for level in maps]
        if shapes != self._shapes or any(level.dtype != torch.float16 for level in maps):
            raise ValueError(f"maps {shapes}, expected float16 of {self._shapes}")
        dense = _four([level.contiguous(memory_format=torch.channels_last) for level in maps])
        count = len(maps[0])
        features = torch.empty((count, *self._grid, self.dims), dtype=torch.float32, device=maps[0].device)
        tiles = (
            triton.cdiv(self.dims, self.constants["groups"] * self.constants["group_dims"]),
            triton.cdiv(self.constants["places"], self.constants["places_tile"]),
            count,
        )
        features_of_maps[tiles](features, *dense, *self._pixels, *self._weights, **self.constants, **OPTIONS)
        return features


def refuse(shapes: Sequence[Sequence[int]], dtypes: Sequence[torch.dtype]) -> None:
    """Refuse maps, each (C, h, w), that the kernel has no form for.

    Raises:
        ValueError: it has none.
    """
    if not 1 <= len(shapes) <= MOST_LAYERS:
        raise ValueError(f"{len(shapes)} layers, expected 1 to {MOST_LAYERS}")
    if any(dtype != torch.float16 for dtype in dtypes):
        raise ValueError(f"maps of {', '.join(map(str, dtypes))}, expected torch.float16")
    side = max(max(height, width) for _, height, width in shapes)
    if side > _MOST_SIDE:
        raise ValueError(f"a map of {side} rows or columns, expected at most {_MOST_SIDE}")
    channels = sum(shape[0] for shape in shapes)
    if channels > _MOST_CHANNELS:
        raise ValueError(f"{channels} channels, expected at most {_MOST_CHANNELS}")


def wrong(kernel: PatchKernel, options: PatchOptions, maps: Sequence[torch.Tensor]) -> str | None:
    """What the kernel gives otherwise than `patch_features` in float32 of the same maps; None: nothing.

    Args:
        kernel: made for these options and maps.
        options: of the patch features.
        maps: one (N, C_l, h_l, w_l) float16 per layer; of one sign an image, as a power below 1 makes the
            rounding of sums near zero large.
    """
    wanted = patch_features([level.float() for level in maps], options)
    apart = float((kernel(maps) - wanted).abs().max() / wanted.abs().max())
    return None if apart <= _TOLERANCE else f"{apart:.1e} of the largest feature apart, allowed {_TOLERANCE}"


def trial_maps(examples: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Two images of random maps, one above zero and one below, of the shapes of maps (N, C_l, h_l, w_l)."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    return [
        (signs * (0.5 + torch.rand((2, *level.shape[1:]), generator=generator)))
        .to(level)
        .contiguous(memory_format=torch.channels_last)
        for level in examples
    ]


def _axes(options: PatchOptions, shapes: Sequence[Sequence[int]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each layer the matrices (grid's rows, h) and (grid's columns, w) float64 that torch's steps are.

    Averaging a neighbourhood, pooling and interpolating treat rows and columns one after the other, and a map
    that does not change along one axis does not after them.
    """
    along_y = [_unit_rows(height, width) for _, height, width in shapes]
    along_x = [_unit_rows(width, height).mT for _, height, width in shapes]
    return [
        (rows[:, 0, :, 0].T, columns[:, 0, 0, :].T)
        for rows, columns in zip(on_one_grid(along_y, options), on_one_grid(along_x, options), strict=True)
    ]


def _unit_rows(length: int, across: int) -> torch.Tensor:
    """(length, 1, length, across): image i holds 1 in row i, else 0."""
    return torch.eye(length, dtype=torch.float64)[:, None, :, None].expand(length, 1, length, across)


def _table(along_y: torch.Tensor, along_x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (places, taps) int32 and their weights float32, of one matrix for each axis."""
    rows, row_weights = _band(along_y)
    columns, column_weights = _band(along_x)
    pixels = rows[:, None, :, None] * along_x.shape[1] + columns[None, :, None, :]
    weights = row_weights[:, None, :, None] * column_weights[None, :, None, :]
    places, taps = rows.shape[0] * columns.shape[0], rows.shape[1] * columns.shape[1]
    if taps > _MOST_TAPS:
        raise ValueError(f"a patch of {taps} pixels, expected at most {_MOST_TAPS}")
    return _filled(pixels.reshape(places, taps).int(), weights.reshape(places, taps).float())


def _band(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns (n, taps) and weights (n, taps) of what is not zero in the rows of a matrix (n, m).

    A row that has fewer than others repeats its last one, each time with half of the weight that is left: a
    tap of weight 0 would make NaN of an infinite pixel, and bring NaN to where it does not belong.
    """
    found = [(row > _SMALLEST_WEIGHT).nonzero().flatten() for row in matrix]
    taps = max(len(columns) for columns in found)
    at = torch.stack([torch.cat([columns, columns[-1:].expand(taps - len(columns))]) for columns in found])
    weights = matrix.gather(1, at)
    for row, columns in zip(weights, found, strict=True):
        _share_out(row, len(columns))
    return at, weights


def _share_out(weights: torch.Tensor, real: int) -> None:
    """Share the last of `real` weights (taps,) among it and those after it, by halves: their sum is exact."""
    for tap in range(real, len(weights)):
        weights[tap - 1] /= 2
        weights[tap] = weights[tap - 1]


def _filled(pixels: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same table with a multiple of as many taps as are read together."""
    real = pixels.shape[1]
    missing = -real % _GROUP if real > _MOST_TOGETHER else 0
    pixels, weights = (
        torch.cat([table, table[:, -1:].expand(-1, missing)], dim=1).contiguous()
        for table in (pixels, weights)
    )
    _share_out(weights.T, real)
    return pixels, weights


def _tiles(channels: int, dims: int) -> tuple[int, int, int, int]:
    """Groups in a tile, dimensions and channels in a group, and the most channels that make a dimension.

    Raises:
        ValueError: so many channels make one dimension that no tile holds them.
    """
    if channels == dims:
        sizes = [size for size in (256, 128, 64, _LANES) if size == _LANES or size < 2 * dims]
        tile = min(sizes, key=lambda size: triton.cdiv(dims, size) * size)
        return 1, tile, tile, 1
    dim = torch.arange(dims)
    lowest, end = dim * channels // dims, ((dim + 1) * channels + dims - 1) // dims

    def width(size: int) -> int:
        lasts = torch.arange(size - 1, dims + size - 1, size).clamp(max=dims - 1)
        most = int((end[lasts] - lowest[::size] // 8 * 8).max())
        return max(_LANES, 1 << (most - 1).bit_length())

    # A group of no more channels than a warp has threads needs one exchange between them for each value.
    group_dims = next((size for size in (32, 16, 8, 4, 2) if width(size) == _LANES), 1)
    group_channels = width(group_dims)
    if group_channels > _MOST_WIDTH:
        raise ValueError(f"{channels} channels averaged to {dims}, expected at most {_MOST_WIDTH} for each")
    groups = min(max(1, _CHANNELS // group_channels), triton.next_power_of_2(triton.cdiv(dims, group_dims)))
    return groups, group_dims, group_channels, int((end - lowest).max())


def _grid(options: PatchOptions, shapes: Sequence[Sequence[int]]) -> tuple[int, int]:
    sizes = [(height, width) for _, height, width in shapes]
    return min(sizes) if options.grid == "coarse" else max(sizes)


def _four(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """As many as the kernel has places for; those that it does not look at are the first once more."""
    return tensors + tensors[:1] * (MOST_LAYERS - len(tensors))


def _numbered(name: str, values: list[int], rest: int) -> dict[str, int]:
    values = values + [rest] * (MOST_LAYERS - len(values))
    return {f"{name}{layer}": value for layer, value in enumerate(values)}
