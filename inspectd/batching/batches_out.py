"""The batches that are with scoring, and when it will have done them. Pure: time is handed in."""

from __future__ import annotations

from dataclasses import dataclass

from inspectd.batching.schedule import Free
from inspectd.batching.service_times import ServiceTimes
from inspectd.records import Batch, Inspection


@dataclass
class _BatchOut:
    recipe: str
    size: int
    owed: dict[int, Inspection]
    """What it has not answered, by inspection id."""
    is_scored: bool = True
    """Every answer was a score, so that the time it took says how long scoring takes."""


class BatchesOut:
    """What scoring works on, one batch after another; every batch that it answers teaches `ServiceTimes`.

    Args:
        times: what a batch is expected to take.
        most: batches that may be with scoring at once; more would only wait there, out of reach of deadlines.
    """

    def __init__(self, times: ServiceTimes, most: int) -> None:
        self._times = times
        self._most = most
        self._batches: dict[int, _BatchOut] = {}  # in the order in which scoring works on them
        self._began_ns = 0  # when scoring was free for the first of them
        self._busy_since_ns = 0

    def __bool__(self) -> bool:
        """True while scoring has something to do."""
        return bool(self._batches)

    @property
    def has_room(self) -> bool:
        """Whether another batch may be sent."""
        return len(self._batches) < self._most

    @property
    def owed(self) -> int:
        """Inspections that scoring has not answered."""
        return sum(len(batch.owed) for batch in self._batches.values())

    def add(self, batch: Batch, now_ns: int) -> None:
        """Take in a batch that was sent."""
        if not self._batches:
            self._began_ns = now_ns
        owed = {inspection.inspection_id: inspection for inspection in batch.inspections}
        self._batches[batch.batch_id] = _BatchOut(batch.recipe, len(owed), owed)

    def take_out(
        self, batch_id: int, inspection_id: int, now_ns: int, *, has_score: bool
    ) -> Inspection | None:
        """Take an inspection out that was answered; None when no such answer is owed."""
        batch = self._batches.get(batch_id)
        if batch is None or inspection_id not in batch.owed:
            return None
        inspection = batch.owed.pop(inspection_id)
        batch.is_scored &= has_score
        if not batch.owed:
            is_first = next(iter(self._batches)) == batch_id
            del self._batches[batch_id]
            if is_first:  # of one that overtakes it is unknown when it began
                if batch.is_scored:
                    self._times.learn(batch.recipe, batch.size, now_ns - self._began_ns, now_ns)
                self._began_ns = now_ns
        return inspection

    def take_all(self) -> list[Inspection]:
        """Take out everything: it will not be answered any more."""
        batches, self._batches = self._batches, {}
        return [inspection for batch in batches.values() for inspection in batch.owed.values()]

    def begin(self, now_ns: int) -> None:
        """Note that something comes after a pause, if scoring has nothing to do."""
        if not self._batches:
            self._busy_since_ns = now_ns

    def free(self, now_ns: int) -> Free:
        """When scoring has done all of them; what it is late with is expected at any moment."""
        free_ns, variance = self._began_ns, 0.0
        for batch in self._batches.values():
            free_ns = max(now_ns, free_ns + self._times.expected_ns(batch.recipe, batch.size))
            variance += self._times.deviation_ns(batch.recipe, batch.size) ** 2
        return Free(max(now_ns, free_ns), variance, now_ns - self._busy_since_ns)
