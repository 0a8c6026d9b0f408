"""Warns of frames that are not like their bank's good images, and of slow change before they are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from inspectd.alarms import EmitEvent
from inspectd.metrics import Metrics
from inspectd.quality.drift import SCORE, Drift, DriftCause, DriftTrack
from inspectd.recipes.book import title_of
from inspectd.records import BankInForce, Inspection, MeasureLimit, Outcome, PendingView

_QUIET_NS: Final = 60_000_000_000
_FORGOTTEN_AFTER_FRAMES: Final = 1000
"""A recipe that judged none of so many frames of a place is not followed there any more."""


@dataclass
class _Place:
    """What is followed of a place: a track for each recipe that judges its frames, by turns or not."""

    tracks: dict[str, DriftTrack] = field(default_factory=dict)
    frames: int = 0
    last: dict[str, int] = field(default_factory=dict)
    """Number of the last frame by each of them."""

    def track(self, recipe: str, limits: Mapping[str, MeasureLimit]) -> DriftTrack:
        """That of a recipe, which has judged one more frame now."""
        self.frames += 1
        self.last[recipe] = self.frames
        self.keep({name for name, at in self.last.items() if self.frames - at < _FORGOTTEN_AFTER_FRAMES})
        if recipe not in self.tracks or self.tracks[recipe].limits != limits:
            self.tracks[recipe] = DriftTrack(limits)
        return self.tracks[recipe]

    def keep(self, recipes: set[str]) -> None:
        """Forget all others."""
        for recipe in self.last.keys() - recipes:
            del self.last[recipe]
            self.tracks.pop(recipe, None)

    @property
    def drifts(self) -> dict[DriftCause, Drift]:
        """By cause that of the recipe by which it has come farthest."""
        return _farthest(drift for track in self.tracks.values() for drift in track.drifts.values())

    @property
    def warned(self) -> Sequence[Drift]:
        """Those to warn of, likewise; see `DriftTrack.warned`."""
        found = _farthest(drift for track in self.tracks.values() for drift in track.warned)
        others = {cause: drift for cause, drift in found.items() if cause is not DriftCause.PROCESS}
        return list((others or found).values())


class DriftWatch:
    """Follows the frames of every camera, and of each of its regions by itself: of every place."""

    def __init__(self, metrics: Metrics, emit: EmitEvent) -> None:
        """Set levels in `metrics`; events go to `emit`."""
        self._metrics = metrics
        self._emit = emit
        self._limits: dict[str, dict[str, MeasureLimit]] = {}
        self._places: dict[str, _Place] = {}
        self._levels: dict[str, dict[DriftCause, float]] = {}
        """What the metrics say: what is followed no more is none any more."""
        self._told: dict[str, set[DriftCause]] = {}
        self._quiet_until_ns: dict[str, int] = {}

    def use_banks(self, banks: Sequence[BankInForce]) -> None:
        """Hold frames against these banks' good images from now on."""
        self._limits = {bank.recipe: _limits_of(bank) for bank in banks}

    def use_recipes(self, keys: Iterable[str]) -> None:
        """Forget what is not in force any more; should it be so again, it begins anew."""
        names = {title_of(key)[0] for key in keys}
        for followed in self._places.values():
            followed.keep(names)

    def on_verdict(self, inspection: Inspection | PendingView, outcome: Outcome) -> None:
        """Take a frame into account; tell of one that is not like its bank's good images, now and then."""
        place, now_ns = inspection.place, outcome.decided_ns
        if outcome.detail and now_ns >= self._quiet_until_ns.get(place, now_ns):
            self._quiet_until_ns[place] = now_ns + _QUIET_NS
            detail = f"{outcome.reason}: {outcome.detail}"
            camera, where = _named(place)
            self._emit("warning", "frame_unlike_bank", camera=camera, detail=where + detail)
        score, threshold = outcome.score, outcome.threshold
        share = score.image_score / threshold if score is not None and threshold else None
        if outcome.measures is not None or share is not None:
            name, limits = title_of(inspection.recipe)[0], self._limits.get(inspection.recipe, {})
            track = self._places.setdefault(place, _Place()).track(name, limits)
            track.add(outcome.measures, share, now_ns)

    def watch(self) -> None:
        """Set levels, and tell of drifts that begin or are over."""
        for place, followed in self._places.items():
            shares = {cause: drift.share for cause, drift in followed.drifts.items()}
            for cause in self._levels.get(place, {}).keys() | shares.keys():
                self._metrics.drift(place, cause, shares.get(cause, 0.0))
            self._levels[place] = shares
            told = self._told.setdefault(place, set())
            now = {drift.cause: drift for drift in followed.warned}
            camera, where = _named(place)
            for cause in now.keys() - told:
                self._emit("warning", "drift", camera=camera, detail=f"{where}{cause}: {now[cause]}")
            for cause in told - now.keys():
                self._emit("info", "drift_over", camera=camera, detail=f"{where}{cause}")
            self._told[place] = set(now)

    def warned(self) -> Mapping[str, Sequence[Drift]]:
        """Drifts to warn of, by place."""
        return {place: followed.warned for place, followed in self._places.items()}

    def shares(self, place: str) -> dict[str, float]:
        """How much of the way to a limit a place's frames have drifted, by cause."""
        followed = self._places.get(place, _Place())
        return {str(cause): drift.share for cause, drift in followed.drifts.items()}


def _farthest(drifts: Iterable[Drift]) -> dict[DriftCause, Drift]:
    """The drift with the largest share for each cause, in the order of the causes."""
    found: dict[DriftCause, Drift] = {}
    for drift in sorted(drifts, key=lambda drift: drift.share):
        found[drift.cause] = drift
    return {cause: found[cause] for cause in DriftCause if cause in found}


def _named(place: str) -> tuple[str, str]:
    """The camera of a place, and what to say before anything of one of its regions."""
    camera, _, region = place.partition("/")
    return camera, f"{region}: " if region else ""


def _limits_of(bank: BankInForce) -> dict[str, MeasureLimit]:
    """The bank's limits, and that of the score: the threshold, as far as it lies above its good images."""
    if bank.good_median is None or bank.threshold <= 0 or bank.good_median >= bank.threshold:
        return bank.limits
    return {**bank.limits, SCORE: MeasureLimit(bank.good_median / bank.threshold, high=1.0)}
