"""Which inspections scoring gets, when, and together with which. Pure: time is handed in.

Scoring works on one batch after another, so what waits is a schedule: the most urgent first, as many together
as are in time. What no schedule could have in time is taken out at once. Scoring then works on nothing that
comes too late, and a gate hears early that a part will have no score.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable
from functools import partial

from inspectd.batching.schedule import NEVER_NS, Free, Schedule, find_place, urgency_of
from inspectd.batching.service_times import ServiceTimes
from inspectd.records import Batch, ClosedBy, Inspection

PartName = tuple[str, int] | tuple[str, int, int]
"""Of a part with several views its trigger's id and time; of a frame with several regions its camera,
generation and number."""


class Sent:
    """What went to scoring, to whichever of its processes: numbers of batches, parts that are begun."""

    def __init__(self) -> None:
        self._batches = 0
        self._begun: dict[PartName, int] = {}  # parts of which scoring has a view, to their deadlines

    def __contains__(self, part: PartName | None) -> bool:
        """Whether scoring has a view of that part, or had one."""
        return part in self._begun

    def add(self, taken: Iterable[Inspection], now_ns: int) -> int:
        """Note a batch; its number, which no other batch of the line has."""
        while self._begun and next(iter(self._begun.values())) < now_ns:
            del self._begun[next(iter(self._begun))]
        for inspection in taken:
            part = part_of(inspection)
            if part is not None:
                self._begun.setdefault(part, inspection.deadline_ns)
        self._batches += 1
        return self._batches


class BatchPolicy:
    """Groups waiting inspections of one recipe; a batch never mixes recipes.

    A batch is due when it cannot grow, when its most urgent inspection has waited `max_wait_ns` or can wait
    no longer, or when the line drains. With `max_wait_ns` 0 nothing ever waits for company: batches then grow
    only while scoring is busy, which fills them at high load and keeps latency lowest at low load.
    """

    def __init__(
        self, max_wait_ns: int, max_queue: int, times: ServiceTimes, sent: Sent | None = None
    ) -> None:
        """Keep at most `max_queue` inspections waiting, of all recipes together.

        Args:
            max_wait_ns: for company.
            max_queue: beyond it one is given up.
            times: what the scoring process is expected to take.
            sent: what all scoring processes of the line got; None: there is one.
        """
        self._max_wait_ns = max_wait_ns
        self._max_queue = max_queue
        self._times = times
        self._queues: dict[str, list[Inspection]] = {}  # most urgent first
        self._schedule = Schedule(self._queues, times)
        self._sent = sent or Sent()
        self._planned_with = 0  # `ServiceTimes.changes` of the last `shed`
        self._new: list[Inspection] = []  # those that no `shed` has seen
        self._free: dict[str, Counter[tuple[int, int]]] = {}
        """Of free-running cameras, how many wait of each frame: those with regions have several."""
        self._queued = 0
        self._trial: Inspection | None = None
        """It may be late, and goes next all the same. No plan holds it, so nothing gives way to it."""
        self.latest_start_ns = NEVER_NS
        """Until then scoring has to be free for all that waits to be in time, as of the last `shed`."""

    @property
    def waiting(self) -> int:
        """Inspections that wait."""
        return self._queued + (self._trial is not None)

    def add(self, inspection: Inspection) -> None:
        """Queue an inspection; `shed` says whether it can stay."""
        self._new.append(inspection)
        self._put_back(inspection)

    def discard(self, inspection: Inspection) -> bool:
        """Take an inspection out of its queue; False when it is not waiting (any more)."""
        if inspection is self._trial:
            self._trial = None
            return True
        queue = self._queues.get(inspection.recipe, [])
        place = find_place(queue, inspection)
        if place is None:
            return False
        del queue[place]
        self._schedule.changed(inspection, place)
        self._count(inspection, -1)
        return True

    def discard_all(self) -> list[Inspection]:
        """Take out every waiting inspection."""
        waiting = [inspection for queue in self._queues.values() for inspection in queue]
        for inspection in waiting:
            self._count(inspection, -1)
        if self._trial is not None:
            waiting.append(self._trial)
            self._trial = None
        self._queues.clear()
        self._schedule.clear()
        self._new.clear()
        return waiting

    def take_views(self, parts: Container[PartName | None]) -> list[Inspection]:
        """Take out, and return, every waiting view of these parts, but for one that is tried."""
        gone = [each for queue in self._queues.values() for each in queue if part_of(each) in parts]
        for inspection in gone:
            self.discard(inspection)
        return gone

    def takes_ns(self, inspection: Inspection) -> int:
        """Time that scoring would need for it and for all that goes before it, were it queued."""
        urgency, all_ns = urgency_of(inspection), 0
        for recipe in {*self._queues, inspection.recipe}:
            before = bisect_left(self._queues.get(recipe, ()), urgency, key=urgency_of)
            all_ns += self._times.in_batches_ns(recipe, before + (recipe == inspection.recipe))
        return all_ns

    def all_take_ns(self) -> int:
        """Time that scoring needs for all that waits."""
        return sum(self._times.in_batches_ns(recipe, len(queue)) for recipe, queue in self._queues.items())

    def shed(self, now_ns: int, free: Free) -> list[Inspection]:
        """Take out, and return, what cannot be in time when scoring is free.

        A new one has to leave time for its batch to be filled, unless that is the next: a queue of many small
        batches would be in time and a waste. Where the schedule first breaks, one of those up to there has to
        go. The loss is least if it is a free-running frame, and fair if it is the newest of the camera that
        has most of them waiting. Of triggered parts one that scoring has not begun goes first, the newest,
        and all its views with it, as the regions of a frame go together. Now and then one of them stays for a
        trial: see `try_one`.
        """
        gone: list[Inspection] = []
        if not self._new and free.at_ns <= self.latest_start_ns and self._planned_with == self._times.changes:
            return gone  # nothing has changed for the worse
        if self._planned_with != self._times.changes:
            self._planned_with = self._times.changes
            self._schedule.clear()
        while self._queued > self._max_queue:
            gone += self._take_out(
                self._least_loss({name: len(queue) for name, queue in self._queues.items()})
            )
        late_before: Inspection | None = None
        given_up: list[Inspection] = []
        while (broken := self._schedule.first_break(free, self._new)) is not None:
            late, crowd = broken
            victim = self._least_loss(crowd)
            if late is not late_before:
                gone += given_up
                given_up = self._take_out(victim)
            elif late.trigger is not None and victim.trigger is None:
                given_up += self._take_out(victim)  # one free frame was not enough for a part
            else:
                for inspection in given_up:  # that did not save it: it goes itself
                    self._put_back(inspection)
                given_up = self._take_out(late)
            late_before = late
        self._new.clear()
        self.latest_start_ns = self._schedule.latest_start_ns
        return self.try_one(gone + given_up, now_ns)

    def try_one(self, gone: list[Inspection], now_ns: int) -> list[Inspection]:
        """Have one of those that go scored all the same, if nothing was of its recipe for long; the others.

        How fast scoring is now is only known by trying. Without it a wrong time, as of a warm-up beside other
        work, would refuse parts for ever. It may delay others by its own time: see `ServiceTimes.may_try`.
        """
        for trial in sorted(gone, key=urgency_of, reverse=True) if self._trial is None else ():
            if trial.deadline_ns > now_ns and self._times.may_try(trial.recipe, now_ns):
                self._trial = trial
                return [inspection for inspection in gone if inspection is not trial]
        return gone

    def next_batch(
        self, now_ns: int, free_ns: int, *, drain: bool = False, only_full: bool = False
    ) -> Batch | None:
        """The batch that is due, or None; the recipe of the most urgent inspection goes first.

        Args:
            now_ns: the time.
            free_ns: when scoring is free for it.
            drain: nothing waits for company any more.
            only_full: give a batch that cannot grow, or none.
        """
        if self._trial is not None:
            trial, self._trial = self._trial, None
            self._times.begin_trial(trial.recipe)
            return Batch(self._sent.add([trial], now_ns), trial.recipe, [trial], ClosedBy.DEADLINE)
        due = [
            (urgency_of(queue[0]), recipe, size, closed_by)
            for recipe, queue in self._queues.items()
            if queue
            for size in (self._schedule.size(queue, 0, free_ns),)
            if (closed_by := self._due(recipe, queue, size, now_ns, drain=drain))
            and (closed_by is ClosedBy.FULL or not only_full)
        ]
        if not due:
            return None
        urgency, recipe, size, closed_by = min(due)
        if only_full and urgency > min(urgency_of(queue[0]) for queue in self._queues.values() if queue):
            return None
        queue = self._queues[recipe]
        taken = queue[:size]
        del queue[:size]
        for inspection in taken:
            self._count(inspection, -1)
        batch_id = self._sent.add(taken, now_ns)
        if self._schedule.take(recipe, size):
            self.latest_start_ns = self._schedule.latest_start_ns
        else:
            self._planned_with = -1  # the next `shed` plans anew
        return Batch(batch_id, recipe, taken, closed_by)

    def wake_ns(self) -> int | None:
        """When the next batch becomes due at the latest, if scoring is free; None while nothing is queued."""
        due = [self._due_ns(recipe, queue) for recipe, queue in self._queues.items() if queue]
        return min(due, default=None)

    # --- what goes ----------------------------------------------------------------------------------------

    def _least_loss(self, crowd: dict[str, int]) -> Inspection:
        """Of the first so many of each recipe, the one that is given up."""
        for waiting in sorted({len(frames) for frames in self._free.values() if frames}, reverse=True):
            cameras = {camera for camera, frames in self._free.items() if len(frames) == waiting}
            newest = self._newest_unbegun(crowd, partial(_is_free, cameras))
            if newest is not None:
                return newest
        victim = self._newest_unbegun(crowd, lambda _: True)
        assert victim is not None, "a schedule breaks at one of those it holds"
        return victim

    def _newest_unbegun(
        self, crowd: dict[str, int], wanted: Callable[[Inspection], bool]
    ) -> Inspection | None:
        """The least urgent of those that are wanted; one whose part scoring has begun only if all are."""
        unbegun = self._newest(crowd, lambda each: wanted(each) and part_of(each) not in self._sent)
        return unbegun or self._newest(crowd, wanted)

    def _newest(self, crowd: dict[str, int], wanted: Callable[[Inspection], bool]) -> Inspection | None:
        """The least urgent of those that are wanted."""
        found = (
            next((queue[place] for place in range(count - 1, -1, -1) if wanted(queue[place])), None)
            for recipe, count in crowd.items()
            for queue in (self._queues[recipe],)
        )
        return max((each for each in found if each is not None), key=urgency_of, default=None)

    def _take_out(self, victim: Inspection) -> list[Inspection]:
        """Take it out, and every other waiting view of its part."""
        part = part_of(victim)
        if part is not None:
            return self.take_views({part})
        self.discard(victim)
        return [victim]

    def _put_back(self, inspection: Inspection) -> None:
        queue = self._queues.setdefault(inspection.recipe, [])
        place = bisect_left(queue, urgency_of(inspection), key=urgency_of)
        queue.insert(place, inspection)
        self._schedule.changed(inspection, place)
        self._count(inspection, 1)

    def _count(self, inspection: Inspection, change: int) -> None:
        self._queued += change
        if inspection.trigger is None:
            frames, frame = self._free.setdefault(inspection.camera, Counter()), inspection.frame
            frames[frame.generation, frame.seq] += change
            if not frames[frame.generation, frame.seq]:
                del frames[frame.generation, frame.seq]

    # --- what is due --------------------------------------------------------------------------------------

    def _due(
        self, recipe: str, queue: list[Inspection], size: int, now_ns: int, *, drain: bool
    ) -> ClosedBy | None:
        if size >= self._schedule.worth_filling(queue[0]) or size < len(queue):
            return ClosedBy.FULL
        if now_ns >= self._due_ns(recipe, queue):
            return ClosedBy.DEADLINE
        return ClosedBy.DRAIN if drain else None

    def _due_ns(self, recipe: str, queue: list[Inspection]) -> int:
        """When nothing waits for company any more.

        After `max_wait_ns`, or when all that waits, of every recipe, leaves one batch's time to spare.
        """
        longest_ns = queue[0].opened_ns + self._max_wait_ns
        size = min(len(queue), self._schedule.worth_filling(queue[0]))
        return min(longest_ns, self.latest_start_ns - self._times.expected_ns(recipe, size))


def _is_free(cameras: set[str], inspection: Inspection) -> bool:
    return inspection.trigger is None and inspection.camera in cameras


def part_of(inspection: Inspection) -> PartName | None:
    """Names the part that it is a view of, or the frame that it is a region of; None: it is alone."""
    trigger, frame = inspection.trigger, inspection.frame
    if trigger is not None:
        return trigger.trigger_id, trigger.received_ns
    return None if frame.region is None else (frame.camera, frame.generation, frame.seq)
