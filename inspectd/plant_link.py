"""The line's side towards the plant: bus, journal, metrics endpoint, and what goes out there beside verdicts.

Verdicts themselves go through `PlantLink.publishing`, as `inspectd.service` shows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

import msgspec

from inspectd import __version__
from inspectd.alarms import AccessWatch, DoorWatch, EvidenceWatch
from inspectd.batching.stage import BatchingStage
from inspectd.capture.stage import CameraStage
from inspectd.config import Config
from inspectd.health import HealthWatch
from inspectd.ipc.poller import Poller
from inspectd.ipc.ring import FrameRing
from inspectd.line_status import LineLife, StatusTeller
from inspectd.log import event, lines_dropped
from inspectd.metrics import Metrics
from inspectd.metrics_server import MetricsServer
from inspectd.publish.announcer import Announcer
from inspectd.publish.bus import Asker, Bus
from inspectd.publish.control import ControlStage, RequestEvents, TriggerEvents
from inspectd.publish.door.messages import Delivered, DoorLevels, Request
from inspectd.publish.journal.journal import Journal
from inspectd.publish.journal.pending import group_every_ns
from inspectd.publish.stage import PublishStage
from inspectd.publish.sync import SyncStage
from inspectd.recipes.book import RecipeBook
from inspectd.wire import Counts, RefusalReason, Verdict
from inspectd.wire.sync import Position, Snapshot

_log: Final = logging.getLogger("inspectd.service")
"""Every event is the service's in the log, whichever file it comes from."""

_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "alarm": logging.ERROR}


class LineAnswers(TriggerEvents, RequestEvents, LineLife, Protocol):
    """The line as the plant's requests need it: it answers them and says where it is in its life."""

    def rings(self) -> list[tuple[str, FrameRing]]:
        """Every ring a frame may lie in, with its camera."""


