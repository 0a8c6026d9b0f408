"""Frames in, patch features out: what building, evaluating and the daemon share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from inspectd.features.backbones import Backbone
from inspectd.features.options import PatchOptions
from inspectd.features.patches import patch_features
from inspectd.features.preprocess import Preprocess


class FeatureExtractor:
    """A backbone with its preprocessing.

    Args:
        backbone: on `device`.
        height: height of the network's input, in pixels.
        width: width of the network's input, in pixels.
        device: where the work is done.
        options: how feature maps become patch features.
    """

    def __init__(
        self, backbone: Backbone, height: int, width: int, device: torch.device, options: PatchOptions
    ) -> None:
        self._options = options
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
        return patch_features(self.backbone(images), self._options)

    def __call__(self, frames: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Patch features (N, h, w, D) float32 of frames, each (H, W, 3) uint8 BGR."""
        with torch.inference_mode():
            return self.features(self.preprocess(frames))
