"""What scoring would do with what waits: one batch after another. Pure: time is handed in.

A plan of everything that waits costs as much as there is of it, and under overload frames come many times as
fast as scoring works. So a plan is kept, and only what comes after a change in the queues is planned again.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from inspectd.batching.service_times import ServiceTimes
from inspectd.records import Inspection

NEVER_NS: Final = 1 << 62

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


class Break(NamedTuple):
    """Where a schedule fails."""

    late: Inspection
    """The first that would be late."""
    crowd: dict[str, int]
    """How many of each recipe scoring would have up to it."""


class _Step(NamedTuple):
    """One batch of the schedule, and what holds for it and all before it.

    Places and times count from when the plan was last made anew; `Schedule` takes off what was taken since.
    """

    recipe: str
    urgency: tuple[int, int]
    """Of its first inspection; in the order of these the steps follow each other."""
    end: int
    """In its queue, after the last."""
    took_ns: int
    """From when scoring is free until it is done."""
    variance: float
    latest_start_ns: int
    """Until then scoring has to be free for all of them to be in time."""


class Schedule:
    """The batches of what waits, as far as all of them are in time.

    Args:
        queues: what waits of each recipe, the most urgent first. Whoever changes one calls `changed` after.
        times: what a batch is expected to take.
    """

    def __init__(self, queues: Mapping[str, Sequence[Inspection]], times: ServiceTimes) -> None:
        self._queues = queues
        self._times = times
        self._steps: deque[_Step] = deque()
        self._taken: Counter[str] = Counter()  # of each recipe, since the plan was made anew
        self._taken_ns = 0
        self._is_whole = False  # the steps hold all that waits

    def clear(self) -> None:
        """Forget the plan: batches take another time, or scoring is free at another."""
        self._steps.clear()
        self._taken.clear()
        self._taken_ns = 0
        self._is_whole = False

    def take(self, recipe: str, size: int) -> bool:
        """Note that scoring got the first so many of a recipe; True if the plan holds all that is left."""
        first = self._steps[0] if self._is_whole and self._steps else None
        if first is None or first.recipe != recipe or first.end - self._taken[recipe] != size:
            self.clear()
            return False
        self._steps.popleft()
        self._taken[recipe] += size
        self._taken_ns = first.took_ns
        return True

    def changed(self, inspection: Inspection, place: int) -> None:
        """Forget the plan from where `inspection` was put in or taken out, at `place` of its queue."""
        urgency, place, going = urgency_of(inspection), place + self._taken[inspection.recipe], 0
        for count, step in enumerate(reversed(self._steps), 1):
            is_own = step.recipe == inspection.recipe
            if step.urgency > urgency or (is_own and step.end >= place):  # at its end it may grow
                going = count
            elif is_own:
                break
        for _ in range(going):
            self._steps.pop()
        self._is_whole = False

    def first_break(self, free: Free, new: Sequence[Inspection]) -> Break | None:
        """Where the schedule fails; None: all that waits is in time.

        Args:
            free: when scoring is.
            new: those that no plan has seen; each has to leave time for its batch to be filled.
        """
        if self.latest_start_ns < free.at_ns:
            self.clear()
        places = [(each, find_place(self._queues[each.recipe], each)) for each in new]
        began_ns = free.at_ns - self._taken_ns
        last = self._steps[-1] if self._steps else None
        variance = last.variance if last else free.variance
        latest_ns = last.latest_start_ns if last else NEVER_NS
        took_ns = last.took_ns if last else self._taken_ns
        for recipe, place, size in self._batches(began_ns + took_ns):
            first = self._queues[recipe][place]
            before_ns = took_ns
            took_ns += self._times.expected_ns(recipe, size)
            variance += self._times.deviation_ns(recipe, size) ** 2
            spare_ns = first.deadline_ns - began_ns - took_ns
            if free.busy_ns > first.deadline_ns - first.opened_ns:
                spare_ns -= int(_DEVIATIONS * math.sqrt(variance))
            late = first if spare_ns < 0 else None
            if late is None and places:
                filled_ns = before_ns + self._times.expected_ns(
                    recipe, size if not place else self.worth_filling(first)
                )
                here = (
                    e for e, at in places if e.recipe == recipe and at is not None and 0 <= at - place < size
                )
                late = next((each for each in here if began_ns + filled_ns > each.deadline_ns), None)
            if late is not None:
                return Break(late, {**self._planned(), recipe: place + size})
            latest_ns = min(latest_ns, began_ns + spare_ns)
            end = place + size + self._taken[recipe]
            self._steps.append(_Step(recipe, urgency_of(first), end, took_ns, variance, latest_ns))
        self._is_whole = True
        return None

    @property
    def latest_start_ns(self) -> int:
        """Until then scoring has to be free for all that is planned to be in time; or somewhat earlier."""
        return self._steps[-1].latest_start_ns + self._taken_ns if self._steps else NEVER_NS

    def size(self, queue: Sequence[Inspection], place: int, free_ns: int) -> int:
        """Inspections from `place` on to score together.

        A batch is cut so that its most urgent inspection is in time, but not below half: that would cost more
        than the one it saves.
        """
        first = queue[place]
        most = min(len(queue) - place, self.worth_filling(first))
        within_ns = first.deadline_ns - free_ns
        if self._times.expected_ns(first.recipe, most) <= within_ns:
            return most
        fitting = self._times.fitting(first.recipe, within_ns)
        return fitting if fitting >= most / 2 else most

    def worth_filling(self, first: Inspection) -> int:
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

    def _batches(self, done_ns: int) -> Iterator[tuple[str, int, int]]:
        """Recipe, place and size of each batch after the steps there are, which are done at `done_ns`."""
        places = self._planned()
        heads = {
            recipe: urgency_of(queue[place])
            for recipe, queue in self._queues.items()
            if (place := places.setdefault(recipe, 0)) < len(queue)
        }
        while heads:
            recipe = min(heads, key=heads.__getitem__) if len(heads) > 1 else next(iter(heads))
            queue, place = self._queues[recipe], places[recipe]
            size = self.size(queue, place, done_ns)
            yield recipe, place, size
            done_ns += self._times.expected_ns(recipe, size)
            places[recipe] = place = place + size
            if place < len(queue):
                heads[recipe] = urgency_of(queue[place])
            else:
                del heads[recipe]

    def _planned(self) -> dict[str, int]:
        """How many of each recipe the steps hold."""
        ends = {step.recipe: step.end for step in self._steps}
        return {recipe: end - self._taken[recipe] for recipe, end in ends.items()}


def urgency_of(inspection: Inspection) -> tuple[int, int]:
    """What goes first: the earlier deadline, then who came first."""
    return inspection.deadline_ns, inspection.inspection_id


def find_place(queue: Sequence[Inspection], inspection: Inspection) -> int | None:
    """Its place in a queue in order of urgency; None when it is not there."""
    place = bisect_left(queue, urgency_of(inspection), key=urgency_of)
    is_there = place < len(queue) and queue[place].inspection_id == inspection.inspection_id
    return place if is_there else None
