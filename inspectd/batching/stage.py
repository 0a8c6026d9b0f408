"""Stage 2: opens an inspection for every part, sends batches to scoring, closes each inspection once.

A free-running camera's frame is a part. A triggered camera's frame goes to the matcher, and becomes a view of
a part when it is matched with what a trigger opened.

The stage does no input or output: what it decides leaves through its `BatchingOutlet`, and time is handed in.
So tests drive it through any order of events without a process or a sleep.

Whatever can make a batch due, or room for one, ends with `_dispatch`: a frame, an answer of scoring, a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from inspectd.batching.batches_out import BatchesOut
from inspectd.batching.judge import is_like_the_banks, judge, judge_part, undecidable
from inspectd.batching.ledger import Ledger
from inspectd.batching.matching import Settled
from inspectd.batching.parts import ClosedView, Part
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.service_times import ServiceTimes
from inspectd.batching.triggering import Triggering, make_triggering
from inspectd.config import Config
from inspectd.records import (
    BankInForce,
    Batch,
    FrameRef,
    Inspection,
    JudgedBy,
    Outcome,
    Pace,
    PendingView,
    Quality,
    Score,
    ScoreError,
    Trigger,
)
from inspectd.wire import Counts, Reason, Refusal, TriggerRequest, Verdict, ViewVerdict

_MAX_BATCHES_OUT: Final = 2
"""One being scored and the next one ready; more would wait where a deadline cannot reach them."""


class BatchingOutlet(Protocol):
    """Where everything goes that the stage decides."""

    def record_open(self, begun: Inspection | Part) -> None:
        """Called for a triggered part before anything can become of it, and for an inspection that queues."""

    def send_batch(self, batch: Batch) -> bool:
        """Hand a batch to scoring; False when scoring does not take it."""

    def publish_verdict(self, inspection: Inspection | PendingView, outcome: Outcome) -> Verdict:
        """Publish an inspection's one verdict; return it, numbered."""

    def publish_part(self, part: Part, outcome: Outcome, views: list[ViewVerdict]) -> None:
        """Publish a part's one verdict, after those of all its views."""

    def publish_late(self, inspection: Inspection, score: Score, now_ns: int) -> None:
        """Count a score that came after its inspection's deadline, and publish it for information."""

    def count_unclaimed(self, frame: FrameRef) -> None:
        """Count a frame that no trigger claims; `release` follows."""

    def release(self, frame: FrameRef) -> None:
        """Give a frame's slot back to its camera."""


def make_batching(config: Config, outlet: BatchingOutlet) -> BatchingStage:
    """The stage of a line as its configuration describes it."""
    settings = config.batching
    times = ServiceTimes(settings.max_batch)
    return BatchingStage(
        BatchPolicy(int(settings.max_wait_ms * 1e6), settings.max_queue, times),
        times,
        make_triggering(config),
        outlet,
        deadlines_ns=config.deadlines_ns,
        recipes={camera.name: camera.recipe for camera in config.cameras},
        max_batches_out=_MAX_BATCHES_OUT,
    )


