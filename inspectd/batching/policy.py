"""When inspections leave for the scoring process, and together with which. Pure: time is handed in."""

from __future__ import annotations

from inspectd.records import Batch, ClosedBy, Inspection


class BatchPolicy:
    """Groups waiting inspections of one recipe; a batch never mixes recipes.

    A batch is due when it is full, when its oldest inspection has waited `max_wait_ns`, or when the line
    drains. With `max_wait_ns` 0 nothing ever waits for company: batches then grow only while the scoring
    process is busy, which fills them at high load and keeps latency lowest at low load.
    """

    def __init__(self, max_batch: int, max_wait_ns: int, max_queue: int) -> None:
        """Keep at most `max_queue` inspections waiting, of all recipes together."""
        self._max_batch = max_batch
        self._max_wait_ns = max_wait_ns
        self._max_queue = max_queue
        self._queues: dict[str, dict[int, Inspection]] = {}
        self._batches = 0
        self.waiting = 0

    def add(self, inspection: Inspection) -> bool:
        """Queue an inspection; False when the queue is full and the inspection was not taken."""
        if self.waiting >= self._max_queue:
            return False
        self._queues.setdefault(inspection.recipe, {})[inspection.inspection_id] = inspection
        self.waiting += 1
        return True

    def discard(self, inspection: Inspection) -> bool:
        """Take an inspection out of its queue; False when it is not waiting (any more)."""
        if self._queues.get(inspection.recipe, {}).pop(inspection.inspection_id, None) is None:
            return False
        self.waiting -= 1
        return True

    def discard_all(self) -> list[Inspection]:
        """Take out every waiting inspection."""
        waiting = [inspection for queue in self._queues.values() for inspection in queue.values()]
        self._queues.clear()
        self.waiting = 0
        return waiting

    def next_batch(self, now_ns: int, *, drain: bool = False, only_full: bool = False) -> Batch | None:
        """The batch that is due at `now_ns`, or None; the recipe that waits longest goes first.

        Args:
            now_ns: the time.
            drain: nothing waits for company any more.
            only_full: give a full batch or none.
        """
        due = [
            (oldest.opened_ns, recipe, closed_by)
            for recipe, queue in self._queues.items()
            if queue
            for oldest in (next(iter(queue.values())),)
            if (closed_by := self._due(len(queue), oldest.opened_ns, now_ns, drain=drain))
            and (closed_by is ClosedBy.FULL or not only_full)
        ]
        if not due:
            return None
        opened_ns, recipe, closed_by = min(due)
        queue = self._queues[recipe]
        taken = [queue.pop(key) for key in list(queue)[: self._max_batch]]
        self.waiting -= len(taken)
        self._batches += 1
        return Batch(self._batches, recipe, taken, opened_ns, closed_by)

    def wake_ns(self) -> int | None:
        """When the next batch becomes due at the latest; None while nothing waits."""
        opened = [next(iter(queue.values())).opened_ns for queue in self._queues.values() if queue]
        return min(opened) + self._max_wait_ns if opened else None

    def _due(self, size: int, opened_ns: int, now_ns: int, *, drain: bool) -> ClosedBy | None:
        if size >= self._max_batch:
            return ClosedBy.FULL
        if now_ns - opened_ns >= self._max_wait_ns:
            return ClosedBy.DEADLINE
        return ClosedBy.DRAIN if drain else None
