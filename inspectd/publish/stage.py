"""Stage 4: numbers verdicts without a gap and puts them, their heatmaps, heartbeats and events on the bus."""

from __future__ import annotations

import time
from typing import Protocol

from inspectd.config import Config
from inspectd.publish import wire
from inspectd.publish.bus import Bus
from inspectd.records import Drop, HeatmapRef, Inspection, Outcome, Score, Verdict


class Observer(Protocol):
    """What the stage reports for the metrics."""

    def verdict(self, verdict: Verdict) -> None:
        """A verdict was published."""


class PublishStage:
    """Turns closed inspections into verdicts. `(epoch, seq)` names each of them for ever."""

    def __init__(self, config: Config, bus: Bus, observer: Observer, epoch: int) -> None:
        """Publish on `bus` under `epoch`, a number no earlier start has used."""
        self.epoch = epoch
        self.last_seq = 0
        self._config = config
        self._bus = bus
        self._observer = observer
        self._dropped = {camera.name: 0 for camera in config.cameras}
        self._deadline_ms = config.line.deadline_ms

    def drop(self, drop: Drop) -> None:
        """Remember a lost frame for its camera's next verdict."""
        self._dropped[drop.camera] += 1

    def verdict(self, inspection: Inspection, outcome: Outcome) -> None:
        """Publish the one verdict of an inspection, and its heatmap beside it."""
        self.last_seq += 1
        verdict = self._verdict(inspection, outcome)
        self._bus.send(verdict.camera, wire.Kind.VERDICT, verdict)
        self._observer.verdict(verdict)
        if outcome.score is not None and verdict.threshold is not None:
            self._heatmap(verdict, outcome.score, verdict.threshold)

    def heartbeat(self, state: str, counts: wire.Counts, cameras: dict[str, str]) -> None:
        """Say that the line is alive and how far it got."""
        line = self._config.line
        heartbeat = wire.Heartbeat(
            plant=line.plant,
            line=line.name,
            epoch=self.epoch,
            last_seq=self.last_seq,
            utc_ns=time.time_ns(),
            interval_ms=self._config.publish.heartbeat_ms,
            state=state,
            counts=counts,
            cameras=cameras,
        )
        self._bus.send("-", wire.Kind.HEARTBEAT, heartbeat)

    def event(
        self, severity: str, name: str, counts: wire.Counts, *, camera: str | None, detail: str
    ) -> None:
        """Publish something a person may want to know."""
        line = self._config.line
        event = wire.Event(
            plant=line.plant,
            line=line.name,
            epoch=self.epoch,
            utc_ns=time.time_ns(),
            severity=severity,
            event=name,
            camera=camera,
            detail=detail,
            counts=counts,
        )
        self._bus.send(camera or "-", wire.Kind.EVENT, event)

    def _verdict(self, inspection: Inspection, outcome: Outcome) -> Verdict:
        frame, trigger, score = inspection.frame, inspection.frame.trigger, outcome.score
        dropped, self._dropped[frame.camera] = self._dropped[frame.camera], 0
        return Verdict(
            plant=self._config.line.plant,
            line=self._config.line.name,
            camera=frame.camera,
            epoch=self.epoch,
            seq=self.last_seq,
            inspection_id=inspection.inspection_id,
            frame_generation=frame.generation,
            frame_seq=frame.seq,
            evaluation=outcome.evaluation,
            reason=outcome.reason,
            score=score.image_score if score else None,
            threshold=outcome.threshold,
            captured_utc_ns=frame.captured_utc_ns,
            decided_utc_ns=time.time_ns(),
            latency_ms=round((outcome.decided_ns - frame.captured_ns) / 1e6, 3),
            deadline_ms=self._deadline_ms,
            late=outcome.decided_ns > inspection.deadline_ns,
            recipe=inspection.recipe,
            bank_sha256=score.bank_sha256 if score else None,
            dropped_before=dropped,
            heatmap=HeatmapRef(score.heatmap_height, score.heatmap_width) if score else None,
            trigger_id=trigger.trigger_id if trigger else None,
            part_id=trigger.part_id if trigger else None,
            encoder_count=trigger.encoder_count if trigger else None,
            label=frame.label,
            source=frame.source,
        )

    def _heatmap(self, verdict: Verdict, score: Score, threshold: float) -> None:
        header = wire.HeatmapHeader(
            epoch=verdict.epoch,
            seq=verdict.seq,
            camera=verdict.camera,
            height=score.heatmap_height,
            width=score.heatmap_width,
            dtype="float16",
            threshold=threshold,
        )
        self._bus.send(verdict.camera, wire.Kind.HEATMAP, header, score.heatmap)