class BatchingStage:
    """Holds every open inspection between its frame and its verdict.

    A ring slot is in use from its frame's arrival until both its verdict is out and no batch that names it is
    with the scoring process; then `release` is called for it, once. A frame that no trigger claims is
    released as soon as that is certain.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        times: ServiceTimes,
        triggering: Triggering,
        outlet: BatchingOutlet,
        *,
        deadlines_ns: dict[str, int],
        recipes: dict[str, str],
        max_batches_out: int,
    ) -> None:
        """Start with nothing open.

        Args:
            policy: what is scored, and when batches leave.
            times: what the policy plans with; the stage teaches it.
            triggering: the triggered cameras.
            outlet: takes what is decided.
            deadlines_ns: recipe name to the time from a frame's capture to its verdict.
            recipes: camera name to recipe name.
            max_batches_out: batches that may be with scoring at once.
        """
        self.ledger = Ledger()
        self.triggering = triggering
        self._policy = policy
        self._times = times
        self._outlet = outlet
        self._deadlines_ns = deadlines_ns
        self._recipes = recipes
        self._out = BatchesOut(times, max_batches_out)
        self._banks: dict[str, BankInForce] = {}

    # --- what there is ------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Counts of the captured frames and triggers of this start, by what became of them."""
        ledger, parts = self.ledger, self.triggering.parts
        return Counts(
            captured=ledger.captured,
            verdicts=ledger.closed,
            drops=ledger.drops,
            in_flight=ledger.in_flight,
            missed=ledger.missed,
            triggers=parts.accepted,
            parts=parts.closed,
            triggers_open=parts.open,
        )

    @property
    def waiting(self) -> int:
        """Inspections that wait for a batch."""
        return self._policy.waiting

    @property
    def scoring(self) -> int:
        """Inspections that are with the scoring process."""
        return self._out.owed

    @property
    def idle(self) -> bool:
        """True when no frame and no trigger is owed a verdict."""
        return self.ledger.in_flight == 0 and self.triggering.parts.open == 0

    # --- what comes ---------------------------------------------------------------------------------------

    def use_banks(self, banks: Sequence[BankInForce]) -> None:
        """Open inspections under these banks from now on; those open already keep theirs."""
        self._banks = {bank.recipe: bank for bank in banks}

    def use_paces(self, paces: Sequence[Pace]) -> None:
        """Plan with what scoring measured when it was warm."""
        for pace in paces:
            self._times.use(pace.recipe, pace.one_ms * 1e6, pace.full_ms * 1e6)

    def images_per_second(self) -> dict[str, float]:
        """Images that scoring alone does now, by recipe; those of which it is known."""
        return self._times.per_second()

    def open_part(
        self, request: TriggerRequest, trigger: Trigger, is_up: Callable[[str], bool]
    ) -> Part | Refusal:
        """Open the part of a trigger and its views, or refuse it; `is_up`: whether a camera delivers now."""
        opened = self.triggering.open_part(
            request, trigger, judged=self._banks, is_up=is_up, new_id=self.ledger.new_id
        )
        if isinstance(opened, Part):
            self._outlet.record_open(opened)
        return opened

    def pass_by(self, trigger: Trigger, request: TriggerRequest | None = None) -> None:
        """Keep the frames of a part that no trigger opens from older triggers; see `Triggering.pass_by`."""
        self.triggering.pass_by(trigger, request)

    def take_frame(self, frame: FrameRef, now_ns: int) -> None:
        """Open a free-running camera's frame as a part of its own; hold a triggered one's until `turn`."""
        if self.triggering.serves(frame.camera):
            self.ledger.hold()
            self.triggering.hold_frame(frame)
        else:
            recipe = self._recipes[frame.camera]
            deadline_ns = frame.captured_ns + self._deadlines_ns[recipe]
            judged_by = self._judged_by(recipe)
            self._submit(self.ledger.open(frame, recipe, deadline_ns, judged_by, now_ns), now_ns)
        self._dispatch(now_ns)

    def count_drop(self) -> None:
        """Count a frame that its camera lost."""
        self.ledger.drop()

    def take_score(self, score: Score, now_ns: int) -> None:
        """Judge an inspection by its score. An answer that is not owed changes nothing."""
        inspection = self._out.take_out(score.batch_id, score.inspection_id, now_ns, has_score=True)
        if inspection is None:
            return
        self._close(inspection, judge(inspection, score, now_ns))
        if now_ns > inspection.deadline_ns:
            self._outlet.publish_late(inspection, score, now_ns)
        self._outlet.release(inspection.frame)
        self._dispatch(now_ns)

    def take_score_error(self, error: ScoreError, now_ns: int) -> None:
        """Close an inspection that cannot be scored. An answer that is not owed changes nothing."""
        inspection = self._out.take_out(error.batch_id, error.inspection_id, now_ns, has_score=False)
        if inspection is None:
            return
        self._close(inspection, undecidable(error.reason, now_ns))
        self._outlet.release(inspection.frame)
        self._dispatch(now_ns)

    def lose_scoring(self, now_ns: int) -> None:
        """Close everything that is with scoring or waits for it, and what comes until `use_banks`.

        So nothing waits through a restart of scoring for the bank of the next process.
        """
        self._banks = {}
        self._abandon(self._out.take_all(), Reason.SCORING_LOST, now_ns)
        self._abandon(self._policy.discard_all(), Reason.SCORING_LOST, now_ns)

    def turn(self, now_ns: int, known_ns: int, *, drain: bool = False) -> None:
        """Give frames to triggers, close what has come to its deadline, send what is due.

        Args:
            now_ns: the time.
            known_ns: every trigger that came until then was handed to `open_part` or `pass_by`.
            drain: no batch waits for more inspections.
        """
        self._apply(self.triggering.settle(now_ns, known_ns), now_ns)
        for inspection in self.ledger.expired(now_ns):
            self._give_up(inspection, Reason.DEADLINE, now_ns)
        self._dispatch(now_ns, drain=drain)

    def shut_down(self, now_ns: int) -> None:
        """Close whatever is still open: the line stops."""
        self._apply(self.triggering.give_up(), now_ns)
        for inspection in self.ledger.all_open():
            self._give_up(inspection, Reason.SHUTDOWN, now_ns)

    def needs_known_ns(self, known_ns: int) -> int | None:
        """See `Triggering.needs_known_ns`."""
        return self.triggering.needs_known_ns(known_ns)

    def wake_ns(self) -> int | None:
        """When `turn` has something to do."""
        batch_ns = self._policy.latest_start_ns + 1 if self._out else self._policy.wake_ns()
        times = [self.ledger.next_deadline_ns(), batch_ns, self.triggering.wake_ns()]
        return min([time_ns for time_ns in times if time_ns is not None], default=None)

    # --- what leaves --------------------------------------------------------------------------------------

    def _dispatch(self, now_ns: int, *, drain: bool = False) -> None:
        """Close what cannot be scored in time, then send every batch that is due, if scoring may take it.

        After a batch in flight only one that cannot grow is sent. A smaller one would gain nothing by going
        now, and whoever comes until its turn would miss it and wait for one more batch.
        """
        self._refuse_late(now_ns)
        while self._out.has_room:
            free_ns = self._out.free(now_ns).at_ns
            batch = self._policy.next_batch(now_ns, free_ns, drain=drain, only_full=bool(self._out))
            if batch is None:
                return
            if self._outlet.send_batch(batch):
                self._out.add(batch, now_ns)
            else:
                self._abandon(batch.inspections, Reason.SCORING_DOWN, now_ns)

    def _refuse_late(self, now_ns: int) -> None:
        """Close what waits and cannot be scored in time."""
        if self._policy.waiting <= 1:  # what came just now is the first after a pause
            self._out.begin(now_ns)
        self._times.forget_stale(now_ns)
        self._abandon(self._policy.shed(now_ns, self._out.free(now_ns)), Reason.OVERLOAD, now_ns)

    def _apply(self, settled: Settled, now_ns: int) -> None:
        """Act on what became certain of triggers and frames."""
        for view, frame in settled.matched:
            judged_by = self._judged_by(view.recipe)
            self._submit(self.ledger.open_view(view, frame, judged_by, now_ns), now_ns)
        for view in settled.missed:
            self.ledger.miss()
            self._publish_view(view, undecidable(Reason.MISSED_TRIGGER, now_ns))
        for frame in settled.unclaimed:
            self.ledger.drop_held()
            self._outlet.count_unclaimed(frame)
            self._outlet.release(frame)

    def _judged_by(self, recipe: str) -> JudgedBy | None:
        bank = self._banks.get(recipe)
        return JudgedBy(bank.bank_sha256, bank.threshold, bank.check_above) if bank is not None else None

    def _submit(self, inspection: Inspection, now_ns: int) -> None:
        """Queue an inspection for scoring, or close it at once where no score can come."""
        reason = self._enqueue(inspection, now_ns)
        if reason is not None:
            self._close(inspection, undecidable(reason, now_ns))
            self._outlet.release(inspection.frame)
            return
        self._refuse_late(now_ns)
        if self.ledger.is_open(inspection.inspection_id):
            self._outlet.record_open(inspection)

    def _enqueue(self, inspection: Inspection, now_ns: int) -> Reason | None:
        """Queue an inspection; return the reason if it cannot be scored."""
        if inspection.frame.quality is not Quality.OK:
            return Reason(inspection.frame.quality)
        if now_ns >= inspection.deadline_ns:
            return Reason.DEADLINE
        bank = self._banks.get(inspection.recipe)
        if bank is None:
            return Reason.SCORING_DOWN
        if not is_like_the_banks(inspection.frame, bank):
            return Reason.FORMAT
        if inspection.trigger is not None and self.triggering.parts.is_shed(inspection.trigger.trigger_id):
            return Reason.OVERLOAD  # the views of a part live or die together
        self._policy.add(inspection)
        return None

    def _give_up(self, inspection: Inspection, reason: Reason, now_ns: int) -> None:
        """Close an inspection without its score; its slot is free only if scoring does not have it."""
        self._close(inspection, undecidable(reason, now_ns))
        if self._policy.discard(inspection):
            self._outlet.release(inspection.frame)

    def _abandon(self, inspections: Iterable[Inspection], reason: Reason, now_ns: int) -> None:
        for inspection in inspections:
            self._close(inspection, undecidable(reason, now_ns))
            self._outlet.release(inspection.frame)

    def _close(self, inspection: Inspection, outcome: Outcome) -> None:
        """Publish an inspection's verdict, unless it has one already."""
        if self.ledger.close(inspection.inspection_id) is not None:
            self._publish_view(inspection, outcome)

    def _publish_view(self, inspection: Inspection | PendingView, outcome: Outcome) -> None:
        """Publish a verdict, and its part's verdict after it when it was the last one owed to it."""
        verdict = self._outlet.publish_verdict(inspection, outcome)
        if inspection.trigger is None:
            return
        view = ViewVerdict(
            inspection.camera, verdict.seq, outcome.evaluation, outcome.reason, outcome.second_look
        )
        closed = ClosedView(view, outcome)
        part = self.triggering.parts.close_view(
            inspection.trigger.trigger_id, inspection.inspection_id, closed
        )
        if part is not None:
            views = [part.closed[view.inspection_id] for view in part.views]
            judged = judge_part([view.outcome for view in views], expected=len(part.views))
            self._outlet.publish_part(part, judged, [view.verdict for view in views])
