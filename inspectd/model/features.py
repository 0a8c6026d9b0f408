"""Makes patch features of frames, for building, evaluating and the daemon alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from inspectd.model.backbones import Backbone
from inspectd.model.options import PatchOptions
from inspectd.model.resize import resized


class Preprocess:
    """Resizes (bilinear with antialiasing) and normalises uint8 BGR frames.

    They are resized by the one function that the line resizes by too, whatever the device: a bank is then
    built of what the line sees, to the last bit.

    Args:
        height: height of the network's input, in pixels.
        width: width of the network's input, in pixels.
        mean: per RGB channel, of values scaled to 0..1.
        std: per RGB channel, of values scaled to 0..1.
        device: where the work is done.
        region: left, top, width and height of the region, as shares of the frame; None: all of it.
    """

    def __init__(
        self,
        height: int,
        width: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        device: torch.device,
        *,
        region: tuple[float, float, float, float] | None = None,
    ) -> None:
        self.region = region
        self.height = height
        self.width = width
        self.device = device
        # uint8 -> (x / 255 - mean) / std as one multiply and one add, channels in RGB order.
        std_tensor = torch.tensor(std, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        mean_tensor = torch.tensor(mean, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self.scale = 1.0 / (255.0 * std_tensor)
        self.shift = -mean_tensor / std_tensor

    def __call__(self, frames: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Bring frames, which may differ in size, to one batch.

        Args:
            frames: each (H, W, 3) uint8 BGR or (H, W, 1).

        Returns:
            (N, 3, height, width) float32 RGB, normalised, channels_last.
        """
        fitted = [resized(frame, self.height, self.width, self.region) for frame in frames]
        return self.normalised(torch.from_numpy(np.stack(fitted)).to(self.device).permute(0, 3, 1, 2))

    def normalised(self, batch: torch.Tensor) -> torch.Tensor:
        """(N, 3, height, width) float32 RGB of (N, 3, height, width) BGR holding 0..255; channels_last."""
        rgb = batch.flip(1).to(torch.float32, memory_format=torch.channels_last)
        return rgb.mul(self.scale).add_(self.shift)


def patch_features(maps: Sequence[torch.Tensor], options: PatchOptions) -> torch.Tensor:
    """Average every map over a 3x3 neighbourhood, bring all to one grid, concatenate and compress.

    Args:
        maps: one (N, C_l, h_l, w_l) float per layer.
        options: grid, dimensions and compression.

    Returns:
        (N, h, w, D) float, D the sum of all C_l or what the options ask for; contiguous.
    """
    levels = on_one_grid(maps, options)
    features = torch.cat([level.permute(0, 2, 3, 1) for level in levels], dim=3)
    if options.dimensions is not None and options.dimensions < features.shape[3]:
        features = _averaged(features, options.dimensions)
    if options.compression == 1.0:
        return features.contiguous()
    return (features.sign() * _power(features.abs(), options.compression)).contiguous()


def on_one_grid(maps: Sequence[torch.Tensor], options: PatchOptions) -> list[torch.Tensor]:
    """Average maps, each (N, C_l, h_l, w_l), over a 3x3 neighbourhood, and bring them to one grid (h, w)."""
    sizes = [(level.shape[2], level.shape[3]) for level in maps]
    grid = min(sizes) if options.grid == "coarse" else max(sizes)
    return [_on_grid(_smoothed(level), grid) for level in maps]


def _power(values: torch.Tensor, exponent: float) -> torch.Tensor:
    if exponent == 0.75:  # the default; two roots take a fraction of a power's time
        root = values.sqrt()
        return root * root.sqrt()
    return values.pow(exponent)


def _averaged(features: torch.Tensor, dimensions: int) -> torch.Tensor:
    """(N, h, w, dimensions), each the mean of neighbouring dimensions of (N, h, w, D)."""
    pooled = functional.adaptive_avg_pool1d(features.flatten(1, 2), dimensions)
    return pooled.reshape(*features.shape[:3], dimensions)


def _smoothed(level: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(level, kernel_size=3, stride=1, padding=1, count_include_pad=False)


def _on_grid(level: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    if level.shape[2:] == grid:
        return level
    if level.shape[2] >= grid[0]:
        return functional.adaptive_avg_pool2d(level, grid)
    return functional.interpolate(level, grid, mode="bilinear", align_corners=False)


class FeatureExtractor:
    """A backbone with its preprocessing.

    Args:
        backbone: on `device`.
        height: height of the network's input, in pixels.
        width: width of the network's input, in pixels.
        device: where the work is done.
        options: of the patch features.
    """

    def __init__(
        self, backbone: Backbone, height: int, width: int, device: torch.device, options: PatchOptions
    ) -> None:
        self.options = options
        self.region = options.region
        self.backbone = backbone
        self.device = device
        self.preprocess = Preprocess(
            height, width, backbone.mean, backbone.std, device, region=options.region
        )

    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and dimensions of an image's patch features."""
        blank = np.zeros((self.preprocess.height, self.preprocess.width, 3), dtype=np.uint8)
        _, height, width, dims = self([blank]).shape
        return height, width, dims

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Patch features (N, h, w, D) float32 of preprocessed images (N, 3, H, W) float32."""
        return patch_features(self.backbone(images), self.options)

    def __call__(self, frames: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Patch features (N, h, w, D) float32 of frames, each (H, W, 3) uint8 BGR or (H, W, 1)."""
        with torch.inference_mode():
            return self.features(self.preprocess(frames))
