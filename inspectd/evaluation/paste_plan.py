"""Which synthetic defects to draw where: seeded, and balanced over kinds, contrasts, sizes and places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.evaluation.synthetic import KINDS

CONTRASTS: Final = (0.1, 0.2, 0.4)
_STEPS: Final = 1.324717957244746 ** -np.arange(1.0, 3.0)
"""Of the additive recurrence R2, whose points fill a square evenly (M. Roberts, "The Unreasonable
Effectiveness of Quasirandom Sequences", 2018): their base is the real root of x^3 = x + 1."""


class PlannedPaste(msgspec.Struct, frozen=True):
    """One synthetic defect to draw."""

    kind: str
    contrast: float
    size_pixels: float
    across: float
    """Column of its centre as a share of the scored region's width."""
    down: float
    """Row, as a share of its height."""
    image: int
    """Number of the image it is drawn into."""
    seed: int
    """Of its shape."""


def plan_pastes(
    each: int,
    images: int,
    sizes_pixels: tuple[float, float],
    seed: int,
    *,
    kinds: Sequence[str] = KINDS,
    contrasts: Sequence[float] = CONTRASTS,
    scored: NDArray[np.bool_] | None = None,
) -> list[PlannedPaste]:
    """`each` pastes for every kind and contrast.

    Args:
        each: number for one kind and contrast.
        images: number of images, which take turns.
        sizes_pixels: smallest and largest size; the logarithms of the sizes are spread evenly.
        seed: of every random choice.
        kinds: of `synthetic.KINDS`.
        contrasts: see `synthetic.paste`.
        scored: (h, w) bool, cells of the scored region in which centres may lie, at least one; None: all.
    """
    generator = np.random.default_rng(seed)
    low, high = np.log(sizes_pixels)
    planned = []
    for kind in kinds:
        for contrast in contrasts:
            order = generator.permutation(images)
            shares = (generator.permutation(each) + generator.random(each)) / each
            places = _places(each, generator, scored)
            for row, (share, (across, down)) in enumerate(zip(shares, places, strict=True)):
                planned.append(
                    PlannedPaste(
                        kind,
                        contrast,
                        float(np.exp(low + share * (high - low))),
                        float(across),
                        float(down),
                        int(order[row % images]),
                        int(generator.integers(2**63)),
                    )
                )
    return planned


def _places(
    count: int, generator: np.random.Generator, scored: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """(count, 2) column and row of evenly spread places in scored cells, as shares."""
    start, total = generator.random(2), count
    while True:
        places = (start + np.arange(total)[:, None] * _STEPS) % 1.0
        if scored is not None:
            height, width = scored.shape
            places = places[scored[(places[:, 1] * height).astype(int), (places[:, 0] * width).astype(int)]]
        if len(places) >= count:
            return places[:count]
        total *= 2
