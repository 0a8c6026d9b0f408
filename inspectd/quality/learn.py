"""Learns from good images how they are taken: reference pictures, and the limits of every measure."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.pictures.parts import numbered, one_of_each_part
from inspectd.pictures.region import Region, pixels_of
from inspectd.quality.check import FrameCheck
from inspectd.quality.learnt import LEAST_SIDE, MEASURED, NEAREST, REFERENCES, TINT, LearntQuality, Nearest
from inspectd.quality.limits import find_limit, held_out_alarms
from inspectd.quality.measures import MOST_SIDE, Sighting, SmallPicture, laid_small, quarters, tint
from inspectd.quality.reasons import REASONS
from inspectd.quality.references import ALIKE, find_references, held_out_likeness
from inspectd.quality.trials import (
    COLOURS,
    DOWN,
    ON_ITS_SIDE,
    SHIFT_SHARE,
    TO_THE_RIGHT,
    TRIALS,
    TURN_DEGREES,
    TURNED,
    reach_px,
)
from inspectd.records import MeasureLimit, Measures

FEWEST: Final = 50
"""Good parts, of one image each or more, that limits are found from; fewer do not show their spread."""
_TRIED: Final = 16
"""Images in which faults are made, each of another part."""
_DECIMALS: Final = 9
_SEEN_SHARE: Final = 0.8
"""Of the trials of a displacement that have to be measured right, or there is no limit of it."""

_POSITION: Final = ("shift_x_px", "shift_y_px", "rotation_degrees")


_FEW: Final = 50
"""One grey image in so many is one that went astray, as limits take those far outside the rest."""
_GREY: Final = {"blue_share": 1 / 3, "red_share": 1 / 3, "tint": 0.0}
"""What a picture without colour has of it."""
_LEAST_TINT: Final = 0.02
"""Of the mean grey: a tint that is weaker is none."""
_FURTHEST_SHIFT_SHARE: Final = 0.12
"""Of `reach_px`: as far as registration is sure to reach."""
_FURTHEST_DEGREES: Final = 8.0


@dataclass(frozen=True)
class Learnt:
    """What a bank learnt of how its images were taken, and its tensors, by name."""

    quality: LearntQuality
    tensors: dict[str, NDArray[Any]]


class QualityLearner:
    """Looks at good images one after another, keeps a small picture of each, and then learns.

    Args:
        region: of the images that is judged, as shares; None: all of it.
        most: images that there can be; nothing is done for fewer than `FEWEST`, or for fewer parts. None:
            it is not known.
        parts: the part that each image shows, by its name; None: each is taken to show another. Images of
            one part vouch for each other: what is usual is learnt of one of them, and in a limit a part
            counts once, by the furthest of its images.
        aligned: frames will be shifted and turned onto the reference before they are judged, so that they may
            lie as far off as registration reaches.
    """

    def __init__(
        self,
        region: Region | None = None,
        *,
        most: int | None = None,
        parts: Mapping[str, str] | None = None,
        aligned: bool = False,
    ) -> None:
        self._region = region
        self._part_of = parts
        counts = [*([] if most is None else [most]), *([] if parts is None else [len({*parts.values()})])]
        self._is_vain = min(counts, default=FEWEST) < FEWEST
        self._aligned = aligned
        self._names: list[str] = []
        self._parts: list[str] = []
        self._seen: list[Sighting] = []
        self._trials: dict[str, tuple[Sighting, dict[str, Sighting]]] = {}
        self._sizes: Counter[tuple[int, int]] = Counter()

    def add(self, name: str, pixels: NDArray[np.uint8]) -> None:
        """Look at a good image, (H, W) or (H, W, 3) uint8 BGR."""
        if self._is_vain:
            return  # the faults that are tried take longer than all else that a small bank takes
        rows, columns = pixels_of(self._region, *pixels.shape[:2])
        pixels, corner = pixels[rows, columns], (rows.start, columns.start)
        self._sizes[pixels.shape[0], pixels.shape[1]] += 1
        self._names.append(name)
        self._seen.append(Sighting.of(pixels, corner))
        part = str(len(self._names)) if self._part_of is None else self._part_of[name]
        self._parts.append(part)
        if len(self._trials) < _TRIED and part not in self._trials:
            tried = {what: Sighting.of(made(pixels), corner) for what, made in TRIALS.items()}
            self._trials[part] = (self._seen[-1], tried)

    def learn(self) -> Learnt | None:
        """What the images tell; None: they show fewer parts than `FEWEST`."""
        if len({*self._parts}) < FEWEST:
            return None
        self._shuffle()
        of_several = numbered(self._parts)
        parts = np.arange(len(self._seen)) if of_several is None else of_several
        ones = one_of_each_part(parts)
        not_findable: dict[str, str] = {}
        references = self._references(ones, not_findable)
        tensors: dict[str, NDArray[Any]] = {REFERENCES: references} if len(references) else {}
        is_aligned = self._aligned and len(references) > 0
        bare = LearntQuality(
            images=len(self._seen), measured=MEASURED, limits={}, enough_likeness=ALIKE, aligned=is_aligned,
            parts=msgspec.UNSET if of_several is None else len(ones),
        )  # fmt: skip
        judged = [self._seen[row].small for row in ones]
        if is_aligned:
            check = FrameCheck(bare, tensors)
            judged = [laid_small(small, place) for small in judged if (place := check.place(small))]
        usual = np.median([quarters(small) for small in judged], axis=0)
        tensors |= self._tint(judged, not_findable)
        bare = msgspec.structs.replace(
            bare, usual_quarters=(float(usual[0]), float(usual[1]), float(usual[2]), float(usual[3]))
        )
        check = FrameCheck(bare, tensors)
        measured = [check.measures(each) for each in self._seen]
        table = self._table(measured, parts, not_findable)
        longer = max(each.longer_side for each in self._seen)
        if len(references):
            table["likeness"], table["part_likeness"] = held_out_likeness(
                [each.small.grey for each in self._seen], parts
            )
            not_findable |= self._unseen(check)
        # The last digits of a sum differ with where its numbers lie in memory: same images, same bank.
        table = {name: np.round(values, _DECIMALS) for name, values in table.items()}
        limits = {
            name: limit
            for name, values in table.items()
            if name not in not_findable and (limit := find_limit(name, values, parts, longer)) is not None
        }
        if self._aligned:
            limits |= {name: _within(self._reach(name)) for name in _POSITION if name in limits}
        for name in _POSITION:
            if name in limits and _furthest_end(limits[name]) > self._reach(name):
                not_findable[name] = f"they differ by {np.ptp(table[name]):.3g} in it themselves"
        limits = {name: limit for name, limit in limits.items() if name not in not_findable}
        not_findable |= {
            name: "they take all values there are themselves"
            for name in table if name not in limits and name not in not_findable
        }  # fmt: skip
        nearest, thumbnails = self._nearest(table, limits)
        if len(thumbnails):
            tensors[NEAREST] = thumbnails
        learnt = msgspec.structs.replace(
            bare,
            limits=limits,
            not_findable=not_findable,
            held_out_alarms=held_out_alarms({name: table[name] for name in limits}, parts, longer),
            nearest=tuple(nearest),
        )
        return Learnt(
            msgspec.structs.replace(learnt, found=self._found(FrameCheck(learnt, tensors))), tensors
        )

    def _shuffle(self) -> None:
        """Put the images into an order of chance, the same at every build.

        Half of them are held against the other half, a fifth against the rest. Of kinds of parts that come by
        turns, each such share would have some kinds and not the others.
        """
        order = sorted(range(len(self._seen)), key=lambda row: _digest(self._seen[row].small))
        self._names, self._parts, self._seen = (
            [self._names[row] for row in order],
            [self._parts[row] for row in order],
            [self._seen[row] for row in order],
        )

    def _references(self, ones: NDArray[np.int64], not_findable: dict[str, str]) -> NDArray[np.uint8]:
        """(K, h, w) pictures of what the images of these rows show; none where that is not one thing."""
        if len(self._sizes) > 1:
            not_findable["likeness"] = f"they have {len(self._sizes)} sizes, so there is no picture of all"
            return np.empty((0, 0, 0), np.uint8)
        references, share = find_references([self._seen[row].small.grey for row in ones])
        if not references:
            not_findable["likeness"] = (
                f"no more than {share:.0%} of them are alike: there is no picture of all"
            )
        return np.array([np.clip(np.rint(each), 0, 255) for each in references], dtype=np.uint8)

    def _tint(
        self, judged: list[SmallPicture], not_findable: dict[str, str]
    ) -> dict[str, NDArray[np.float32]]:
        """The usual tint, as a tensor of the bank; none where there is none."""
        coloured = [small for small in judged if small.colour is not None]
        if not _but_few(len(judged) - len(coloured), len(judged)) or len(self._sizes) > 1:
            return {}
        halves = [np.mean([tint(small) for small in coloured[half::2]], axis=0) for half in (0, 1)]
        usual = (halves[0] + halves[1]) / 2
        # What one half of the images has and the other has not is chance.
        if float((halves[0] * halves[1]).mean()) < _LEAST_TINT**2:
            not_findable["tint"] = "they are as good as grey: exchanged colours hardly show in them"
            return {}
        return {TINT: usual.astype(np.float32)}

    def _table(
        self, measured: list[Measures], parts: NDArray[np.int64], not_findable: dict[str, str]
    ) -> dict[str, NDArray[np.float64]]:
        """(N,) values of every measure that all images have, in the order in which they count.

        A few grey ones among coloured ones have the colours of grey: limits set those aside that are far off.
        """
        found = {name: [getattr(each, name) for each in measured] for name in REASONS}
        is_grey = np.array([value is None for value in found["blue_share"]])
        grey = int(is_grey.sum())
        if grey and _but_few(len(np.unique(parts[is_grey])), len(np.unique(parts))):
            for name, of_grey in _GREY.items():
                if any(value is not None for value in found[name]):
                    found[name] = [of_grey if value is None else value for value in found[name]]
        for name in ("blue_share", "red_share"):
            if None in found[name]:
                not_findable[name] = (
                    "they are grey: no order or balance of colours shows in them"
                    if grey == len(measured) else f"{grey} of them are grey, the others are not"
                )  # fmt: skip
        return {name: np.array(values) for name, values in found.items() if None not in values}

    def _reach(self, name: str) -> float:
        """How far registration is sure to reach in images of one size: pixels, or degrees."""
        if name == "rotation_degrees":
            return _FURTHEST_DEGREES
        return _FURTHEST_SHIFT_SHARE * self._reach_px(name)

    def _reach_px(self, name: str) -> int:
        height, width = next(iter(self._sizes))
        return reach_px(width, height) if name == "shift_x_px" else reach_px(height, width)

    def _unseen(self, check: FrameCheck) -> dict[str, str]:
        """Displacements that these images do not show: what was made in them on purpose was not measured."""
        height, width = next(iter(self._sizes))
        if max(height, width) * LEAST_SIDE > min(height, width) * MOST_SIDE:
            return dict.fromkeys(
                _POSITION, f"they are {width}x{height}, longer than {MOST_SIDE // LEAST_SIDE}:1"
            )
        unseen, trials = {}, list(self._trials.values())
        for name, trial, made in (
            ("shift_x_px", TO_THE_RIGHT, SHIFT_SHARE * self._reach_px("shift_x_px")),
            ("shift_y_px", DOWN, SHIFT_SHARE * self._reach_px("shift_y_px")),
            ("rotation_degrees", TURNED, TURN_DEGREES),
        ):
            errors = [
                getattr(check.measures(seen[trial]), name) - getattr(check.measures(before), name) - made
                for before, seen in trials
            ]
            share = float((np.abs(errors) <= made / 4).mean())
            if share < _SEEN_SHARE:
                unseen[name] = f"images {trial} look the same: measured right in {share:.0%} of them"
        return unseen

    def _nearest(
        self, table: dict[str, NDArray[np.float64]], limits: dict[str, MeasureLimit]
    ) -> tuple[list[Nearest], NDArray[np.uint8]]:
        """The good image nearest to each limit, and its picture."""
        nearest: list[Nearest] = []
        pictures: list[NDArray[np.uint8]] = []
        for name, limit in limits.items():
            values = table[name]
            lowest = [int(np.argmin(values))] if limit.low is not None else []
            highest = [int(np.argmax(values))] if limit.high is not None else []
            for row in dict.fromkeys(lowest + highest):
                nearest.append(Nearest(name, float(values[row]), Path(self._names[row]).name))
                pictures.append(_thumbnail(self._seen[row].small, pictures[0].shape if pictures else None))
        return nearest, np.array(pictures, dtype=np.uint8)

    def _found(self, check: FrameCheck) -> dict[str, float]:
        """Share of the trials in which each fault is found."""
        found, trials = {}, list(self._trials.values())
        usual = trials[0][0].small
        coloured = [seen for before, seen in trials if before.small.colour is not None]
        for what in TRIALS:
            tried = coloured if what == COLOURS else [trial for _, trial in trials]
            seen = [trial[what] for trial in tried]
            if not seen:
                continue
            if any(each.small.grey.shape != usual.grey.shape for each in seen) and what == ON_ITS_SIDE:
                continue
            found[what] = sum(bool(check.beyond(check.measures(each))) for each in seen) / len(seen)
        return found


def _but_few(grey: int, count: int) -> bool:
    """Whether so many grey ones among all are few enough to be set aside."""
    return grey * _FEW <= count


def _digest(small: SmallPicture) -> bytes:
    picture = small.grey if small.colour is None else small.colour
    return hashlib.sha256(picture.tobytes()).digest()


def _thumbnail(small: SmallPicture, shape: tuple[int, ...] | None) -> NDArray[np.uint8]:
    grey = small.grey.astype(np.uint8)
    picture = small.colour if small.colour is not None else cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    return picture if shape is None else cv2.resize(picture, (shape[1], shape[0]))


def _within(most: float) -> MeasureLimit:
    return MeasureLimit(0.0, -most, most)


def _furthest_end(limit: MeasureLimit) -> float:
    return max(math.inf if end is None else abs(end) for end in (limit.low, limit.high))
