"""Limits of measures from their values in good images, and how often those are beyond them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.pictures.parts import highest_by_part, one_of_each_part
from inspectd.records import MeasureLimit

_FOLDS: Final = 5

_DEVIATIONS: Final = 4.2
"""Of a normal distribution: what is beyond is one in 75,000 to each side."""
_UNSURE: Final = 10
"""Parts of which a spread is known to no better than a factor of two: their limits lie twice as far."""
_HEAVIEST: Final = 1.5
"""Times as far, at most, for a measure that leaps."""
_WILD: Final = 4.0
"""Times as far as all but one in fifty: an image that is farther is set aside."""
_USUAL_SHARE: Final = 0.98

_LEAST: Final = {
    "exposure": 0.1,
    "grain": 0.5,
    "dark_share": 0.1,
    "bright_share": 0.1,
    "faintest_quarter": 1.5,
    "unevenness": 0.04,
    "fine_detail": 0.4,
    "detail": 0.4,
    "blocks": 0.4,
    "rotation_degrees": 0.5,
    "likeness": 0.2,
    "part_likeness": 0.4,
    "facing": 0.03,
    "tint": 0.4,
    "blue_share": 0.015,
    "red_share": 0.015,
}
"""Nearest to the median that a limit may be, in the unit of the measure."""
_LEAST_SHIFT_SHARE: Final = 0.006
"""The same for shifts, of the longer side."""
_TURNED_SHARE: Final = 0.75
"""Of what good images have; of a turned part it is about as far below 0."""
_ENDS: Final = {
    "blue_share": (0.0, 1.0),
    "red_share": (0.0, 1.0),
    "dark_share": (0.0, 1.0),
    "bright_share": (0.0, 1.0),
    "likeness": (-1.0, 1.0),
    "part_likeness": (-1.0, 1.0),
}
"""Least and greatest value there is."""
_BY_FACTOR: Final = {"mean_grey": "exposure"}
"""Measures that are so many times their usual value, with a name for the octaves."""
_LOW_ONLY: Final = frozenset(
    {"likeness", "part_likeness", "facing", "faintest_quarter", "fine_detail", "detail"}
)
_HIGH_ONLY: Final = frozenset({"dark_share", "bright_share", "unevenness", "blocks"})


def find_limit(
    name: str, values: NDArray[np.float64], parts: NDArray[np.int64], longer_side: int
) -> MeasureLimit | None:
    """Limits of a measure from its values (n,) in good images; None: nothing lies beyond them.

    Args:
        name: of the measure.
        values: of good images.
        parts: (n,) numbers of the parts that they show; each counts once, by the furthest of its images.
        longer_side: of the images, in pixels.
    """
    if name in _BY_FACTOR:
        limit = find_limit(_BY_FACTOR[name], np.log2(np.maximum(values, 1.0)), parts, longer_side)
        assert limit is not None
        ends = (None if end is None or 2**end >= 255 else 2**end for end in (limit.low, limit.high))
        return MeasureLimit(2**limit.usual, *ends)
    usual = float(np.median(values[one_of_each_part(parts)]))
    least, most = _ENDS.get(name, (-math.inf, math.inf))
    nearest = _LEAST.get(name, _LEAST_SHIFT_SHARE * longer_side)
    if name == "facing":
        nearest = max(nearest, _TURNED_SHARE * usual)
    low = usual - _reach(highest_by_part(usual - values, parts), nearest)
    high = usual + _reach(highest_by_part(values - usual, parts), nearest)
    limit = MeasureLimit(
        usual,
        None if name in _HIGH_ONLY or low <= least else low,
        None if name in _LOW_ONLY or high >= most else high,
    )
    return None if limit.low is None and limit.high is None else limit


def _reach(distances: NDArray[np.float64], least: float) -> float:
    """How far a limit lies from the median, by the distances (n,) of good parts to that side.

    As much farther than the furthest of them as `_DEVIATIONS` are than the furthest of n normal deviates:
    half as far again for 300 images, more than twice for 50; and more where the furthest lies
    farther out beside the nine nearest tenths than a normal one would. Those that lie far outside the others
    are left out: such an image may itself be a bad one.
    """
    furthest = _furthest_deviate(len(distances))
    wanted = _DEVIATIONS * (1 + _UNSURE / len(distances))
    usual = max(float(np.quantile(distances, _USUAL_SHARE)), least / 2)
    seen = float(distances[distances <= _WILD * usual].max(initial=0.0))
    inner = max(float(np.quantile(distances, 0.9)), least / 4) / NormalDist().inv_cdf(0.9)
    heaviness = min(max(1.0, seen / inner / furthest), _HEAVIEST)
    return max(seen * (1 + (wanted / furthest - 1) * heaviness), least)


def _furthest_deviate(count: int) -> float:
    """The furthest of so many normal deviates as a rule: half of all such samples have none beyond it."""
    return NormalDist().inv_cdf(0.5 ** (1 / count))


def held_out_alarms(
    table: Mapping[str, NDArray[np.float64]], parts: NDArray[np.int64], longer_side: int
) -> int:
    """How many parts have an image beyond limits that were found without them.

    Args:
        table: (n,) values of each measure.
        parts: (n,) numbers of the parts that the images show.
        longer_side: of the images, in pixels.
    """
    if not table:
        return 0
    alarms = np.zeros(len(parts), dtype=bool)
    for fold in range(_FOLDS):
        held = parts % _FOLDS == fold
        for name, values in table.items():
            limit = find_limit(name, values[~held], parts[~held], longer_side)
            if limit is not None:
                alarms[held] |= [limit.is_beyond(float(value)) for value in values[held]]
    return len(np.unique(parts[alarms]))
