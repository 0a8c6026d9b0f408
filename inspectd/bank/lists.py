"""Lists of the rows that are usually nearest at each place, which make the search of a large bank faster."""

from __future__ import annotations

from typing import Final

import torch

from inspectd.model.detectors import Detector
from inspectd.model.lists import SIDE, list_length, pays
from inspectd.model.patchcore import PatchCore
from inspectd.model.search import ExactSearch

_EVERY: Final = 3
"""A third of the images serves as well as all of them."""


def add_lists(detector: Detector, features: torch.Tensor) -> None:
    """Give a PatchCore its lists where they make its search faster.

    Args:
        detector: any; others, and those that lists make no faster, stay as they are.
        features: (N, h, w, D) float, of good images.
    """
    patches = features.shape[1] * features.shape[2]
    if isinstance(detector, PatchCore) and pays(patches, detector.rows):
        detector.lists = place_lists(detector, features[::_EVERY])


def place_lists(detector: PatchCore, features: torch.Tensor) -> torch.Tensor:
    """The rows (B, L) int32 that are nearest most often in and around each of `model.lists.blocks`.

    Args:
        detector: its bank is searched.
        features: (N, h, w, D) float, of good images.
    """
    _, height, width, _ = features.shape
    search = ExactSearch(detector.bank, detector.scale)
    nearest = torch.stack(
        [search.search(image.flatten(0, 1).float(), 1)[1].reshape(height, width) for image in features]
    )
    lists = []
    for top in range(0, height, SIDE):
        for left in range(0, width, SIDE):
            # One place around: parts do not lie exactly alike.
            around = nearest[:, max(0, top - 1) : top + SIDE + 1, max(0, left - 1) : left + SIDE + 1]
            wins = torch.bincount(around.flatten(), minlength=detector.rows)
            lists.append(wins.argsort(descending=True, stable=True)[: list_length(detector.rows)])
    return torch.stack(lists).int()
