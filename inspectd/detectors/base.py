"""What every detector of the memory-based family offers: it remembers good parts and scores by distance."""

from __future__ import annotations

from typing import ClassVar, Protocol

import torch


class Detector(Protocol):
    """A fitted detector on one device."""

    kind: ClassVar[str]

    @property
    def rows(self) -> int:
        """How many entries its memory has."""

    @property
    def dims(self) -> int:
        """How many dimensions an entry of its memory has."""

    def maps(self, features: torch.Tensor) -> torch.Tensor:
        """How unlike good parts every place of every image is; the larger, the less like them.

        Args:
            features: (N, h, w, D) float32 patch features on the detector's device.

        Returns:
            (N, h', w') float32, h' and w' at the detector's resolution.
        """

    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything it remembers, by name; with its options enough to restore it."""
