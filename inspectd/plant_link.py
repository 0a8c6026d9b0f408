"""The line's side towards the plant: bus, journal, metrics endpoint, and what is said there beside verdicts.

Verdicts themselves go through `PlantLink.publishing`, as `inspectd.service` shows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from inspectd.alarms import AccessWatch, DoorWatch
from inspectd.batching.stage import BatchingStage
from inspectd.capture.stage import CameraStage
from inspectd.config import Config
from inspectd.ipc.poller import Poller
from inspectd.log import event, lines_dropped
from inspectd.metrics import Metrics, MetricsServer
from inspectd.publish.announcer import Announcer
from inspectd.publish.bus import Asker, Bus
from inspectd.publish.control import ControlStage
from inspectd.publish.door.messages import Delivered, DoorLevels, Request
from inspectd.publish.journal.journal import Journal
from inspectd.publish.stage import PublishStage
from inspectd.publish.sync import SyncStage
from inspectd.wire import Accepted, Counts, Refusal, TriggerRequest
from inspectd.wire.sync import Position, Snapshot

_log: Final = logging.getLogger("inspectd.service")
"""Every event is the service's in the log, whichever file says it."""

_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "alarm": logging.ERROR}


class PlantLink:
    """Opens what the plant connects to, and tells it how the line is."""

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        batching: BatchingStage,
        cameras: Mapping[str, CameraStage],
        *,
        state: Callable[[], str],
        admit: Callable[[TriggerRequest, int], Accepted | Refusal],
        pass_by: Callable[[int, int | None], None],
        clock: Callable[[], int],
        runtime_dir: Path,
        stack: ExitStack,
    ) -> None:
        """Bind the bus and the metrics endpoint and begin to open the journal. Start `bus.doors` then.

        Args:
            config: the line's.
            metrics: counts everything, and is what the endpoint serves.
            batching: where counts and levels are read.
            cameras: by name; their phases and rings are told.
            state: where the line is in its life, as heartbeats say it.
            admit: gives the answer to a trigger and to when it came at the earliest, in ns.
            pass_by: hears from when, and until when if that is not now, triggers may have come that nobody
                can read.
            clock: monotonic, in nanoseconds.
            runtime_dir: an existing directory for the local sockets.
            stack: undoes all of it in reverse order.

        Raises:
            InputError: a key, certificate or users file cannot be used.
            UnavailableError: an endpoint cannot be bound.
        """
        line, keys_dir = config.line, config.security.keys_dir
        self._pass_by = pass_by
        self._metrics = metrics
        self._batching = batching
        self._cameras = cameras
        self._state = state
        self._restarted = 0
        self._interval_ns = int(config.publish.heartbeat_ms * 1e6)
        self._heartbeat_due_ns = 0
        self._log_dropped = 0
        self.access = AccessWatch(config, metrics, self.event)
        self._doors = DoorWatch(metrics, self.event)
        self.bus = Bus(
            config.publish, runtime_dir, line.plant, line.name, metrics.published,
            receiver=self, keys_dir=Path(keys_dir) if keys_dir else None,
        )  # fmt: skip
        stack.callback(self.bus.close)
        self.journal = Journal(
            config.state_path, config.journal, observer=metrics,
            say=lambda severity, name, detail: self.event(severity, name, detail=detail),
            remind=self._remind, clock=clock,
        )  # fmt: skip
        stack.callback(self.journal.close)
        self.publishing = PublishStage(config, self.bus, metrics, self.journal)
        self._announcer = Announcer(config, self.bus, self.journal, self.publishing.reached)
        self._control = ControlStage(
            self.bus, admit, lambda came_ns: pass_by(came_ns, None), self.journal.when_recorded, metrics
        )
        self._sync = SyncStage(
            self.bus, self.journal, self.publishing.reached, self._snapshot, metrics, clock=clock
        )
        if config.metrics.port:
            server = MetricsServer(
                metrics.registry, config.metrics, lambda: metrics.auth_failed("metrics", "password")
            )
            stack.callback(server.close)

    # --- what doors say (publish.bus.DoorReceiver) ---------------------------------------------------------

    def request(self, door: str, request: Request, now_ns: int) -> None:  # noqa: ARG002
        """A client sent something."""
        asker = Asker(door, request.client)
        if request.socket == "control":
            self._control.take(asker, request)
        else:
            self._sync.take(asker, request)

    def delivered(self, door: str, delivered: Delivered) -> None:  # noqa: ARG002 - tickets are one series
        """A replay's message was taken, or will not be."""
        self._sync.delivered(delivered)

    def door_levels(self, door: str, before: DoorLevels | None, levels: DoorLevels) -> None:
        """How a door stands."""
        self._doors.levels(door, before, levels)
        if door == "tcp":
            self.access.levels(levels)

    def door_lost(self, door: str) -> None:
        """A door is gone with its clients."""
        self._doors.lost(door)
        self._sync.door_lost(door)

    def triggers_lost(self, from_ns: int, until_ns: int) -> None:
        """Triggers that were sent meanwhile are lost with a door."""
        self._pass_by(from_ns, until_ns)

    # --- the line's ----------------------------------------------------------------------------------------

    def await_journal(self, poller: Poller) -> None:
        """Wait for the journal, for a few seconds at most, and give what an earlier start owed its verdicts.

        Raises:
            UnavailableError: another daemon uses it.
        """
        self.journal.await_open()
        poller.add(self.journal, self.journal.take_results)
        self._close_restarted()

    def turn(self, now_ns: int) -> None:
        """Record and publish what is due."""
        self.bus.flush()
        self.journal.turn(now_ns)
        if self.journal.unfinished:  # it was opened late
            self._close_restarted()

    def beat(self, now_ns: int) -> None:
        """Send a heartbeat and measure the levels, if it is time to."""
        if now_ns >= self._heartbeat_due_ns:
            self._heartbeat_due_ns = now_ns + self._interval_ns
            self.heartbeat()
            self._measure_levels()

    def wake_ns(self, now_ns: int) -> int:
        """When `turn` or `beat` has something to do."""
        due_ns = self._heartbeat_due_ns
        return min(due_ns, self.journal.wake_ns() or due_ns, self.bus.wake_ns(now_ns) or due_ns)

    def watch(self, now_ns: int) -> None:
        """Tell of what was seen at the doors."""
        self.access.watch(now_ns)
        self._doors.watch(now_ns)

    def event(self, severity: str, name: str, *, camera: str | None = None, detail: str) -> None:
        """Say something a person may want to know, on the bus and in the log."""
        event(_log, _LEVELS[severity], name, camera=camera, detail=detail or None)
        self._announcer.event(severity, name, self._counts(), camera=camera, detail=detail)

    def heartbeat(self) -> None:
        """Say that the line is alive, where it is in its life, and how far it got."""
        self._announcer.heartbeat(self._state(), self._counts(), self._phases())

    def _measure_levels(self) -> None:
        """Show in the metrics how full everything is."""
        self._metrics.levels(
            inspections_open=self._batching.ledger.in_flight,
            waiting=self._batching.waiting,
            scoring=self._batching.scoring,
            triggers_open=self._batching.triggering.parts.open,
        )
        for name, camera in self._cameras.items():
            self._metrics.ring(name, held=camera.slots_in_use, slots=camera.camera.slots)
        for socket, count in self.bus.subscriptions().items():
            self._metrics.subscriptions(socket, count)
        for side, door in self.bus.doors.items():
            self._metrics.door_lost_messages(side, door.lost_messages)
            door.lost_messages = 0
        dropped = lines_dropped()
        self._metrics.log_lines_dropped(dropped - self._log_dropped)
        self._log_dropped = dropped

    def _close_restarted(self) -> None:
        """Give a verdict to everything that an earlier start left open."""
        closed = self.publishing.restarted()
        self._restarted += closed
        if closed:
            self._metrics.restarted_verdicts(closed)
            self.event("warning", "restarted", detail=f"{closed} verdicts were owed when the line ended")

    def _remind(self, name: str, detail: str) -> None:
        """An alarm still holds; readers that came meanwhile have not heard it. The log has it already."""
        self._announcer.event("alarm", name, self._counts(), camera=None, detail=detail)

    def _snapshot(self, request: str, oldest: Position | None) -> Snapshot:
        return self._announcer.snapshot(request, oldest, self._state(), self._counts(), self._phases())

    def _phases(self) -> dict[str, str]:
        return {name: str(camera.phase) for name, camera in self._cameras.items()}

    def _counts(self) -> Counts:
        ledger = self._batching.ledger
        parts = self._batching.triggering.parts
        return Counts(
            ledger.captured, ledger.closed, ledger.drops, ledger.in_flight,
            ledger.missed, parts.accepted, parts.closed, parts.open,
            self._restarted,
        )  # fmt: skip
