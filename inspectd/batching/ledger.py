"""The ledger of open inspections and their deadlines. Pure: time is handed in.

It is what makes "exactly one verdict" true: an inspection can be closed once, and whoever closes it publishes
its verdict. Always `captured + further = closed + drops + in_flight`: a frame of a camera with regions has an
inspection for each, all but the first of them further ones.
"""

from __future__ import annotations

import heapq

import msgspec

from inspectd.records import UNSET, CameraSettings, FrameRef, Inspection, JudgedBy, PendingView


class Ledger:
    """Open inspections, and the count of where every captured frame went."""

    def __init__(self) -> None:
        """Start empty; inspection ids count up from 1."""
        self._open: dict[int, Inspection] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._last_id = 0
        self.captured = 0
        self.further = 0
        """Inspections opened beyond the first of their frame."""
        self.closed = 0
        self.drops = 0
        self.untriggered = 0
        """Of `drops`, the frames that no trigger claimed."""
        self.held = 0
        """Frames that wait until it is certain whose they are."""
        self.missed = 0
        """Verdicts of views for which no frame came; `closed` does not count these."""

    @property
    def in_flight(self) -> int:
        """Open inspections, and frames that are held."""
        return len(self._open) + self.held

    def new_id(self) -> int:
        """The next inspection's id."""
        self._last_id += 1
        return self._last_id

    def open(
        self,
        frame: FrameRef,
        recipe: str,
        deadline_ns: int,
        judged_by: JudgedBy | None,
        now_ns: int,
        *,
        camera_settings: CameraSettings = UNSET,
        is_further: bool = False,
    ) -> Inspection:
        """Open an inspection of a captured frame, the first or a further one; owed at `deadline_ns`."""
        self.captured += not is_further
        self.further += is_further
        return self._add(
            Inspection(self.new_id(), frame, recipe, now_ns, deadline_ns, judged_by, camera_settings)
        )

    def hold(self) -> None:
        """Count a captured frame that may be wanted by a trigger."""
        self.captured += 1
        self.held += 1

    def open_view(
        self,
        view: PendingView,
        held: FrameRef,
        judged_by: JudgedBy | None,
        now_ns: int,
        *,
        is_further: bool = False,
    ) -> Inspection:
        """Open an inspection of a held frame under the id of the view that waited for it."""
        self.held -= not is_further
        self.further += is_further
        frame = msgspec.structs.replace(held, trigger=view.trigger, region=view.region)
        return self._add(
            Inspection(
                view.inspection_id,
                frame,
                view.recipe,
                now_ns,
                view.deadline_ns,
                judged_by,
                view.camera_settings,
            )
        )

    def drop_held(self) -> None:
        """Count a held frame that no trigger claims as a drop."""
        self.held -= 1
        self.drops += 1
        self.untriggered += 1

    def miss(self) -> None:
        """Count a view that is closed without a frame."""
        self.missed += 1

    def drop(self) -> None:
        """Count a captured frame that was lost before an inspection could be opened."""
        self.captured += 1
        self.drops += 1

    def is_open(self, inspection_id: int) -> bool:
        """Whether an inspection has no verdict yet."""
        return inspection_id in self._open

    def close(self, inspection_id: int) -> Inspection | None:
        """Close an inspection; None when it is closed already. The caller owes the verdict."""
        inspection = self._open.pop(inspection_id, None)
        if inspection is not None:
            self.closed += 1
        return inspection

    def expired(self, now_ns: int) -> list[Inspection]:
        """Inspections still open whose deadline is at or before `now_ns`; they stay open."""
        due = []
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            _, inspection_id = heapq.heappop(self._deadlines)
            if inspection_id in self._open:
                due.append(self._open[inspection_id])
        return due

    def all_open(self) -> list[Inspection]:
        """Every inspection without a verdict, oldest first."""
        return list(self._open.values())

    def next_deadline_ns(self) -> int | None:
        """The earliest deadline of an open inspection; None when none is open."""
        while self._deadlines and self._deadlines[0][1] not in self._open:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _add(self, inspection: Inspection) -> Inspection:
        self._open[inspection.inspection_id] = inspection
        heapq.heappush(self._deadlines, (inspection.deadline_ns, inspection.inspection_id))
        return inspection
