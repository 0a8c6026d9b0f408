"""Stage 2: opens an inspection for every part, sends batches to scoring, closes each inspection once.

A free-running camera's frame is a part. A triggered camera's frame goes to the matcher, and becomes a view of
a part when it is matched with what a trigger opened.

The stage does no input or output: what it decides leaves through the functions it is given, and time is
handed in. So tests drive it through any order of events without a process or a sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from inspectd.batching.judge import is_like_the_banks, judge, judge_part, undecidable
from inspectd.batching.ledger import Ledger
from inspectd.batching.matching import Settled
from inspectd.batching.parts import ClosedView, Part
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.triggering import Triggering
from inspectd.records import (
    BankInfo,
    Batch,
    Drop,
    FrameRef,
    Inspection,
    Outcome,
    Quality,
    Score,
    ScoreError,
    Trigger,
    View,
)
from inspectd.wire import Reason, Refusal, TriggerRequest, ViewVerdict


class Observer(Protocol):
    """What the stage reports for the metrics."""

    def untriggered(self, frame: FrameRef) -> None:
        """No trigger claimed the frame."""

    def late_score(self) -> None:
        """A score came after its inspection was closed."""

    def batch(self, size: int) -> None:
        """A batch left."""


class BatchingStage:
    """Holds every open inspection between its frame and its verdict.

    A ring slot is in use from its frame's arrival until both its verdict is out and no batch that names it is
    with the scoring process; then `release` is called for it, once. A frame that no trigger claims is
    released as soon as that is certain.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        ledger: Ledger,
        triggering: Triggering,
        *,
        deadlines_ns: dict[str, int],
        recipes: dict[str, str],
        max_batches_out: int,
        opened: Callable[[Inspection | Part], None],
        send: Callable[[Batch], bool],
        publish: Callable[[Inspection | View, Outcome], int],
        publish_part: Callable[[Trigger, int, Outcome, list[ViewVerdict]], object],
        publish_late: Callable[[Inspection, Score, float, int], None],
        release: Callable[[FrameRef], None],
        observer: Observer,
    ) -> None:
        """Wire the stage.

        Args:
            policy: when batches leave.
            ledger: the open inspections.
            triggering: the triggered cameras.
            deadlines_ns: recipe name to the time from a frame's capture to its verdict.
            recipes: camera name to recipe name.
            max_batches_out: batches that may be with scoring at once; more would only wait there, out of
                reach of deadlines.
            opened: hears of each triggered part, before anything can become of it, and of each inspection
                that waits for its score.
            send: hands a batch to scoring; False when scoring does not take it.
            publish: takes a closed inspection and its outcome, and gives its verdict's `seq`.
            publish_part: takes a closed part's trigger, deadline, outcome and views.
            publish_late: takes an inspection, a score that came too late for it, its threshold, and the time.
            release: gives a frame's slot back to its camera.
            observer: hears of batches and late scores.
        """
        self.ledger = ledger
        self._policy = policy
        self.triggering = triggering
        self._deadlines_ns = deadlines_ns
        self._recipes = recipes
        self._max_batches_out = max_batches_out
        self._opened = opened
        self._send = send
        self._publish = publish
        self._publish_part = publish_part
        self._publish_late = publish_late
        self._release = release
        self._observer = observer
        self._out: dict[int, dict[int, Inspection]] = {}
        self._judging: dict[str, BankInfo] = {}

    @property
    def waiting(self) -> int:
        """Inspections that wait for a batch."""
        return self._policy.waiting

    @property
    def scoring(self) -> int:
        """Inspections that are with the scoring process."""
        return sum(len(batch) for batch in self._out.values())

    def scoring_ready(self, banks: dict[str, BankInfo]) -> None:
        """Scoring is warm: judge each recipe by its bank and its threshold in force from now on."""
        self._judging = banks

    @property
    def idle(self) -> bool:
        """True when no frame and no trigger is owed a verdict."""
        return self.ledger.in_flight == 0 and self.triggering.parts.open == 0

    def trigger(
        self, request: TriggerRequest, trigger: Trigger, is_up: Callable[[str], bool]
    ) -> Part | Refusal:
        """The plant says that a part is there: open its views, or say why not."""
        opened = self.triggering.open(
            request, trigger, judged=self._judging, is_up=is_up, new_id=self.ledger.new_id
        )
        if isinstance(opened, Part):
            self._opened(opened)
        return opened

    def pass_by(self, request: TriggerRequest, trigger: Trigger) -> None:
        """A trigger was refused by somebody else: no older one gets a frame of its part."""
        self.triggering.pass_by(request, trigger)

    def frame(self, frame: FrameRef, now_ns: int) -> None:
        """A camera delivered a frame: a part of its own, or perhaps one a trigger waits for; see `expire`."""
        if self.triggering.serves(frame.camera):
            self.ledger.hold()
            self.triggering.frame(frame)
            return
        recipe = self._recipes[frame.camera]
        deadline_ns = frame.captured_ns + self._deadlines_ns[recipe]
        self._submit(self.ledger.open(frame, recipe, deadline_ns, now_ns), now_ns)

    def drop(self, _: Drop) -> None:
        """A camera lost a frame."""
        self.ledger.drop()

    def dispatch(self, now_ns: int, *, drain: bool = False) -> None:
        """Send every batch that is due, as far as scoring may take it.

        Behind a batch under way only a full one is sent. A smaller one would gain nothing by going now, and
        whoever comes until its turn would miss it and wait for one more batch.
        """
        while len(self._out) < self._max_batches_out:
            batch = self._policy.next_batch(now_ns, drain=drain, only_full=bool(self._out))
            if batch is None:
                return
            if not self._send(batch):
                self._abandon(batch.inspections, Reason.SCORING_DOWN, now_ns)
                continue
            self._out[batch.batch_id] = {i.inspection_id: i for i in batch.inspections}
            self._observer.batch(len(batch.inspections))

    def score(self, score: Score, now_ns: int) -> None:
        """Scoring answered for one inspection."""
        inspection = self._answered(score.batch_id, score.inspection_id)
        if inspection is None:
            return
        bank = self._judging[inspection.recipe]
        self._close(inspection, judge(inspection, score, bank.threshold, bank.bank_sha256, now_ns))
        if now_ns > inspection.deadline_ns:
            self._observer.late_score()
            self._publish_late(inspection, score, bank.threshold, now_ns)
        self._release(inspection.frame)

    def score_error(self, error: ScoreError, now_ns: int) -> None:
        """Scoring says that it cannot score one inspection."""
        inspection = self._answered(error.batch_id, error.inspection_id)
        if inspection is not None:
            self._close(inspection, undecidable(error.reason, now_ns))
            self._release(inspection.frame)

    def scoring_lost(self, now_ns: int) -> None:
        """The scoring process is gone, and with it every answer that was owed."""
        self._judging = {}
        out, self._out = self._out, {}
        for batch in out.values():
            self._abandon(batch.values(), Reason.SCORING_LOST, now_ns)
        self._abandon(self._policy.discard_all(), Reason.SCORING_LOST, now_ns)

    def expire(self, now_ns: int, known_ns: int) -> None:
        """Give frames to triggers, and close what has come to its deadline, whatever scoring and cameras do.

        Args:
            now_ns: the time.
            known_ns: every trigger that came until then was handed to `trigger` or `pass_by`.
        """
        self._apply(self.triggering.settle(now_ns, known_ns), now_ns)
        for inspection in self.ledger.expired(now_ns):
            self._give_up(inspection, Reason.DEADLINE, now_ns)

    def shut_down(self, now_ns: int) -> None:
        """Close whatever is still open: the line stops."""
        self._apply(self.triggering.give_up(), now_ns)
        for inspection in self.ledger.all_open():
            self._give_up(inspection, Reason.SHUTDOWN, now_ns)

    def wake_ns(self) -> int | None:
        """When the stage next has something to do by itself; None when never."""
        deadline_ns = self.ledger.next_deadline_ns()
        batch_ns = None if self._out else self._policy.wake_ns()
        times = [deadline_ns, batch_ns, self.triggering.wake_ns()]
        return min([time_ns for time_ns in times if time_ns is not None], default=None)

    def _apply(self, settled: Settled, now_ns: int) -> None:
        """Act on what became certain of triggers and frames."""
        for view, frame in settled.matched:
            self._submit(self.ledger.open_view(view, frame, now_ns), now_ns)
        for view in settled.missed:
            self.ledger.miss()
            self._publish_view(view, undecidable(Reason.MISSED_TRIGGER, now_ns))
        for frame in settled.unclaimed:
            self.ledger.drop_held()
            self._observer.untriggered(frame)
            self._release(frame)

    def _submit(self, inspection: Inspection, now_ns: int) -> None:
        """Queue an inspection for scoring, or close it at once where no score can come."""
        reason = self._refusal(inspection, now_ns)
        if reason is not None:
            self._close(inspection, undecidable(reason, now_ns))
            self._release(inspection.frame)
        else:
            self._opened(inspection)

    def _refusal(self, inspection: Inspection, now_ns: int) -> Reason | None:
        """Why an inspection cannot be scored; None when it was queued."""
        if inspection.frame.quality is not Quality.OK:
            return Reason(inspection.frame.quality)
        if now_ns >= inspection.deadline_ns:
            return Reason.DEADLINE
        bank = self._judging.get(inspection.recipe)
        if bank is None:
            return Reason.SCORING_DOWN
        if not is_like_the_banks(inspection.frame, bank):
            return Reason.FORMAT
        return None if self._policy.add(inspection) else Reason.OVERLOAD

    def _answered(self, batch_id: int, inspection_id: int) -> Inspection | None:
        """Take an inspection out of its batch; None when no such answer is owed."""
        batch = self._out.get(batch_id, {})
        inspection = batch.pop(inspection_id, None)
        if not batch:
            self._out.pop(batch_id, None)
        return inspection

    def _give_up(self, inspection: Inspection, reason: Reason, now_ns: int) -> None:
        """Close an inspection without its score; its slot is free only if scoring does not have it."""
        self._close(inspection, undecidable(reason, now_ns))
        if self._policy.discard(inspection):
            self._release(inspection.frame)

    def _abandon(self, inspections: Iterable[Inspection], reason: Reason, now_ns: int) -> None:
        for inspection in inspections:
            self._close(inspection, undecidable(reason, now_ns))
            self._release(inspection.frame)

    def _close(self, inspection: Inspection, outcome: Outcome) -> bool:
        """Publish an inspection's verdict; False when it has one already."""
        if self.ledger.close(inspection.inspection_id) is None:
            return False
        self._publish_view(inspection, outcome)
        return True

    def _publish_view(self, inspection: Inspection | View, outcome: Outcome) -> None:
        """Publish a verdict, and its part's verdict behind it when it was the last one owed to it."""
        seq = self._publish(inspection, outcome)
        if inspection.trigger is None:
            return
        verdict = ViewVerdict(inspection.camera, seq, outcome.evaluation, outcome.reason)
        closed = ClosedView(verdict, outcome)
        part = self.triggering.parts.close_view(
            inspection.trigger.trigger_id, inspection.inspection_id, closed
        )
        if part is not None:
            views = [part.closed[view.inspection_id] for view in part.views]
            outcome = judge_part([view.outcome for view in views], expected=len(part.views))
            self._publish_part(part.trigger, part.deadline_ns, outcome, [view.verdict for view in views])
