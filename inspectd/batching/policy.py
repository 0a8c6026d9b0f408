"""Which inspections scoring gets, when, and together with which. Pure: time is handed in.

Scoring works on one batch after another, so what waits is a schedule: the most urgent first, as many together
as are in time. What no schedule could have in time is taken out at once. Scoring then works on nothing that
comes too late, and a gate hears early that a part will have no score.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from inspectd.batching.service_times import ServiceTimes
from inspectd.records import Batch, ClosedBy, Inspection

_NEVER_NS: Final = 1 << 62


_DEVIATIONS: Final = 2.0
"""Beyond the mean that is planned with, once scoring has been busy for longer than a deadline: then something
else is there that can be in time more surely. In a short burst nothing is gained by refusing what may be."""


class Free(NamedTuple):
    """When scoring can begin with what waits."""

    at_ns: int
    variance: float
    """Of that, in square nanoseconds."""
    busy_ns: int
    """For how long it has had something to do without a pause."""
    is_idle: bool
    """It has nothing to do now."""


class BatchPolicy:
    """Groups waiting inspections of one recipe; a batch never mixes recipes.

    A batch is due when it cannot grow, when its most urgent inspection has waited `max_wait_ns` or can wait
    no longer, or when the line drains. With `max_wait_ns` 0 nothing ever waits for company: batches then grow
    only while scoring is busy, which fills them at high load and keeps latency lowest at low load.
    """

    def __init__(self, max_batch: int, max_wait_ns: int, max_queue: int, times: ServiceTimes) -> None:
        """Keep at most `max_queue` inspections waiting, of all recipes together."""
        self._max_batch = max_batch
        self._max_wait_ns = max_wait_ns
        self._max_queue = max_queue
        self._times = times
        self._queues: dict[str, list[Inspection]] = {}  # most urgent first
        self._begun: dict[tuple[str, int], int] = {}  # parts of which scoring has a view, to their deadlines
        self._batches = 0
        self._planned_with = 0  # `ServiceTimes.changes` of the last `shed`
        self._new: list[Inspection] = []  # those that no `shed` has seen
        self._free: Counter[str] = Counter()  # waiting frames of free-running cameras
        self.waiting = 0
        self.latest_start_ns = _NEVER_NS
        """Until then scoring has to be free for all that waits to be in time, as of the last `shed`."""

    def add(self, inspection: Inspection) -> None:
        """Queue an inspection; `shed` says whether it can stay."""
        self._new.append(inspection)
        self._put_back(inspection)

    def discard(self, inspection: Inspection) -> bool:
        """Take an inspection out of its queue; False when it is not waiting (any more)."""
        queue = self._queues.get(inspection.recipe, [])
        place = _place(queue, inspection)
        if place is None:
            return False
        del queue[place]
        self._count(inspection, -1)
        return True

    def discard_all(self) -> list[Inspection]:
        """Take out every waiting inspection."""
        waiting = [inspection for queue in self._queues.values() for inspection in queue]
        for inspection in waiting:
            self._count(inspection, -1)
        self._queues.clear()
        self._new.clear()
        return waiting

    def shed(self, now_ns: int, free: Free) -> list[Inspection]:
        """Take out, and return, what cannot be in time when scoring is free.

        A new one has to leave time for its batch to be filled, unless that is the next: a queue of many small
        batches would be in time and a waste. Where the schedule first breaks, one of those up to there has to
        go. The loss is least if it is a free-running frame, and fair if it is the newest of the camera that
        has most of them waiting. Of triggered parts one that scoring has not begun goes first, the newest,
        and all its views with it. Now and then an idle scoring process gets one of them for a trial: how fast
        it is now is only known by trying.
        """
        gone: list[Inspection] = []
        if not self._new and free.at_ns <= self.latest_start_ns and self._planned_with == self._times.changes:
            return gone  # nothing has changed for the worse
        self._planned_with = self._times.changes
        while self.waiting > self._max_queue:
            gone += self._take_out(
                self._least_loss({name: len(queue) for name, queue in self._queues.items()})
            )
        late_before: Inspection | None = None
        given_up: list[Inspection] = []
        while (broken := self._first_break(free)) is not None:
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
        gone += given_up
        trial = max(gone, key=_urgency) if gone and free.is_idle and not self.waiting else None
        if trial is None or trial.deadline_ns <= now_ns or not self._times.may_try(trial.recipe, now_ns):
            return gone
        self._put_back(trial)
        self.latest_start_ns = free.at_ns  # it waits for no company: late it is anyway
        return [inspection for inspection in gone if inspection is not trial]

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
        due = [
            (_urgency(queue[0]), recipe, size, closed_by)
            for recipe, queue in self._queues.items()
            if queue
            for size in (self._size(queue, 0, free_ns, self._worth_filling(queue[0])),)
            if (closed_by := self._due(recipe, queue, size, now_ns, drain=drain))
            and (closed_by is ClosedBy.FULL or not only_full)
        ]
        if not due:
            return None
        urgency, recipe, size, closed_by = min(due)
        if only_full and urgency > min(_urgency(queue[0]) for queue in self._queues.values() if queue):
            return None
        queue = self._queues[recipe]
        taken = queue[:size]
        del queue[:size]
        for inspection in taken:
            self._count(inspection, -1)
        self._batches += 1
        self._begin(taken, now_ns)
        self._planned_with = -1  # what is left can begin later than the last `shed` found
        opened_ns = min(inspection.opened_ns for inspection in taken)
        return Batch(self._batches, recipe, taken, opened_ns, closed_by)

    def wake_ns(self) -> int | None:
        """When the next batch becomes due at the latest, if scoring is free; None while nothing waits."""
        due = [self._due_ns(recipe, queue) for recipe, queue in self._queues.items() if queue]
        return min(due, default=None)

    # --- the schedule -------------------------------------------------------------------------------------

    def _first_break(self, free: Free) -> tuple[Inspection, dict[str, int]] | None:
        """The first inspection that would be late; how many of each recipe scoring would have up to then."""
        new = [
            (each, place)
            for each in self._new
            if (place := _place(self._queues[each.recipe], each)) is not None
        ]
        self.latest_start_ns = _NEVER_NS
        variance = free.variance
        for step in self._schedule(free.at_ns):
            first = self._queues[step.recipe][step.place]
            spare_ns = first.deadline_ns - step.done_ns
            variance += self._times.deviation_ns(step.recipe, step.size) ** 2
            if free.busy_ns > first.deadline_ns - first.opened_ns:
                spare_ns -= int(_DEVIATIONS * math.sqrt(variance))
            if spare_ns < 0:
                return first, step.crowd
            self.latest_start_ns = min(self.latest_start_ns, free.at_ns + spare_ns)
            for inspection, place in new:
                is_here = inspection.recipe == step.recipe and step.place <= place < step.place + step.size
                if is_here and step.grown_ns > inspection.deadline_ns:
                    return inspection, step.crowd
        return None

    def _schedule(self, free_ns: int) -> Iterator[_Step]:
        """Batches as they would be scored one after another."""
        crowd = dict.fromkeys(self._queues, 0)
        heads = {recipe: _urgency(queue[0]) for recipe, queue in self._queues.items() if queue}
        while heads:
            recipe = min(heads, key=lambda name: heads[name])
            queue, place = self._queues[recipe], crowd[recipe]
            worth_filling = self._worth_filling(queue[place])
            size = self._size(queue, place, free_ns, worth_filling)
            is_next = not place
            grown_ns = free_ns + self._times.expected_ns(recipe, size if is_next else worth_filling)
            free_ns += self._times.expected_ns(recipe, size)
            crowd[recipe] += size
            yield _Step(recipe, place, size, free_ns, grown_ns, crowd)
            if crowd[recipe] < len(queue):
                heads[recipe] = _urgency(queue[crowd[recipe]])
            else:
                del heads[recipe]

    def _size(self, queue: list[Inspection], place: int, free_ns: int, worth_filling: int) -> int:
        """Inspections from `place` on to score together.

        A batch is cut so that its most urgent inspection is in time, but not below half: that would cost more
        than the one it saves.
        """
        first, most = queue[place], min(len(queue) - place, worth_filling)
        within_ns = first.deadline_ns - free_ns
        if self._times.expected_ns(first.recipe, most) <= within_ns:
            return most
        fitting = self._times.fitting(first.recipe, within_ns)
        return fitting if fitting >= most / 2 else most

    def _worth_filling(self, first: Inspection) -> int:
        """Most inspections of a batch: two others may be with scoring when one comes, and all three count.

        Where hardly one is done in a third of the time, those that take no longer with it may still go along.
        """
        third_ns = (first.deadline_ns - first.opened_ns) // 3
        limit = self._times.batch_limit(first.recipe)
        if self._times.expected_ns(first.recipe, limit) <= third_ns:
            return limit
        alone_ns = self._times.expected_ns(first.recipe, 1)
        fitting = self._times.fitting(first.recipe, max(third_ns, alone_ns + alone_ns // 4))
        return max(1, min(limit, fitting))  # a batch of none would end no plan

    # --- what goes ----------------------------------------------------------------------------------------

    def _least_loss(self, crowd: dict[str, int]) -> Inspection:
        """Of the first so many of each recipe, the one that is given up."""
        for waiting in sorted({count for count in self._free.values() if count}, reverse=True):
            cameras = {camera for camera, count in self._free.items() if count == waiting}
            newest = self._newest(crowd, partial(_is_free, cameras))
            if newest is not None:
                return newest
        victim = self._newest(crowd, lambda each: _part(each) not in self._begun) or self._newest(crowd)
        assert victim is not None, "a schedule breaks at one of those it holds"
        return victim

    def _newest(
        self, crowd: dict[str, int], wanted: Callable[[Inspection], bool] = lambda _: True
    ) -> Inspection | None:
        """The least urgent of those that are wanted."""
        found = (
            next((queue[place] for place in range(count - 1, -1, -1) if wanted(queue[place])), None)
            for recipe, count in crowd.items()
            for queue in (self._queues[recipe],)
        )
        return max((each for each in found if each is not None), key=_urgency, default=None)

    def _take_out(self, victim: Inspection) -> list[Inspection]:
        """Take it out, and every other waiting view of its part."""
        part = _part(victim)
        gone = [victim]
        if part is not None:
            gone = [each for queue in self._queues.values() for each in queue if _part(each) == part]
        for inspection in gone:
            self.discard(inspection)
        return gone

    def _put_back(self, inspection: Inspection) -> None:
        insort(self._queues.setdefault(inspection.recipe, []), inspection, key=_urgency)
        self._count(inspection, 1)

    def _count(self, inspection: Inspection, change: int) -> None:
        self.waiting += change
        if inspection.trigger is None:
            self._free[inspection.camera] += change

    def _begin(self, taken: list[Inspection], now_ns: int) -> None:
        while self._begun and next(iter(self._begun.values())) < now_ns:
            del self._begun[next(iter(self._begun))]
        for inspection in taken:
            part = _part(inspection)
            if part is not None:
                self._begun.setdefault(part, inspection.deadline_ns)

    # --- what is due --------------------------------------------------------------------------------------

    def _due(
        self, recipe: str, queue: list[Inspection], size: int, now_ns: int, *, drain: bool
    ) -> ClosedBy | None:
        if size >= self._worth_filling(queue[0]) or size < len(queue):
            return ClosedBy.FULL
        if now_ns >= self._due_ns(recipe, queue):
            return ClosedBy.DEADLINE
        return ClosedBy.DRAIN if drain else None

    def _due_ns(self, recipe: str, queue: list[Inspection]) -> int:
        """When nothing waits for company any more.

        After `max_wait_ns`, or when all that waits, of every recipe, leaves one batch's time to spare.
        """
        longest_ns = queue[0].opened_ns + self._max_wait_ns
        size = min(len(queue), self._worth_filling(queue[0]))
        return min(longest_ns, self.latest_start_ns - self._times.expected_ns(recipe, size))


class _Step(NamedTuple):
    recipe: str
    place: int
    """In its queue, of the first."""
    size: int
    done_ns: int
    grown_ns: int
    """When it would be done if it were filled until its turn comes."""
    crowd: dict[str, int]
    """How many of each recipe are scored by then; it changes with the next step."""


def _place(queue: list[Inspection], inspection: Inspection) -> int | None:
    place = bisect_left(queue, _urgency(inspection), key=_urgency)
    is_there = place < len(queue) and queue[place].inspection_id == inspection.inspection_id
    return place if is_there else None


def _is_free(cameras: set[str], inspection: Inspection) -> bool:
    return inspection.trigger is None and inspection.camera in cameras


def _urgency(inspection: Inspection) -> tuple[int, int]:
    return inspection.deadline_ns, inspection.inspection_id


def _part(inspection: Inspection) -> tuple[str, int] | None:
    trigger = inspection.trigger
    return None if trigger is None else (trigger.trigger_id, trigger.received_ns)
