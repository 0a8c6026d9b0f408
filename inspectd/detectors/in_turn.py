"""Batches on a device that computes while the host goes on: two are under way, and memory may run short."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inspectd.detectors.score import ImageScore

_UNDER_WAY: Final = 2
"""While one is computed the next one's frames are uploaded; a third would only hold more memory."""


class Launches(Protocol):
    """A device that takes batches."""

    most: int
    """Frames in a batch at most."""

    def launch(self, frames: Sequence[NDArray[np.uint8]]) -> Callable[[], Sequence[ImageScore]]:
        """Start a batch without waiting for it; what is returned waits for it and gives its answers."""

    def shrink(self, tried: int) -> None:
        """Take batches of fewer than `tried` frames from now on: `most` becomes smaller."""


def scored_in_turn(
    device: Launches, frames: Sequence[NDArray[np.uint8]], exhausted: type[Exception]
) -> list[ImageScore]:
    """An answer for each frame, in order; a batch is launched before the one before it is waited for.

    Args:
        device: what computes.
        frames: any number of them, each (H, W, 3) uint8 BGR.
        exhausted: what `launch` raises where the device's memory does not hold a batch.

    Raises:
        Exception: `exhausted`, where the memory does not hold a single frame.
    """
    answers: list[ImageScore] = []
    under_way: deque[Callable[[], Sequence[ImageScore]]] = deque()
    position = 0
    while position < len(frames):
        if len(under_way) == _UNDER_WAY:
            answers += under_way.popleft()()
        part = frames[position : position + device.most]
        try:
            under_way.append(device.launch(part))
        except exhausted:
            if under_way:  # what these hold comes free: the batch may fit then
                answers += [answer for collect in under_way for answer in collect()]
                under_way.clear()
            elif device.most == 1:
                raise
            else:
                device.shrink(len(part))
            continue
        position += len(part)
    return answers + [answer for collect in under_way for answer in collect()]
