"""Frames held against what a bank learnt of how its good images were taken."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import BankError
from inspectd.pictures.region import Region, pixels_of
from inspectd.quality.learnt import REFERENCES, TINT, LearntQuality
from inspectd.quality.measures import (
    Sighting,
    SmallPicture,
    laid_small,
    measure_light,
    measures_of,
    small_picture,
)
from inspectd.quality.reasons import REASONS
from inspectd.quality.registration import Place, Reference
from inspectd.records import MeasureLimit, Measures
from inspectd.wire import Reason


class FrameCheck:
    """Measures frames against what a bank learnt of its good images.

    Args:
        learnt: of the bank.
        tensors: of the bank, by name.
        region: of a frame that is judged, as shares; None: all of it.
    """

    def __init__(
        self, learnt: LearntQuality, tensors: Mapping[str, NDArray[Any]], region: Region | None = None
    ) -> None:
        self.learnt = learnt
        self.region = region
        self._references = [Reference(each.astype(np.float32)) for each in tensors.get(REFERENCES, ())]
        self._quarters = np.array(learnt.usual_quarters)
        self._tint = tensors.get(TINT)

    def measure(self, pixels: NDArray[np.uint8]) -> Measures:
        """Measures of a frame, (H, W), (H, W, 1) or (H, W, 3) uint8 BGR."""
        rows, columns = pixels_of(self.region, *pixels.shape[:2])
        corner = rows.start, columns.start
        return self.measures(Sighting.of(pixels[rows, columns], corner, self._shape, self.learnt.measured))

    def measures(self, seen: Sighting) -> Measures:
        """Measures of what was kept of a frame's region."""
        place = self.place(seen.small) if seen.small.grey.shape == self._shape else None
        # What is to be aligned is looked at as it will be judged.
        small = laid_small(seen.small, place) if self.learnt.aligned and place is not None else seen.small
        light = measure_light(small, self._quarters, self._tint)
        return measures_of(light | seen.detail, place, seen.scale)

    def place(self, small: SmallPicture) -> Place | None:
        """Place of a small picture against the reference it is most like; None: the bank has none."""
        best: Place | None = None
        for reference in self._references:
            place = reference.place(small.grey)
            if best is None or place.likeness > best.likeness:
                best = place
            if place.likeness >= self.learnt.enough_likeness:
                break
        return best

    def scale_of(self, height: int, width: int) -> float:
        """Pixels of a region of this size to one of the picture in which its place is found."""
        assert self._shape is not None
        return max(height, width) / max(self._shape)

    def place_of(self, pixels: NDArray[np.uint8]) -> Place | None:
        """Place of a frame's region, in pixels of the small picture."""
        return self.place(small_picture(pixels[pixels_of(self.region, *pixels.shape[:2])], self._shape))

    def beyond(self, measures: Measures, off: Container[Reason] = ()) -> list[str]:
        """Names of the measures beyond their limits, in the order in which they count.

        Args:
            measures: of a frame.
            off: reasons that do not count; `admit` says which may be among them.
        """
        found = []
        for name, reason in REASONS.items():
            limit = self.learnt.limits.get(name)
            if limit is None or reason in off:
                continue
            value: float | None = getattr(measures, name)
            # A grey frame where colour was learnt has lost its colour: that is beyond any limit.
            if value is None or limit.is_beyond(value):
                found.append(name)
        return found

    def admit(self, off: Container[Reason]) -> None:
        """Refuse to leave reasons out without which a score would be of another picture than the bank's.

        Args:
            off: reasons that are not to count.

        Raises:
            BankError: the bank is aligned, and frames that were not found on its reference would be judged.
        """
        needed = [reason for reason in (Reason.QUALITY_SCENE, Reason.QUALITY_POSITION) if reason in off]
        if self.learnt.aligned and needed:
            names = ", ".join(reason.removeprefix("quality_") for reason in needed)
            raise BankError(
                f"quality_off: has {names}, but the bank is aligned: frames that cannot be laid onto its "
                "reference would be judged as they lie; leave it out, or build the bank without --align"
            )

    def reason(self, beyond: Sequence[str]) -> Reason | None:
        """Reason that measures beyond their limits give; None: there are none.

        What is to be aligned and is not like the reference was not found.
        """
        if not beyond:
            return None
        reason = REASONS[beyond[0]]
        is_lost = self.learnt.aligned and reason is Reason.QUALITY_SCENE
        return Reason.QUALITY_POSITION if is_lost else reason

    def described(self, beyond: Sequence[str], measures: Measures) -> str:
        """What is wrong with a frame, in words: each measure, its value and its limits."""
        limits = self.learnt.limits
        return "; ".join(_words(name, getattr(measures, name), limits[name]) for name in beyond)

    @property
    def _shape(self) -> tuple[int, ...] | None:
        return self._references[0].picture.shape if self._references else None


def _words(name: str, value: float | None, limit: MeasureLimit) -> str:
    ends = [
        f"{word} {end:.4g}"
        for word, end in (("at least", limit.low), ("at most", limit.high))
        if end is not None
    ]
    shown = "none" if value is None else f"{value:.4g}"
    return f"{name} is {shown}, expected {' and '.join(ends)}"
