"""Slow change of what a camera's frames are like, by cause, and how much of the way to a limit is left.

Pure: time is handed in. The main process reads it: no cv2 and no numpy.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

from inspectd.quality.reasons import REASONS
from inspectd.records import MeasureLimit, Measures
from inspectd.wire import Reason

SCORE: Final = "score"
"""The image score as a share of the threshold, a measure like the others."""
WARN_SHARE: Final = 0.5
"""Of the way from the good images' median to a limit: from there on it is a drift."""
_OVER_SHARE: Final = 0.4
_LEVEL_FRAMES: Final = 200
_FEWEST_FRAMES: Final = 50
_LOOK_NS: Final = 1_000_000_000
"""Least time between two looks at all measures."""
_STEP_NS: Final = 60_000_000_000
_MOST_STEPS: Final = 60
_FEWEST_STEPS: Final = 6
_HOUR_NS: Final = 3_600_000_000_000
_FURTHEST_HOURS: Final = 72.0


class DriftCause(StrEnum):
    """What changes slowly. A closed set: it is a metric label."""

    LIGHT = "light"
    FOCUS = "focus"
    POSITION = "position"
    PROCESS = "process"
    """What parts look like, while light, focus and position stay as they were."""


_CAUSE_OF: Final = {
    Reason.QUALITY_EXPOSURE: DriftCause.LIGHT,
    Reason.QUALITY_COLOUR: DriftCause.LIGHT,
    Reason.QUALITY_FOCUS: DriftCause.FOCUS,
    Reason.QUALITY_POSITION: DriftCause.POSITION,
    Reason.QUALITY_SCENE: DriftCause.PROCESS,
}
_MEASURES: Final = {cause: [name for name, reason in REASONS.items() if _CAUSE_OF[reason] is cause]
                    for cause in DriftCause}  # fmt: skip


@dataclass(frozen=True)
class Drift:
    """How far the frames of a camera have drifted for a cause.

    Attributes:
        cause: of the drift.
        measure: that has come nearest to a limit.
        level: its median of the last 200 frames.
        usual: that of the bank's good images.
        limit: that it has come nearest to.
        share: of the way from `usual` to `limit`; from 1 on most frames are undecidable.
        hours_left: until it is at the limit, if it goes on so; None: it does not, or not within three days.
    """

    cause: DriftCause
    measure: str
    level: float
    usual: float
    limit: float
    share: float
    hours_left: float | None

    def __str__(self) -> str:
        """For people."""
        words = (
            f"{self.measure} is {self.level:.4g}, of good images {self.usual:.4g}: {self.share:.0%} of the "
            f"way to its limit {self.limit:.4g}"
        )
        if self.hours_left is None:
            return words
        return f"{words}; at this rate it is there in about {max(1.0, self.hours_left):.0f} h"


class DriftTrack:
    """The last frames of one camera, judged by one recipe, against the limits of its bank."""

    def __init__(self, limits: Mapping[str, MeasureLimit]) -> None:
        """Hold frames against `limits`, by the name of the measure; nothing is known yet."""
        self._limits = limits
        self._values: dict[str, deque[float]] = {name: deque(maxlen=_LEVEL_FRAMES) for name in limits}
        self._steps: deque[tuple[int, dict[str, float]]] = deque(maxlen=_MOST_STEPS)
        self._speeds: dict[str, float | None] = {}
        self._looked_ns: int | None = None
        self._warned: set[DriftCause] = set()
        self._drifts: dict[DriftCause, Drift] = {}

    @property
    def limits(self) -> Mapping[str, MeasureLimit]:
        """That it holds frames against."""
        return self._limits

    @property
    def drifts(self) -> Mapping[DriftCause, Drift]:
        """The drift for every cause that anything is known of."""
        return self._drifts

    @property
    def warned(self) -> Sequence[Drift]:
        """Those to warn of; where light, focus or position drifts, it is not the process."""
        others = self._warned - {DriftCause.PROCESS}
        return [self._drifts[cause] for cause in DriftCause if cause in (others or self._warned)]

    def add(self, measures: Measures | None, score_share: float | None, now_ns: int) -> None:
        """Take a frame into account.

        Args:
            measures: None: it was not measured.
            score_share: its score as a share of the threshold; None: it has none.
            now_ns: the time, CLOCK_MONOTONIC.
        """
        for name, values in self._values.items():
            value = score_share if name == SCORE else getattr(measures, name, None)
            if value is not None:
                values.append(value)
        if self._looked_ns is None or now_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = now_ns
            self._look(now_ns)

    def _look(self, now_ns: int) -> None:
        levels = {
            name: statistics.median(values)
            for name, values in self._values.items()
            if len(values) >= _FEWEST_FRAMES
        }
        if levels and (not self._steps or now_ns - self._steps[-1][0] >= _STEP_NS):
            self._steps.append((now_ns, levels))
            self._speeds = {name: self._speed(name) for name in levels}
        for cause in DriftCause:
            names = [*_MEASURES[cause], *([SCORE] if cause is DriftCause.PROCESS else [])]
            found = [self._drift(cause, name, levels[name]) for name in names if name in levels]
            if not found:
                continue
            worst = self._drifts[cause] = max(found, key=lambda drift: drift.share)
            if worst.share >= WARN_SHARE:
                self._warned.add(cause)
            elif worst.share < _OVER_SHARE:
                self._warned.discard(cause)

    def _drift(self, cause: DriftCause, name: str, level: float) -> Drift:
        limit = self._limits[name]
        end, share = _nearest_end(limit, level)
        return Drift(cause, name, level, limit.usual, end, share, self._hours_left(name, share))

    def _hours_left(self, name: str, share: float) -> float | None:
        """Hours to a limit at its speed; None: it does not move there surely, or is beyond."""
        speed = self._speeds.get(name)
        if speed is None or share >= 1:
            return None
        hours = (1 - share) / speed
        return hours if hours <= _FURTHEST_HOURS else None

    def _speed(self, name: str) -> float | None:
        """Share of the way in an hour: the median between any two looks; None: it does not move there surely.

        It has to move towards the limit in nine of ten pairs: what only scatters does not.
        """
        steps = [
            (at_ns, _nearest_end(self._limits[name], levels[name])[1])
            for at_ns, levels in self._steps
            if name in levels
        ]
        if len(steps) < _FEWEST_STEPS or steps[-1][1] < WARN_SHARE / 2:
            return None
        speeds = sorted((b - a) / (b_ns - a_ns) * _HOUR_NS for (a_ns, a), (b_ns, b) in combinations(steps, 2))
        return statistics.median(speeds) if speeds[len(speeds) // 10] > 0 else None


def _nearest_end(limit: MeasureLimit, level: float) -> tuple[float, float]:
    """The limit that a level has come nearest to, and how much of the way; below 0 it moves away from it."""
    ends = [end for end in (limit.low, limit.high) if end is not None and end != limit.usual]
    shares = [((level - limit.usual) / (end - limit.usual), end) for end in ends]
    share, end = max(shares, default=(0.0, limit.usual))
    return end, share
