"""Stage 2: opens an inspection for every part, sends batches to scoring, closes each inspection once.

A free-running camera's frame is a part. A triggered camera's frame goes to the matcher, and becomes a view of
a part when it is matched with what a trigger opened. A frame of a camera with regions has an inspection for
each of them, in the same slot.

Each scoring process has a `Lane`, which plans as if it were alone. An inspection is placed in one when it is
queued; what waits for a process that is lost is placed anew.

The stage does no input or output: what it decides leaves through its `BatchingOutlet`, and time is handed in.
So tests drive it through any order of events without a process or a sleep.

Whatever can make a batch due, or room for one, ends with `_dispatch`: a frame, an answer of scoring, a turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from inspectd.batching.judge import flaw_of, is_like_the_banks, judge, judge_part, undecidable
from inspectd.batching.lane import Lane, choose_lane
from inspectd.batching.ledger import Ledger
from inspectd.batching.parts import ClosedView, Part
from inspectd.batching.policy import BatchPolicy, Sent, part_of
from inspectd.batching.service_times import ServiceTimes
from inspectd.batching.shared_slots import SharedSlots
from inspectd.batching.triggering import Regions, SettledViews, Triggering, make_triggering, regions_of
from inspectd.config import Config
from inspectd.recipes.book import RecipeBook
from inspectd.records import (
    BankInForce,
    Batch,
    FrameRef,
    Inspection,
    JudgedBy,
    Outcome,
    Pace,
    PendingView,
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

    def send_batch(self, process: int, batch: Batch) -> bool:
        """Hand a batch to a scoring process; False when it takes none, which lasts until `use_banks`."""

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


LastWord = Callable[[Inspection | PendingView, Outcome], Outcome]
"""Makes of an outcome the one that is published."""


def _as_it_is(_: Inspection | PendingView, outcome: Outcome) -> Outcome:
    return outcome


def make_batching(
    config: Config, book: RecipeBook, outlet: BatchingOutlet, processes: int, final: LastWord = _as_it_is
) -> BatchingStage:
    """The stage of a line as its configuration describes it, with so many scoring processes."""
    settings = config.batching
    sent = Sent()

    def lane() -> Lane:
        times = ServiceTimes(settings.max_batch)
        policy = BatchPolicy(int(settings.max_wait_ms * 1e6), settings.max_queue, times, sent)
        return Lane(policy, times, _MAX_BATCHES_OUT)

    return BatchingStage(
        [lane() for _ in range(processes)], make_triggering(config, book), outlet, book, final,
        regions=regions_of(config),
    )  # fmt: skip


class BatchingStage:
    """Holds every open inspection between its frame and its verdict.

    A ring slot is in use from its frame's arrival until both its verdict is out and no batch that names it is
    with a scoring process; then `release` is called for it, once. A frame that no trigger claims is
    released as soon as that is certain.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        triggering: Triggering,
        outlet: BatchingOutlet,
        book: RecipeBook,
        final: LastWord = _as_it_is,
        *,
        regions: Regions | None = None,
    ) -> None:
        """Start with nothing open.

        Args:
            lanes: one for each scoring process, which has the same number.
            triggering: the triggered cameras.
            outlet: takes what is decided.
            book: the recipes that are loaded, and the one in force.
            final: has the last word on an outcome before it is published.
            regions: of cameras that have some.
        """
        self.ledger = Ledger()
        self.triggering = triggering
        self._lanes = lanes
        self._outlet = outlet
        self._book = book
        self._final = final
        self._regions = regions or {}
        self._slots = SharedSlots()
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
            further=ledger.further,
            untriggered=ledger.untriggered,
        )

    @property
    def waiting(self) -> int:
        """Inspections that wait for a batch."""
        return sum(lane.policy.waiting for lane in self._lanes)

    @property
    def scoring(self) -> int:
        """Inspections that are with the scoring processes."""
        return sum(lane.out.owed for lane in self._lanes)

    @property
    def idle(self) -> bool:
        """True when no frame and no trigger is owed a verdict."""
        return self.ledger.in_flight == 0 and self.triggering.parts.open == 0

    # --- what comes ---------------------------------------------------------------------------------------

    def use_banks(
        self,
        process: int,
        banks: Sequence[BankInForce],
        paces: Sequence[Pace],
        follows: int | None = None,
    ) -> None:
        """Open inspections under these banks from now on; those open already keep theirs.

        Args:
            process: that has loaded them.
            banks: one for each recipe it holds.
            paces: what it measured when it was warm.
            follows: the process whose place it takes, and which has scored on the same device until now.
        """
        lane = self._lanes[process]
        lane.use_banks(banks, paces)
        if follows is not None:
            lane.times.follow(self._lanes[follows].times)
        self._banks |= {bank.recipe: bank for bank in banks}

    def close_lane(self, process: int) -> None:
        """Place nothing more with a scoring process; what it has, and what waits for it, it still scores."""
        self._lanes[process].banks = {}
        self._banks = {recipe: bank for each in self._lanes for recipe, bank in each.banks.items()}

    def is_done(self, process: int) -> bool:
        """Whether nothing is with a scoring process, and nothing waits for it."""
        lane = self._lanes[process]
        return not lane.policy.waiting and not lane.out

    def open_recipes(self) -> set[str]:
        """Keys of the recipes that something open is to be judged by."""
        open_views = self.triggering.parts.open_views()
        return {each.recipe for each in self.ledger.all_open()} | {view.recipe for view in open_views}

    def judges(self, recipe: str) -> bool:
        """Whether a scoring process holds the recipe's bank now."""
        return recipe in self._banks

    def images_per_second(self) -> dict[str, float]:
        """Images that scoring alone does now, by recipe; those of which it is known."""
        per_second: Counter[str] = Counter()
        for lane in self._lanes:
            per_second.update({r: rate for r, rate in lane.times.per_second().items() if r in lane.banks})
        return dict(per_second)

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
            self._submit(self._opened(frame, now_ns), now_ns)
        self._dispatch(now_ns)

    def _opened(self, frame: FrameRef, now_ns: int) -> list[Inspection]:
        """The inspections of a free-running camera's frame: one, or one for each region."""
        opened: list[Inspection] = []
        regions = self._regions.get(frame.camera, (None,))
        self._slots.share(frame, len(regions))
        for region in regions:
            seen = msgspec.structs.replace(frame, region=region)
            recipe, is_certain = self._book.key_of_frame(seen.place, frame.exposed)
            if not is_certain:
                seen = msgspec.structs.replace(seen, camera_settings=None)
            deadline_ns = frame.captured_ns + self._book.deadline_ns(recipe)
            settings = self._book.camera_settings(recipe, frame.camera)
            opened.append(
                self.ledger.open(
                    seen, recipe, deadline_ns, self._judged_by(recipe), now_ns,
                    camera_settings=settings, is_further=bool(opened),
                )
            )  # fmt: skip
        return opened

    def count_drop(self) -> None:
        """Count a frame that its camera lost, or left out."""
        self.ledger.drop()

    def lose_frame(self, camera: str, now_ns: int) -> None:
        """See `Triggering.lose_frame`."""
        self.triggering.lose_frame(camera, now_ns)

    def take_score(self, process: int, score: Score, now_ns: int) -> None:
        """Judge an inspection by its score. An answer that this process does not owe changes nothing."""
        lane = self._lanes[process]
        inspection = lane.out.take_out(score.batch_id, score.inspection_id, now_ns, has_score=True)
        if inspection is None:
            return
        self._close(inspection, judge(inspection, score, now_ns))
        if now_ns > inspection.deadline_ns:
            self._outlet.publish_late(inspection, score, now_ns)
        self._release(inspection)
        self._dispatch(now_ns)

    def take_score_error(self, process: int, error: ScoreError, now_ns: int) -> None:
        """Close an inspection that cannot be scored, if this process owes that answer."""
        lane = self._lanes[process]
        inspection = lane.out.take_out(error.batch_id, error.inspection_id, now_ns, has_score=False)
        if inspection is None:
            return
        self._close(inspection, undecidable(error.reason, now_ns))
        self._release(inspection)
        self._dispatch(now_ns)

    def lose_scoring(self, process: int, now_ns: int) -> None:
        """Close what is with a scoring process; what waits for it goes to others that hold the same bank.

        Where there is none, it is closed too, and so is what comes until `use_banks`: nothing waits through a
        restart of scoring for the bank of the next process.
        """
        lane = self._lanes[process]
        self._abandon(lane.out.take_all(), Reason.SCORING_LOST, now_ns)
        self._retire(lane, (), Reason.SCORING_LOST, now_ns)

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
        batch_times = [lane.wake_ns() for lane in self._lanes]
        times = [self.ledger.next_deadline_ns(), *batch_times, self.triggering.wake_ns()]
        return min([time_ns for time_ns in times if time_ns is not None], default=None)

    # --- what leaves --------------------------------------------------------------------------------------

    def _dispatch(self, now_ns: int, *, drain: bool = False) -> None:
        """Close what cannot be scored in time, then send every batch that is due, if scoring may take it."""
        for lane in self._lanes:
            self._refuse_late(lane, now_ns)
        for process, lane in enumerate(self._lanes):
            self._send_due(process, lane, now_ns, drain=drain)

    def _send_due(self, process: int, lane: Lane, now_ns: int, *, drain: bool) -> None:
        """Send a process its batches that are due.

        After a batch in flight only one that cannot grow is sent. A smaller one would gain nothing by going
        now, and whoever comes until its turn would miss it and wait for one more batch.
        """
        while lane.out.has_room:
            free_ns = lane.out.free(now_ns).at_ns
            batch = lane.policy.next_batch(now_ns, free_ns, drain=drain, only_full=bool(lane.out))
            if batch is None:
                return
            if not self._outlet.send_batch(process, batch):
                self._retire(lane, batch.inspections, Reason.SCORING_DOWN, now_ns)
                return
            lane.out.add(batch, now_ns)

    def _retire(self, lane: Lane, unsent: Iterable[Inspection], reason: Reason, now_ns: int) -> None:
        """Place anew what a process did not get: it takes nothing until it is warm again."""
        lane.banks = {}
        self._banks = {recipe: bank for each in self._lanes for recipe, bank in each.banks.items()}
        waiting = [*unsent, *lane.policy.discard_all()]
        for inspection in waiting:
            other = choose_lane(self._lanes, inspection, now_ns)
            if other is None:
                self._abandon([inspection], reason, now_ns)
            else:
                other.policy.add(inspection)
        if waiting and self._banks:
            self._dispatch(now_ns)

    def _refuse_late(self, lane: Lane, now_ns: int, new: int = 1) -> None:
        """Close what waits in a lane and cannot be scored in time; with a view, its part's in every lane.

        Args:
            lane: where something waits.
            now_ns: the time.
            new: how many of it came just now, if any did.
        """
        if lane.policy.waiting <= new:  # what came just now is the first after a pause
            lane.out.begin(now_ns)
        lane.times.forget_stale(now_ns)
        gone = lane.policy.shed(now_ns, lane.out.free(now_ns))
        parts = {part_of(inspection) for inspection in gone} - {None} if len(self._lanes) > 1 else set()
        if parts:
            gone += [view for other in self._lanes for view in other.policy.take_views(parts)]
        for other in self._lanes:
            if other is not lane:  # it may be faster than is known of it, and get nothing for that
                kept = [each for each in gone if not other.holds(each)]
                gone = kept + other.policy.try_one([each for each in gone if other.holds(each)], now_ns)
        self._abandon(gone, Reason.OVERLOAD, now_ns)

    def _apply(self, settled: SettledViews, now_ns: int) -> None:
        """Act on what became certain of triggers and frames."""
        for views, frame in settled.matched:
            self._slots.share(frame, len(views))
            opened = [
                self.ledger.open_view(
                    view, frame, self._judged_by(view.recipe), now_ns, is_further=view is not views[0]
                )
                for view in views
            ]
            self._submit(opened, now_ns)
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

    def _submit(self, inspections: Sequence[Inspection], now_ns: int) -> None:
        """Queue the inspections of a frame for scoring; those that cannot get a score are closed at once."""
        queued: list[Lane] = []
        for inspection in inspections:
            reason = self._refusal(inspection, now_ns)
            lane = choose_lane(self._lanes, inspection, now_ns) if reason is None else None
            if lane is None:
                self._abandon([inspection], reason or Reason.SCORING_DOWN, now_ns)
            else:
                lane.policy.add(inspection)
                queued.append(lane)
        for lane in dict.fromkeys(queued):  # after all are there: they live or die together
            self._refuse_late(lane, now_ns, queued.count(lane))
        for inspection in inspections:
            if self.ledger.is_open(inspection.inspection_id):
                self._outlet.record_open(inspection)

    def _refusal(self, inspection: Inspection, now_ns: int) -> Reason | None:
        """Reason why an inspection cannot be scored."""
        flaw = flaw_of(inspection)
        if flaw is not None:
            return flaw
        if now_ns >= inspection.deadline_ns:
            return Reason.DEADLINE
        bank = self._banks.get(inspection.recipe)
        if bank is None:
            return Reason.SCORING_DOWN
        if not is_like_the_banks(inspection.frame, bank):
            return Reason.FORMAT
        if inspection.trigger is not None and self.triggering.parts.is_shed(inspection.trigger.trigger_id):
            return Reason.OVERLOAD  # the views of a part live or die together
        return None

    def _give_up(self, inspection: Inspection, reason: Reason, now_ns: int) -> None:
        """Close an inspection without its score; its slot is free only if scoring does not have it."""
        self._close(inspection, undecidable(reason, now_ns))
        if any(lane.policy.discard(inspection) for lane in self._lanes):
            self._release(inspection)

    def _abandon(self, inspections: Iterable[Inspection], reason: Reason, now_ns: int) -> None:
        for inspection in inspections:
            self._close(inspection, undecidable(reason, now_ns))
            self._release(inspection)

    def _release(self, inspection: Inspection) -> None:
        """Scoring has an inspection no longer; its slot goes back once that is so of all of its frame."""
        if self._slots.is_last(inspection.frame):
            self._outlet.release(inspection.frame)

    def _close(self, inspection: Inspection, outcome: Outcome) -> None:
        """Publish an inspection's verdict, unless it has one already."""
        if self.ledger.close(inspection.inspection_id) is not None:
            self._publish_view(inspection, outcome)

    def _publish_view(self, inspection: Inspection | PendingView, outcome: Outcome) -> None:
        """Publish a verdict, and its part's verdict after it when it was the last one owed to it."""
        outcome = self._final(inspection, outcome)
        verdict = self._outlet.publish_verdict(inspection, outcome)
        if inspection.trigger is None:
            return
        view = ViewVerdict(
            inspection.camera, verdict.seq, outcome.evaluation, outcome.reason, outcome.second_look,
            None if inspection.region is None else inspection.region.name,
        )  # fmt: skip
        closed = ClosedView(view, outcome)
        part = self.triggering.parts.close_view(
            inspection.trigger.trigger_id, inspection.inspection_id, closed
        )
        if part is not None:
            views = [part.closed[view.inspection_id] for view in part.views]
            judged = judge_part([view.outcome for view in views], expected=len(part.views))
            self._outlet.publish_part(part, judged, [view.verdict for view in views])
