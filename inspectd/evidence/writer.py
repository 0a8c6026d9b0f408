"""The evidence process's second thread: whatever touches the disk, so that copying never waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd.evidence.messages import Done, Level, SaveEvidence
from inspectd.evidence.pictures import encode_frame, encode_heatmap
from inspectd.evidence.record import FACTS, FRAME, HEATMAP, EvidenceRecord, Facts
from inspectd.evidence.store import EvidenceStore, reason
from inspectd.log import event
from inspectd.records import EvidenceResult

_log: Final = logging.getLogger("inspectd.evidence")

_MAX_WAITING: Final = 4
"""Frames copied and not written yet; more are not taken."""

_LEVEL_SECONDS: Final = 2.0
_HUNG_SECONDS: Final = 10.0
"""Longer at one thing, and the disk counts as hung: a busy one takes a second now and then."""

Piece = tuple[SaveEvidence, NDArray[np.uint8]]


class Writer:
    """Writes pieces in order, looks after the disk between them, and answers each with its result."""

    def __init__(self, store: EvidenceStore) -> None:
        """Write into `store`, which is this thread's alone from now on."""
        self.problem: str | None = None
        """Reason why nothing can be written; None when it can."""
        self._store = store
        self._pieces: queue.Queue[Piece | None] = queue.Queue(_MAX_WAITING)
        self._answers: queue.SimpleQueue[Done | Level] = queue.SimpleQueue()
        self._working_since: float | None = None
        self._level = Level(0, None)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def silent_seconds(self) -> float:
        """Time the thread has been at one thing: a disk that hangs shows here. 0 while it is idle."""
        since = self._working_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def is_full(self) -> bool:
        """True while no more pieces are taken."""
        return self._pieces.full()

    @property
    def is_busy(self) -> bool:
        """True while an answer is to be expected soon."""
        return not self._pieces.empty() or not self._answers.empty()

    def watch(self) -> None:
        """Say that the disk hangs, which the thread cannot; it says itself when the disk is back."""
        if self.problem is None and self.silent_seconds > _HUNG_SECONDS:
            self._say(f"the disk has not answered for {_HUNG_SECONDS:.0f} s", self._level)

    def write(self, piece: Piece) -> None:
        """Take a piece; for a caller that saw that it is not full."""
        self._pieces.put_nowait(piece)

    def answers(self) -> list[Done | Level]:
        """The answers since the last call, in order."""
        return [self._answers.get_nowait() for _ in range(self._answers.qsize())]

    def finish(self) -> None:
        """Write what is waiting, then end; returns when that is done."""
        self._pieces.put(None)
        self._thread.join()

    def _run(self) -> None:
        level_at = 0.0
        while True:
            self._working_since = time.monotonic()
            if self._working_since >= level_at:
                self._measure()
                level_at = time.monotonic() + _LEVEL_SECONDS
            self._working_since = None
            try:
                piece = self._pieces.get(timeout=max(0.0, level_at - time.monotonic()))
            except queue.Empty:
                continue
            if piece is None:
                return
            self._working_since = time.monotonic()
            self._answers.put(Done(piece[0].evidence_id, self._save(*piece)))

    def _save(self, request: SaveEvidence, pixels: NDArray[np.uint8]) -> EvidenceResult:
        if not self._store.is_claimed:  # it was taken before anybody knew: the tree may be another line's
            return EvidenceResult.UNWRITABLE
        facts = msgspec.json.decode(request.facts, type=Facts)
        files = {FRAME: encode_frame(pixels)}
        height, width = pixels.shape[:2]
        picture = None
        if request.heatmap:
            shape = request.heatmap_height, request.heatmap_width
            scores = np.frombuffer(request.heatmap, "<f2").reshape(shape)
            files[HEATMAP], picture = encode_heatmap(scores, request.heatmap_rectangle)
        record = EvidenceRecord(
            facts.verdict, facts.recipe, height, width, picture, facts.measures, facts.detail
        )
        files[FACTS] = msgspec.json.format(msgspec.json.encode(record))
        try:
            self._store.save(facts.verdict, files)
        except OSError as error:
            self._say(reason(error), self._now())
            return EvidenceResult.UNWRITABLE
        return EvidenceResult.SAVED

    def _measure(self) -> None:
        try:
            self._store.claim()
            self._store.probe()
        except OSError as error:
            self._say(reason(error), self._now())
        else:
            self._say(None, self._now())

    def _now(self) -> Level:
        """Of the store, which is the thread's alone."""
        self._level = Level(self._store.used_bytes, None, self._store.stuck)
        return self._level

    def _say(self, problem: str | None, store: Level) -> None:
        if problem != self.problem:
            level, name = (
                (logging.INFO, "evidence_writable")
                if problem is None
                else (logging.ERROR, "evidence_unwritable")
            )
            event(_log, level, name, detail=problem)
        self.problem = problem
        self._answers.put(msgspec.structs.replace(store, problem=problem))
