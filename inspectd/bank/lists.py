"""Lists of the rows that are usually nearest at each place, which make the search of a large bank faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch

from inspectd.model.detectors import Detector
from inspectd.model.lists import SIDE, list_length, pays
from inspectd.model.patchcore import PatchCore
from inspectd.model.search import ExactSearch

_EVERY: Final = 3
"""A third of the images serves as well as all of them."""


Nearest = Callable[[PatchCore, int], torch.Tensor]
"""Called with a detector and a number k: gives `nearest_rows` of every k-th image."""


def add_lists(detector: Detector, patches: int, nearest: Nearest) -> None:
    """Give a PatchCore its lists where they make its search faster.

    Args:
        detector: any; others, and those that lists make no faster, stay as they are.
        patches: of an image.
        nearest: searches its bank for the patches of good images.
    """
    if isinstance(detector, PatchCore) and pays(patches, detector.rows):
        detector.lists = place_lists(nearest(detector, _EVERY), detector.rows)


def nearest_rows(detector: PatchCore, features: torch.Tensor) -> torch.Tensor:
    """The row of its bank that is nearest at each place, (N, h, w) int64, of features (N, h, w, D)."""
    search = ExactSearch(detector.bank, detector.scale)
    rows = torch.empty(features.shape[:3], dtype=torch.int64, device=features.device)
    for image, found in zip(features, rows, strict=True):
        found.copy_(search.search(image.flatten(0, 1).float(), 1)[1].reshape(found.shape))
    return rows


def place_lists(nearest: torch.Tensor, rows: int) -> torch.Tensor:
    """The rows (B, L) int32 that are nearest most often in and around each of `model.lists.blocks`."""
    _, height, width = nearest.shape
    lists = []
    for top in range(0, height, SIDE):
        for left in range(0, width, SIDE):
            # One place around: parts do not lie exactly alike.
            around = nearest[:, max(0, top - 1) : top + SIDE + 1, max(0, left - 1) : left + SIDE + 1]
            wins = torch.bincount(around.flatten(), minlength=rows)
            lists.append(wins.argsort(descending=True, stable=True)[: list_length(rows)])
    return torch.stack(lists).int()
