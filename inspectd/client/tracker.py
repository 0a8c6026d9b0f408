"""Follows one line for one reader: numbering, gaps, heartbeats. Pure: time is handed in."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from inspectd.client.clock import clock_seconds
from inspectd.wire import Event, Heartbeat, PartVerdict, Verdict

MISSED_HEARTBEATS: Final = 3
"""So many heartbeats in a row without one arriving make a line stale."""


class Liveness(StrEnum):
    """State of a line as a reader sees it. Only `alive` may let a part through."""

    WAITING = "waiting"
    """No heartbeat came yet."""
    ALIVE = "alive"
    STALE = "stale"
    """Heartbeats stopped, and the daemon had not announced it."""
    STOPPED = "stopped"
    """The daemon announced its end."""


class LineTracker:
    """Record of what one reader has received of one line: its numbering, its gaps, its heartbeats.

    Args:
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = clock_seconds) -> None:
        self.epoch: int | None = None
        self.last_seq = 0
        self.received = 0
        """Verdicts received, without duplicates."""
        self.missed = 0
        """Verdicts that were published while this reader was connected and never arrived."""
        self.duplicates = 0
        self.heartbeat: Heartbeat | None = None
        self._heartbeat_at = 0.0
        self._stopped: int | None = None
        """The epoch that was announced to end, while nothing came of another."""
        self._clock = clock

    def see_verdict(self, verdict: Verdict | PartVerdict) -> bool:
        """Count a verdict; False if it was received before."""
        if verdict.epoch == self.epoch and verdict.seq <= self.last_seq:
            self.duplicates += 1
            return False
        self._reach(verdict.epoch, verdict.seq, before=verdict.seq - 1)
        self.received += 1
        return True

    def see_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Note a sign of life; a `last_seq` ahead of the verdicts received shows a loss at the tail."""
        self._reach(heartbeat.epoch, heartbeat.last_seq, before=heartbeat.last_seq)
        self.heartbeat = heartbeat
        self._heartbeat_at = self._clock()

    def see_event(self, event: Event) -> None:
        """Note a stop, which is not the same as silence."""
        self._stopped = event.epoch if event.event == "stopped" else None

    @property
    def liveness(self) -> Liveness:
        """The line's state now, by its heartbeats and its last event."""
        if self._stopped is not None:
            return Liveness.STOPPED
        if self.heartbeat is None:
            return Liveness.WAITING
        overdue = self.silent_seconds * 1000 > MISSED_HEARTBEATS * self.heartbeat.interval_ms
        return Liveness.STALE if overdue else Liveness.ALIVE

    @property
    def silent_seconds(self) -> float:
        """Time since the last heartbeat; 0 before the first."""
        return 0.0 if self.heartbeat is None else self._clock() - self._heartbeat_at

    def _reach(self, epoch: int, seq: int, before: int) -> None:
        """Move to `seq`; every number up to `before` that was not received is missed."""
        if self.epoch is None:
            # What was published before this reader came was never its to receive.
            self.last_seq = before
        elif epoch != self.epoch:
            self.last_seq = 0
        if epoch != self._stopped:
            self._stopped = None
        self.epoch = epoch
        self.missed += max(0, before - self.last_seq)
        self.last_seq = max(self.last_seq, seq)
