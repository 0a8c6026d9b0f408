"""Small pictures of what a report is about, kept for a screen: each part beside both heatmaps."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from inspectd.evaluation.page import beside_heatmap
from inspectd.teach.place import TeachPlace
from inspectd.teach.replay import Replay, Replayed

_MOST: Final = 200
"""Flips that are shown; the report has all of them."""
_QUALITY: Final = 85


def keep_pictures(
    place: TeachPlace, found: Replay, thresholds: tuple[float, float]
) -> dict[tuple[str, str], str]:
    """Keep a picture of each verdict that flips, those that pass from now on first, and of each known defect.

    Args:
        place: the line's folder of teaching.
        found: of the replay.
        thresholds: of the bank in force and of the candidate.

    Returns:
        By kind and name of a part: the sha256 of its picture in the store of those that are shown.

    Raises:
        UnavailableError: one cannot be kept.
    """
    flips = sorted((item for item in found.items if item.flips), key=lambda item: item.passes[0])
    known = [item for item in found.items if item.kind == "known_defect"]
    return {
        (item.kind, item.name): place.shown.keep(
            cv2.imencode(".jpg", beside_both(item, thresholds), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[
                1
            ].tobytes()
        )
        for item in (*flips[:_MOST], *known)
    }


def beside_both(item: Replayed, thresholds: tuple[float, float]) -> NDArray[np.uint8]:
    """A part beside itself under the heatmaps of the bank in force and candidate, (h, 3 w, 3) uint8 BGR."""
    assert item.picture is not None
    old, new = (
        beside_heatmap(item.picture, heat, threshold, region)
        for heat, threshold, region in zip(item.heatmaps, thresholds, item.regions, strict=True)
    )
    return np.hstack([old, new[:, item.picture.shape[1] :]])
