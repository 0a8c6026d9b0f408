"""The answer for one frame, and the interface of pipelines. No torch here: OpenVINO does without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

FLOAT16_MAX: Final = 65504.0


@dataclass(frozen=True)
class ImageScore:
    """The answer for one frame.

    Attributes:
        image_score: the larger, the less like a good part; finite.
        heatmap: (h, w) float16, at the detector's resolution.
        stage_ms: milliseconds each stage took for the whole call: preprocess, backbone, search, head.
    """

    image_score: float
    heatmap: NDArray[np.float16]
    stage_ms: dict[str, float]


class Scoring(Protocol):
    """A pipeline of any backend, ready on its device."""

    @property
    def overlaps(self) -> bool:
        """Whether `begin` returns while the device computes."""

    @property
    def is_one_by_one(self) -> bool:
        """Whether frames are computed one after another, so that scoring them together gains nothing."""

    def warm_up(self, max_batch: int) -> None:
        """Score blank frames, so that the first real ones are not slow."""

    def score(self, frames: Sequence[NDArray[np.uint8]]) -> list[ImageScore]:
        """Score frames; they may be views into shared memory and differ in size.

        Args:
            frames: each (H, W, 3) uint8 BGR, or (H, W, 1), which scores as if it had three equal channels.
        """

    def begin(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], list[ImageScore]]:
        """Start scoring frames, as `score` takes them; the returned call waits and gives the answers.

        The frames must stay as they are until then.
        """
