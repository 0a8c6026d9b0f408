"""A detector that was trained elsewhere: its network gives a score, a map of places, or both."""

from __future__ import annotations

from typing import ClassVar

import torch

from inspectd.model.options import IMPORTED, ImportedOptions


class Imported:
    """What an imported network says of an image, as a score map; it remembers nothing of good images itself.

    Its features are the outputs of the network, (N, h, w, 1 or 2): the map, then the score at every place.
    Where the score counts, the map is moved up or down until its highest place has that score. Map and score
    may have been scaled apart, and whoever looks at a heatmap holds its places against the threshold.

    Args:
        options: its settings.
    """

    kind: ClassVar[str] = IMPORTED

    def __init__(self, options: ImportedOptions) -> None:
        self._options = options

    @property
    def rows(self) -> int:
        """The one network."""
        return 1

    @property
    def dims(self) -> int:
        """Outputs that are used."""
        return len(self._options.outputs)

    def score_maps(self, features: torch.Tensor) -> torch.Tensor:
        """See `Detector.score_maps`; NaN for an image with an output that is not finite."""
        maps = features[..., 0]
        if self.dims > 1 and self._options.judged == "score":
            maps = maps - maps.amax(dim=(1, 2), keepdim=True) + features[..., 1]
        is_whole = torch.isfinite(features).all(dim=3).all(dim=2).all(dim=1)
        return torch.where(is_whole[:, None, None], maps, torch.nan)

    def tensors(self) -> dict[str, torch.Tensor]:
        """See `Detector.tensors`; none."""
        return {}
