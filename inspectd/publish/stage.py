"""Stage 4: numbers verdicts without a gap and puts them and their heatmaps on the bus."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec

from inspectd import __version__, wire
from inspectd.config import Config, Recipe, recipe_sha256
from inspectd.publish.bus import Bus
from inspectd.publish.journal import open_records
from inspectd.publish.journal.journal import Journal
from inspectd.publish.journal.open_records import OpenPart, Unfinished
from inspectd.publish.journal.pending import Entry, Numbered
from inspectd.recipes.book import title_of
from inspectd.records import BankInForce, FrameRegion, Inspection, Outcome, PendingView, Score, Trigger
from inspectd.wire import Evaluation, HeatmapRef, PartVerdict, Verdict, ViewVerdict
from inspectd.wire.golden import GoldenRecord
from inspectd.wire.shadow import ShadowScore
from inspectd.wire.sync import Position

_LATE_MEMORY: Final = 1024  # verdicts without a score that a late one may still name


class PublishMetrics(Protocol):
    """Takes counts for the metrics."""

    def verdict(self, verdict: Verdict) -> None:
        """A verdict was published."""

    def part(self, part: PartVerdict) -> None:
        """A part's verdict was published."""


class PublishStage:
    """Turns closed inspections into verdicts. `(epoch, seq)` names each of them for ever."""

    def __init__(self, config: Config, bus: Bus, metrics: PublishMetrics, journal: Journal) -> None:
        """Publish on `bus` what `journal` has recorded, under its epoch."""
        self.last_seq = 0
        """The last verdict that was published; those after it are being recorded."""
        self._numbered = 0
        self._journal = journal
        self._config = config
        self._bus = bus
        self._metrics = metrics
        self._dropped = {camera.name: 0 for camera in config.cameras}
        self._without_score: dict[int, int] = {}  # inspection id to seq
        self._after: dict[int, list[Callable[[], None]]] = {}  # what goes out after the verdict of that seq
        self._recipe_sha256: dict[str, str] = {}

    def use_banks(self, judged: Iterable[tuple[Recipe, BankInForce]]) -> None:
        """Name recipes in verdicts by the hash they have with these banks and thresholds.

        What was opened under others keeps theirs: a key means the same for as long as the line runs.
        """
        for recipe, bank in judged:
            sha256 = recipe_sha256(recipe, bank.threshold, bank.bank_sha256)
            self._recipe_sha256[bank.recipe] = sha256

    def sha256_of(self, key: str) -> str | None:
        """What identifies the recipe of that key in verdicts; None while its bank is not known."""
        return self._recipe_sha256.get(key)

    def publish_golden(self, record: GoldenRecord) -> None:
        """Send the record of a golden part, or of a check."""
        self._bus.send("-", wire.Kind.GOLDEN, record)

    def publish_shadow(self, score: ShadowScore) -> None:
        """Send what a shadow makes of a frame."""
        self._send_after(score.seq, partial(self._bus.send, score.camera, wire.Kind.SHADOW, score))

    def count_drop(self, camera: str) -> None:
        """Count a lost frame for its camera's next verdict."""
        self._dropped[camera] += 1

    @property
    def epoch(self) -> int:
        """New at every start; larger than any before it, unless the journal opened too late to raise it."""
        return self._journal.epoch

    def record_open(self, inspection: Inspection | PendingView) -> None:
        """Record an open inspection: the next start closes it, should this one not do it."""
        if isinstance(inspection, PendingView):
            record = Unfinished(view=inspection)
        else:
            record = Unfinished(inspection=inspection)
        self._journal.remember_open(
            open_records.view_key(inspection.inspection_id), open_records.encode(record)
        )

    def record_open_part(self, trigger: Trigger, deadline_ns: int, views: Sequence[PendingView]) -> None:
        """Record an open triggered part and its views."""
        record = Unfinished(part=OpenPart(trigger, deadline_ns))
        self._journal.remember_open(open_records.part_key(trigger.trigger_id), open_records.encode(record))
        for view in views:
            self.record_open(view)

    def record_verdict(self, inspection: Inspection | PendingView, outcome: Outcome) -> Verdict:
        """Number and record the one verdict of an inspection; once recorded it and its heatmap go out."""
        verdict = self._make_verdict(inspection, outcome)

        def publish(recorded: Numbered, topic: bytes, header: bytes) -> None:
            assert isinstance(recorded, Verdict)
            self._publish(recorded, topic, header)
            self._metrics.verdict(recorded)
            if outcome.score is not None and recorded.threshold is not None:
                self._heatmap(recorded.seq, inspection, outcome.score, recorded.threshold)
            for send in self._after.pop(recorded.seq, ()):
                send()

        if outcome.score is None:
            self._remember(inspection.inspection_id, verdict.seq)
        self._record(verdict, verdict.camera, publish, closes=open_records.view_key(inspection.inspection_id))
        return verdict

    def close_restarted(self) -> int:
        """Close what an earlier start left open. Returns how many verdicts that made."""
        left, self._journal.unfinished = open_records.readable(self._journal.unfinished), []
        outcome = Outcome(Evaluation.UNDECIDABLE, open_records.REASON, 0)
        views: dict[tuple[str, str], list[ViewVerdict]] = {}
        for key, record in sorted(left, key=_parts_last):
            begun = record.inspection or record.view
            if begun is not None:
                verdict = self._make_verdict(begun, outcome)
                self._record(_late(verdict), verdict.camera, self._publish, closes_earlier=key)
                if begun.trigger is not None:
                    view = ViewVerdict(
                        verdict.camera, verdict.seq, verdict.evaluation, verdict.reason, region=verdict.region
                    )
                    views.setdefault((_start_of(key), begun.trigger.trigger_id), []).append(view)
            elif record.part is not None:
                trigger, deadline_ns = record.part.trigger, record.part.deadline_ns
                seen = views.get((_start_of(key), trigger.trigger_id), [])
                part = self._make_part(trigger, deadline_ns, outcome, seen)
                self._record(_late(part), "-", self._publish, closes_earlier=key)
        return len(left)

    def _publish(self, recorded: Numbered, topic: bytes, header: bytes) -> None:
        self.last_seq = recorded.seq
        self._bus.send_encoded(_kind_of(recorded), topic, header)

    def _record(
        self,
        verdict: Numbered,
        camera: str,
        publish: Callable[[Numbered, bytes, bytes], None],
        *,
        closes: str | None = None,
        closes_earlier: str | None = None,
    ) -> None:
        topic = wire.topic(verdict.plant, verdict.line, camera, _kind_of(verdict))
        self._journal.record(Entry(verdict, topic, wire.encode(verdict), publish, closes, closes_earlier))

    def record_part(
        self, trigger: Trigger, deadline_ns: int, outcome: Outcome, views: list[ViewVerdict]
    ) -> PartVerdict:
        """Number and record a part's one verdict, after those of its views; once recorded it goes out."""
        part = self._make_part(trigger, deadline_ns, outcome, views)

        def publish(recorded: Numbered, topic: bytes, header: bytes) -> None:
            assert isinstance(recorded, PartVerdict)
            self._publish(recorded, topic, header)
            self._metrics.part(recorded)

        self._record(part, "-", publish, closes=open_records.part_key(trigger.trigger_id))
        return part

    def _make_part(
        self, trigger: Trigger, deadline_ns: int, outcome: Outcome, views: list[ViewVerdict]
    ) -> PartVerdict:
        return PartVerdict(
            plant=self._config.line.plant,
            line=self._config.line.name,
            epoch=self.epoch,
            seq=self._next_seq(),
            trigger_id=trigger.trigger_id,
            part_id=trigger.part_id,
            encoder_count=trigger.encoder_count,
            evaluation=outcome.evaluation,
            reason=outcome.reason,
            triggered_utc_ns=trigger.received_utc_ns,
            decided_utc_ns=time.time_ns(),
            latency_ms=_ms(outcome.decided_ns - trigger.received_ns),
            deadline_ms=_ms(deadline_ns - trigger.received_ns),
            deadline_margin_ms=_ms(deadline_ns - outcome.decided_ns),
            late=outcome.decided_ns > deadline_ns,
            views=views,
            second_look=outcome.second_look,
        )

    def publish_late(self, inspection: Inspection, score: Score, now_ns: int) -> None:
        """Publish a score that came after its inspection's deadline, and its heatmap: information only."""
        seq = self._without_score.pop(inspection.inspection_id, None)
        judged_by = inspection.judged_by
        if seq is None or judged_by is None or not math.isfinite(score.image_score):
            return
        trigger = inspection.trigger
        late = wire.Late(
            plant=self._config.line.plant,
            line=self._config.line.name,
            camera=inspection.camera,
            epoch=self.epoch,
            seq=seq,
            inspection_id=inspection.inspection_id,
            score=score.image_score,
            threshold=judged_by.threshold,
            bank_sha256=score.bank_sha256,
            late_ms=_ms(now_ns - inspection.deadline_ns),
            trigger_id=trigger.trigger_id if trigger else None,
            part_id=trigger.part_id if trigger else None,
            region=None if inspection.region is None else inspection.region.name,
        )
        threshold = judged_by.threshold

        def publish() -> None:
            self._bus.send(late.camera, wire.Kind.LATE, late)
            self._heatmap(seq, inspection, score, threshold)

        self._send_after(seq, publish)

    def _send_after(self, seq: int, send: Callable[[], None]) -> None:
        """Have what names a verdict go out after it: it may still be on its way to the disk."""
        if seq > self.last_seq:
            self._after.setdefault(seq, []).append(send)
        else:
            send()

    def reached(self) -> Position:
        """The last verdict that was published."""
        return Position(self.epoch, self.last_seq)

    def _next_seq(self) -> int:
        self._numbered += 1
        return self._numbered

    def _make_verdict(self, inspection: Inspection | PendingView, outcome: Outcome) -> Verdict:
        frame, trigger, score = inspection.frame, inspection.trigger, outcome.score
        region = inspection.region
        dropped = self._dropped.get(inspection.camera, 0)
        self._dropped[inspection.camera] = 0
        name, version = title_of(inspection.recipe)
        return Verdict(
            plant=self._config.line.plant,
            line=self._config.line.name,
            camera=inspection.camera,
            epoch=self.epoch,
            seq=self._next_seq(),
            inspection_id=inspection.inspection_id,
            frame_generation=frame.generation if frame else None,
            frame_seq=frame.seq if frame else None,
            evaluation=outcome.evaluation,
            reason=outcome.reason,
            score=score.image_score if score else None,
            threshold=outcome.threshold,
            captured_utc_ns=frame.captured_utc_ns if frame else None,
            decided_utc_ns=time.time_ns(),
            latency_ms=_ms(outcome.decided_ns - inspection.began_ns),
            deadline_ms=_ms(inspection.deadline_ns - inspection.began_ns),
            late=outcome.decided_ns > inspection.deadline_ns,
            recipe=name,
            bank_sha256=score.bank_sha256 if score else None,
            dropped_before=dropped,
            heatmap=HeatmapRef(score.heatmap_height, score.heatmap_width) if score else None,
            trigger_id=trigger.trigger_id if trigger else None,
            part_id=trigger.part_id if trigger else None,
            encoder_count=trigger.encoder_count if trigger else None,
            label=frame.label if frame else None,
            source=frame.source if frame else None,
            deadline_margin_ms=_ms(inspection.deadline_ns - outcome.decided_ns),
            triggered_utc_ns=trigger.received_utc_ns if trigger else None,
            frame_sha256=frame.sha256 if frame else None,
            recipe_sha256=self._recipe_sha256.get(inspection.recipe),
            software=__version__,
            second_look=outcome.second_look,
            recipe_version=version,
            device=frame.device if frame else None,
            region=None if region is None else region.name,
            rectangle=_rectangle(region),
        )

    def _remember(self, inspection_id: int, seq: int) -> None:
        self._without_score[inspection_id] = seq
        if len(self._without_score) > _LATE_MEMORY:
            del self._without_score[next(iter(self._without_score))]

    def _heatmap(
        self, seq: int, inspection: Inspection | PendingView, score: Score, threshold: float
    ) -> None:
        region = inspection.region
        header = wire.HeatmapHeader(
            epoch=self.epoch,
            seq=seq,
            camera=inspection.camera,
            height=score.heatmap_height,
            width=score.heatmap_width,
            dtype="float16",
            threshold=threshold,
            region=None if region is None else region.name,
            rectangle=score.heatmap_rectangle or _rectangle(region),
        )
        self._bus.send(inspection.camera, wire.Kind.HEATMAP, header, score.heatmap)


