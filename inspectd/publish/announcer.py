"""Messages about the line as a whole: heartbeats and events on the bus, snapshots to clients that ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from inspectd import wire
from inspectd.config import Config
from inspectd.publish.bus import Bus
from inspectd.publish.journal.journal import Journal
from inspectd.wire.sync import Position, Snapshot


class Health(Protocol):
    """The line's status signal, and why it has that."""

    status: wire.HealthStatus
    conditions: list[wire.HealthCondition]


class Announcer:
    """Publishes heartbeats and events, and makes snapshots."""

    def __init__(self, config: Config, bus: Bus, journal: Journal, reached: Callable[[], Position]) -> None:
        """Publish on `bus`; `reached` gives the last verdict that was published."""
        self._line = config.line
        self._heartbeat_ms = config.publish.heartbeat_ms
        self._bus = bus
        self._journal = journal
        self._reached = reached

    def publish_heartbeat(
        self, state: wire.LineState, counts: wire.Counts, cameras: dict[str, str], health: Health
    ) -> None:
        """Publish a sign of life, with the line's state, health, counts and the last verdict published."""
        line = self._line
        heartbeat = wire.Heartbeat(
            plant=line.plant,
            line=line.name,
            epoch=self._journal.epoch,
            last_seq=self._reached().seq,
            utc_ns=time.time_ns(),
            interval_ms=self._heartbeat_ms,
            state=state,
            counts=counts,
            cameras=cameras,
            journal=self._journal.state,
            health=health.status,
            conditions=health.conditions,
        )
        self._bus.send("-", wire.Kind.HEARTBEAT, heartbeat)

    def make_snapshot(
        self,
        request: str,
        oldest: Position | None,
        state: wire.LineState,
        counts: wire.Counts,
        cameras: dict[str, str],
    ) -> Snapshot:
        """Return the line's state, its counts, and the last and oldest verdicts, for a client that asks."""
        line = self._line
        return Snapshot(
            request=request,
            plant=line.plant,
            line=line.name,
            epoch=self._journal.epoch,
            last_seq=self._reached().seq,
            oldest=oldest,
            state=state,
            journal=self._journal.state,
            interval_ms=self._heartbeat_ms,
            counts=counts,
            cameras=cameras,
        )

    def publish_event(
        self,
        severity: str,
        name: str,
        counts: wire.Counts,
        *,
        camera: str | None,
        process: str | None = None,
        detail: str,
    ) -> None:
        """Publish an event; unlike `alarms.EmitEvent` it is not logged."""
        line = self._line
        event = wire.Event(
            plant=line.plant,
            line=line.name,
            epoch=self._journal.epoch,
            utc_ns=time.time_ns(),
            severity=severity,
            event=name,
            camera=camera,
            detail=detail,
            counts=counts,
            process=process,
        )
        self._bus.send(camera or "-", wire.Kind.EVENT, event)