class PlantLink:
    """Opens what the plant connects to; sends it events, heartbeats and snapshots."""

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        line: LineAnswers,
        batching: BatchingStage,
        cameras: Mapping[str, CameraStage],
        *,
        book: RecipeBook,
        clock: Callable[[], int],
        runtime_dir: Path,
        stack: ExitStack,
    ) -> None:
        """Bind the bus and the metrics endpoint and begin to open the journal. Start `bus.doors` then.

        Args:
            config: the line's.
            metrics: counts everything, and is what the endpoint serves.
            line: answers triggers, once the loop turns.
            batching: where counts and levels are read.
            cameras: by name; where phases and levels are read.
            book: where the recipe in force is read.
            clock: monotonic, in nanoseconds.
            runtime_dir: an existing directory for the local sockets.
            stack: undoes all of it in reverse order.

        Raises:
            InputError: a key, certificate or users file cannot be used.
            UnavailableError: an endpoint cannot be bound.
        """
        keys_dir = config.security.keys_dir
        self._line = line
        self._clock = clock
        self._metrics = metrics
        self._batching = batching
        self._cameras = cameras
        self._runtime_dir = runtime_dir
        self._restarted = 0
        self._interval_ns = int(config.publish.heartbeat_ms * 1e6)
        self._heartbeat_due_ns = 0
        self._log_dropped = 0
        self._access = AccessWatch(config, metrics, self.emit)
        self._doors = DoorWatch(metrics, self.emit)
        self.bus = Bus(
            config.publish, runtime_dir, config.line.plant, config.line.name, metrics.published,
            events=self, is_triggered=any(camera.mode == "triggered" for camera in config.cameras),
            keys_dir=Path(keys_dir) if keys_dir else None,
        )  # fmt: skip
        stack.callback(self.bus.close)
        self.journal = Journal(
            config.state_path, config.journal, plant=config.line.plant, line=config.line.name,
            observer=metrics,
            say=lambda severity, name, detail: self.emit(severity, name, detail=detail),
            remind=self._remind, group_every_ns=group_every_ns(config.deadlines_ns.values()), clock=clock,
        )  # fmt: skip
        stack.callback(self.journal.close)
        self.publishing = PublishStage(config, self.bus, metrics, self.journal)
        self._announcer = Announcer(config, self.bus, self.journal, self.publishing.reached)
        self._health = HealthWatch(
            [place for camera in config.cameras for place in camera.places], metrics, self.emit, clock
        )
        self._control = ControlStage(
            self.bus,
            line,
            line,
            self.journal.when_recorded,
            self,
            line=f"{config.line.plant}/{config.line.name}",
        )
        self.evidence = EvidenceWatch(config.evidence.quota_mb, metrics, self.emit, line.rings)
        self._teller = StatusTeller(
            config, line, batching, cameras, book,
            bus=self.bus, journal=self.journal, evidence=self.evidence, health=self._health,
        )  # fmt: skip
        self._sync = SyncStage(
            self.bus, self.journal, self.publishing.reached, self._snapshot, metrics,
            status=self._teller.status, clock=clock,
        )  # fmt: skip
        if config.metrics.port:
            server = MetricsServer(
                metrics.registry, config.metrics, lambda: metrics.auth_failed("metrics", "password")
            )
            stack.callback(server.close)

    # --- what doors report (publish.bus.DoorEvents) --------------------------------------------------------

    def on_request(self, door: str, request: Request, now_ns: int) -> None:  # noqa: ARG002
        """Answer a client."""
        asker = Asker(door, request.client)
        if request.socket == "control":
            self._control.take(asker, request)
        else:
            self._sync.take(asker, request)

    def trigger(self, refusal: RefusalReason | None) -> None:
        """Count the answer to a trigger (`publish.control.ControlMetrics`)."""
        self._metrics.trigger(refusal)
        if refusal is not None and refusal is not RefusalReason.SHUTTING_DOWN:
            self._health.refused.add(refusal, self._clock())

    def on_delivered(self, door: str, delivered: Delivered) -> None:  # noqa: ARG002 - tickets are one series
        """Go on with the replay that the message was part of."""
        self._sync.delivered(delivered)

    def on_door_levels(self, door: str, before: DoorLevels | None, levels: DoorLevels) -> None:
        """Count and watch what a door reports."""
        self._doors.on_levels(door, before, levels)
        if door == "tcp":
            self._access.on_levels(levels)

    def on_door_lost(self, door: str) -> None:
        """Forget a door's clients."""
        self._doors.on_lost(door)
        self._sync.door_lost(door)

    def on_triggers_lost(self, from_ns: int, until_ns: int) -> None:
        """Keep frames of the parts whose triggers were lost with a door from older triggers."""
        self._line.pass_by(from_ns, until_ns)

    # --- the line's ----------------------------------------------------------------------------------------

    def announce_start(self) -> None:
        """Emit that the line has started, and warn of exposed endpoints."""
        detail = f"inspectd {__version__}, verdicts at ipc://{self._runtime_dir}/verdicts.sock"
        self.emit("info", "started", detail=detail)
        self._access.warn_insecure()

    def await_journal(self, poller: Poller) -> None:
        """Wait for the journal, for a few seconds at most, and publish the verdicts an earlier start owed.

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
        """Warn of what was seen at the doors."""
        self._access.watch(now_ns)
        self._doors.watch(now_ns)

    def on_verdict(self, verdict: Verdict, now_ns: int) -> None:
        """Count a camera's verdict for the line's health."""
        self._health.recent[verdict.place].add(verdict, now_ns)

    def emit(
        self, severity: str, name: str, *, camera: str | None = None, process: str | None = None, detail: str
    ) -> None:
        """See `alarms.EmitEvent`."""
        event(_log, _LEVELS[severity], name, camera=camera, process=process, detail=detail or None)
        self._announcer.publish_event(
            severity, name, self._counts(), camera=camera, process=process, detail=detail
        )

    def heartbeat(self) -> None:
        """Find out how the line is; see `Announcer.publish_heartbeat`."""
        self._health.update(self._teller.facts(self._clock()))
        self._announcer.publish_heartbeat(self._line.state, self._counts(), self._phases(), self._health)

    def _measure_levels(self) -> None:
        """Set the gauges of queues, rings, subscriptions and losses."""
        counts = self._batching.counts()
        self._metrics.levels(
            inspections_open=counts.in_flight,
            waiting=self._batching.waiting,
            scoring=self._batching.scoring,
            triggers_open=counts.triggers_open,
            further=counts.further,
        )
        for recipe, images_per_second in self._batching.images_per_second().items():
            self._metrics.capacity(recipe, images_per_second)
        for name, camera in self._cameras.items():
            self._metrics.ring(name, held=camera.slots_in_use, slots=camera.slots)
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
        closed = self.publishing.close_restarted()
        self._restarted += closed
        if closed:
            self._metrics.restarted_verdicts(closed)
            self.emit("warning", "restarted", detail=f"{closed} verdicts were still due when the line ended")

    def _remind(self, name: str, detail: str) -> None:
        """Publish an alarm that still holds again, for readers that came since. It is not logged again."""
        self._announcer.publish_event("alarm", name, self._counts(), camera=None, detail=detail)

    def _snapshot(self, request: str, oldest: Position | None) -> Snapshot:
        return self._announcer.make_snapshot(
            request, oldest, self._line.state, self._counts(), self._phases()
        )

    def _phases(self) -> dict[str, str]:
        return {name: str(camera.phase) for name, camera in self._cameras.items()}

    def _counts(self) -> Counts:
        return msgspec.structs.replace(self._batching.counts(), restarted=self._restarted)
