"""Reference pictures: what good images show, averaged once each is laid onto the others."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.pictures.parts import one_of_each_part
from inspectd.quality.registration import Picture, Place, Reference, laid_onto, moved_to

_MOST_REFERENCES: Final = 3
ALIKE: Final = 0.6
"""Correlation of pictures that show the same thing."""
_ALIKE_SHARE: Final = 0.8
"""Of the images: where fewer are like a reference, there is no one thing that they show."""
_FEWEST_ALIKE: Final = 5
_CANDIDATES: Final = 8
_JUDGES: Final = 24
_AVERAGED: Final = 100
"""Pictures that make a reference: more make none better."""


def find_references(pictures: list[Picture]) -> tuple[list[Picture], float]:
    """Mean pictures (h, w) of what is alike in pictures (h, w), the most usual first; and the share alike.

    No reference: there is no one thing that most of them show.
    """
    references: list[Picture] = []
    rest, alike = list(range(len(pictures))), 0
    while rest and len(references) < _MOST_REFERENCES:
        found = _mean_of_alike([pictures[row] for row in rest])
        if found is None:
            break
        mean, members = found
        references.append(mean)
        alike += int(members.sum())
        rest = [row for row, is_member in zip(rest, members, strict=True) if not is_member]
        if len(rest) < max(_FEWEST_ALIKE, len(pictures) // 50):
            break
    share = alike / len(pictures)
    return (references if share >= _ALIKE_SHARE else []), share


def _mean_of_alike(pictures: list[Picture]) -> tuple[Picture, NDArray[np.bool_]] | None:
    """The mean of the pictures that are like the most usual one, each laid onto it, and which they are."""
    judges = _spread(pictures, _JUDGES)
    candidates = [Reference(each) for each in _spread(pictures, _CANDIDATES)]
    best = max(candidates, key=lambda c: float(np.median([c.place(each).likeness for each in judges])))
    averaged = _spread(pictures, _AVERAGED)
    for _ in range(2):
        placed = [(each, best.place(each)) for each in averaged]
        laid = [laid_onto(each, place) for each, place in placed if place.likeness >= ALIKE]
        if len(laid) < _FEWEST_ALIKE:
            return None
        mean = np.mean([(each - each.mean()) / max(1.0, float(each.std())) for each in laid], axis=0)
        contrast = min(float(np.median([each.std() for each in laid])), 120 / max(1e-6, np.abs(mean).max()))
        usual = _usual([place for _, place in placed if place.likeness >= ALIKE])
        best = Reference(moved_to((128 + mean * contrast).astype(np.float32), usual))
    return best.picture, np.array([best.place(each).likeness >= ALIKE for each in pictures])


def _usual(places: list[Place]) -> Place:
    """The median of places: a reference that lies there has as many to its left as to its right."""
    found = np.median([(each.shift_x, each.shift_y, each.rotation) for each in places], axis=0)
    return Place(float(found[0]), float(found[1]), float(found[2]), 1.0)


def _spread(pictures: list[Picture], count: int) -> list[Picture]:
    """At most so many of them, spread evenly."""
    return [pictures[row] for row in np.unique(np.linspace(0, len(pictures) - 1, count).astype(int))]


def held_out_likeness(pictures: list[Picture], parts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(2, N) likeness and part likeness of each picture to references that were made without its part.

    Those are made of one picture of every other part, so that kinds of parts must not come by turns.

    Args:
        pictures: (h, w) each.
        parts: (N,) numbers of the parts that they show, from 0 on.
    """
    values = np.empty((2, len(pictures)))
    for half in (0, 1):
        made_of = [pictures[row] for row in one_of_each_part(parts) if parts[row] % 2 != half]
        others = [Reference(each) for each in find_references(made_of)[0]]
        for row in np.flatnonzero(parts % 2 == half):
            places = [each.place(pictures[row]) for each in others] or [Place(0.0, 0.0, 0.0, -1.0)]
            best = max(places, key=lambda place: place.likeness)
            values[:, row] = best.likeness, best.part_likeness
    return values
