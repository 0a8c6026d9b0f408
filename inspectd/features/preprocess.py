"""From camera frames to network input, on the device: the one resize every path through inspectd uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from inspectd.features.crop import cropped


class Preprocess:
    """Resizes (bilinear with antialiasing) and normalises uint8 BGR frames.

    Args:
        height: height of the network's input, in pixels.
        width: width of the network's input, in pixels.
        mean: per RGB channel, of values scaled to 0..1.
        std: per RGB channel, of values scaled to 0..1.
        device: where the work is done.
        region: left, top, width and height of what is looked at, as shares of the frame; None: all of it.
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
        self._region = region
        self.height = height
        self.width = width
        self.device = device
        # uint8 -> (x / 255 - mean) / std as one multiply and one add, channels in RGB order.
        std_tensor = torch.tensor(std, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        mean_tensor = torch.tensor(mean, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self._scale = 1.0 / (255.0 * std_tensor)
        self._shift = -mean_tensor / std_tensor

    def __call__(self, frames: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Bring frames, which may differ in size, to one batch.

        Args:
            frames: each (H, W, 3) uint8 BGR; views into shared memory are read in place.

        Returns:
            (N, 3, height, width) float32 RGB, normalised, channels_last.
        """
        return self.normalised(torch.cat([self.fitted(self.uploaded(frame)) for frame in frames]))

    def normalised(self, batch: torch.Tensor) -> torch.Tensor:
        """(N, 3, height, width) float32 RGB of (N, 3, height, width) BGR holding 0..255; channels_last."""
        rgb = batch.flip(1).to(torch.float32, memory_format=torch.channels_last)
        return rgb.mul(self._scale).add_(self._shift)

    def uploaded(self, frame: NDArray[np.uint8]) -> torch.Tensor:
        """What is looked at of a frame (H, W, 3), on the device as (1, 3, H', W') uint8."""
        if self._region is not None:
            frame = cropped(frame, self._region)
        # Ring slots are taken as they lie; torch takes neither read-only nor reversed arrays.
        if not frame.flags.writeable or min(frame.strides) < 0:
            frame = frame.copy()
        return torch.as_tensor(frame).to(self.device, non_blocking=True).permute(2, 0, 1).unsqueeze(0)

    def fitted(self, pixels: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) uint8 -> (1, 3, height, width) holding whole values 0..255."""
        if pixels.shape[2:] == (self.height, self.width):
            return pixels
        # The CPU has a fast uint8 kernel, CUDA has none; rounding there keeps the two alike.
        if self.device.type != "cpu":
            pixels = pixels.to(torch.float32)
        size = (self.height, self.width)
        resized = functional.interpolate(pixels, size, mode="bilinear", antialias=True, align_corners=False)
        return resized.round_().clamp_(0, 255) if resized.is_floating_point() else resized
