"""Warns of frames that are not like their bank's good images, and of slow change before they are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from inspectd.alarms import EmitEvent
from inspectd.metrics import Metrics
from inspectd.quality.drift import SCORE, Drift, DriftCause, DriftTrack
from inspectd.records import BankInForce, Inspection, MeasureLimit, Outcome, PendingView

_QUIET_NS: Final = 60_000_000_000


class DriftWatch:
    """Follows the frames of every camera, and of each of its regions by itself: of every place."""

    def __init__(self, metrics: Metrics, emit: EmitEvent) -> None:
        """Set levels in `metrics`; events go to `emit`."""
        self._metrics = metrics
        self._emit = emit
        self._limits: dict[str, dict[str, MeasureLimit]] = {}
        self._tracks: dict[str, DriftTrack] = {}
        self._told: dict[str, set[DriftCause]] = {}
        self._quiet_until_ns: dict[str, int] = {}

    def use_banks(self, banks: Sequence[BankInForce]) -> None:
        """Hold frames against these banks' good images from now on."""
        self._limits = {bank.recipe: _limits_of(bank) for bank in banks}

    def on_verdict(self, inspection: Inspection | PendingView, outcome: Outcome) -> None:
        """Take a frame into account; tell of one that is not like its bank's good images, now and then."""
        place, now_ns = inspection.place, outcome.decided_ns
        if outcome.detail and now_ns >= self._quiet_until_ns.get(place, now_ns):
            self._quiet_until_ns[place] = now_ns + _QUIET_NS
            detail = f"{outcome.reason}: {outcome.detail}"
            camera, where = _named(place)
            self._emit("warning", "frame_unlike_bank", camera=camera, detail=where + detail)
        limits = self._limits.get(inspection.recipe, {})
        track = self._tracks.get(place)
        if track is None or track.limits != limits:
            track = self._tracks[place] = DriftTrack(limits)
        score, threshold = outcome.score, outcome.threshold
        share = score.image_score / threshold if score is not None and threshold else None
        if outcome.measures is not None or share is not None:
            track.add(outcome.measures, share, now_ns)

    def watch(self) -> None:
        """Set levels, and tell of drifts that begin or are over."""
        for place, track in self._tracks.items():
            for cause, drift in track.drifts.items():
                self._metrics.drift(place, cause, drift.share)
            told = self._told.setdefault(place, set())
            now = {drift.cause: drift for drift in track.warned}
            camera, where = _named(place)
            for cause in now.keys() - told:
                self._emit("warning", "drift", camera=camera, detail=f"{where}{cause}: {now[cause]}")
            for cause in told - now.keys():
                self._emit("info", "drift_over", camera=camera, detail=f"{where}{cause}")
            self._told[place] = set(now)

    def warned(self) -> Mapping[str, Sequence[Drift]]:
        """Drifts to warn of, by place."""
        return {place: track.warned for place, track in self._tracks.items()}

    def shares(self, place: str) -> dict[str, float]:
        """How much of the way to a limit a place's frames have drifted, by cause."""
        track = self._tracks.get(place)
        return {} if track is None else {str(cause): drift.share for cause, drift in track.drifts.items()}


def _named(place: str) -> tuple[str, str]:
    """The camera of a place, and what to say before anything of one of its regions."""
    camera, _, region = place.partition("/")
    return camera, f"{region}: " if region else ""


def _limits_of(bank: BankInForce) -> dict[str, MeasureLimit]:
    """The bank's limits, and that of the score: the threshold, as far as it lies above its good images."""
    if bank.good_median is None or bank.threshold <= 0 or bank.good_median >= bank.threshold:
        return bank.limits
    return {**bank.limits, SCORE: MeasureLimit(bank.good_median / bank.threshold, high=1.0)}