def _rectangle(region: FrameRegion | None) -> wire.Rectangle | None:
    """A region's place in its frame, as readers get it."""
    return None if region is None else wire.Rectangle(region.left, region.top, region.width, region.height)


def _kind_of(verdict: Numbered) -> wire.Kind:
    return wire.Kind.VERDICT if isinstance(verdict, Verdict) else wire.Kind.PART


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 3)


def _parts_last(keyed: tuple[str, Unfinished]) -> tuple[bool, str]:
    """A part's verdict names those of its views, so they come first."""
    return keyed[1].part is not None, keyed[0]


def _start_of(key: str) -> str:
    """The daemon's start that a stored key belongs to."""
    return key.partition(":")[0]


def _late(verdict: Verdict | PartVerdict) -> Verdict | PartVerdict:
    """Times of what began before this start, by the wall clock: the other one may have begun anew."""
    began_utc_ns = verdict.triggered_utc_ns or getattr(verdict, "captured_utc_ns", None)
    latency_ms = max(0.0, _ms(verdict.decided_utc_ns - (began_utc_ns or verdict.decided_utc_ns)))
    return msgspec.structs.replace(
        verdict,
        latency_ms=latency_ms,
        deadline_margin_ms=round(verdict.deadline_ms - latency_ms, 3),
        late=True,
    )
