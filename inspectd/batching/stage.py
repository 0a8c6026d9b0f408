"""Stage 2: opens an inspection for every frame, sends batches to scoring, closes each inspection once.

It does no input or output: what it decides leaves through the three functions it is given, and time is
handed in. So tests drive it through any order of events without a process or a sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from inspectd.batching.judge import judge, undecidable
from inspectd.batching.ledger import Ledger
from inspectd.batching.policy import BatchPolicy
from inspectd.ipc.messages import BankInfo
from inspectd.records import Batch, Drop, FrameRef, Inspection, Outcome, Quality, Reason, Score, ScoreError


class Observer(Protocol):
    """What the stage reports for the metrics."""

    def late_score(self) -> None:
        """A score came after its inspection was closed."""

    def batch(self, size: int) -> None:
        """A batch left."""


class BatchingStage:
    """Holds every open inspection between its frame and its verdict.

    A ring slot is in use from its frame's arrival until both its verdict is out and no batch that names it is
    with the scoring process; then `release` is called for it, once.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        ledger: Ledger,
        *,
        deadline_ns: int,
        recipes: dict[str, str],
        max_batches_out: int,
        send: Callable[[Batch], bool],
        publish: Callable[[Inspection, Outcome], None],
        release: Callable[[FrameRef], None],
        observer: Observer,
    ) -> None:
        """Wire the stage.

        Args:
            policy: when batches leave.
            ledger: the open inspections.
            deadline_ns: from a frame's capture to its verdict.
            recipes: camera name to recipe name.
            max_batches_out: batches that may be with scoring at once; more would only wait there, out of
                reach of deadlines.
            send: hands a batch to scoring; False when scoring does not take it.
            publish: takes a closed inspection and its outcome.
            release: gives a frame's slot back to its camera.
            observer: hears of batches and late scores.
        """
        self.ledger = ledger
        self._policy = policy
        self._deadline_ns = deadline_ns
        self._recipes = recipes
        self._max_batches_out = max_batches_out
        self._send = send
        self._publish = publish
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

    def frame(self, frame: FrameRef, now_ns: int) -> Inspection:
        """A camera delivered a frame: open its inspection, and close it at once where no score can come."""
        recipe = self._recipes[frame.camera]
        inspection = self.ledger.open(frame, recipe, frame.captured_ns + self._deadline_ns, now_ns)
        reason = self._refusal(inspection, now_ns)
        if reason is not None:
            self._close(inspection, undecidable(reason, now_ns))
            self._release(frame)
        return inspection

    def drop(self, _: Drop) -> None:
        """A camera lost a frame."""
        self.ledger.drop()

    def dispatch(self, now_ns: int, *, drain: bool = False) -> None:
        """Send every batch that is due, as far as scoring may take it."""
        while len(self._out) < self._max_batches_out:
            batch = self._policy.next_batch(now_ns, drain=drain)
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
        if not self._close(inspection, judge(inspection, score, bank.threshold, bank.bank_sha256, now_ns)):
            self._observer.late_score()
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

    def expire(self, now_ns: int) -> None:
        """Close every inspection whose deadline has come, whatever scoring does."""
        for inspection in self.ledger.expired(now_ns):
            self._give_up(inspection, Reason.DEADLINE, now_ns)

    def shut_down(self, now_ns: int) -> None:
        """Close whatever is still open: the line stops."""
        for inspection in self.ledger.all_open():
            self._give_up(inspection, Reason.SHUTDOWN, now_ns)

    def wake_ns(self) -> int | None:
        """When the stage next has something to do by itself; None when never."""
        deadline_ns = self.ledger.next_deadline_ns()
        batch_ns = self._policy.wake_ns() if len(self._out) < self._max_batches_out else None
        times = [time_ns for time_ns in (deadline_ns, batch_ns) if time_ns is not None]
        return min(times) if times else None

    def _refusal(self, inspection: Inspection, now_ns: int) -> Reason | None:
        """Why an inspection cannot be scored; None when it was queued."""
        if inspection.frame.quality is not Quality.OK:
            return Reason(inspection.frame.quality)
        if now_ns >= inspection.deadline_ns:
            return Reason.DEADLINE
        if inspection.recipe not in self._judging:
            return Reason.SCORING_DOWN
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
        self._publish(inspection, outcome)
        return True
