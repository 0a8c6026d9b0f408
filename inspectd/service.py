"""The daemon, from its start to its end. Read this first.

A frame's way to its verdict, all of it in this process's one thread:

    CameraStage.received -> frame() -> BatchingStage.frame -> dispatch -> ScoringStage.send
    ScoringStage.received -> score() -> BatchingStage.score -> judge -> PublishStage.verdict -> release()

A trigger's way, for cameras that wait for one; its frames then go the way above:

    Door -> ControlStage.take -> trigger() -> BatchingStage.trigger -> matcher <- BatchingStage.frame
    PublishStage.verdict of its last view -> judge_part -> PublishStage.part

and, when something is late or lost on that way, `BatchingStage.expire`, `scoring_lost` or `shut_down`.

What the plant connects to, and what it is told beside verdicts, is in `plant_link`; `alarms` tells what is
wrong with access, evidence and child processes.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

from inspectd import __version__
from inspectd.alarms import EvidenceWatch, FormatWatch, LoopWatch, ProcessWatch
from inspectd.batching.ledger import Ledger
from inspectd.batching.parts import Part
from inspectd.batching.policy import BatchPolicy
from inspectd.batching.stage import BatchingStage
from inspectd.batching.triggering import make_triggering
from inspectd.capture.stage import CameraStage
from inspectd.config import Config
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.evidence.stage import EvidenceStage
from inspectd.ipc.poller import Poller
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.runtime_dir import RuntimeDir
from inspectd.log import event
from inspectd.metrics import Metrics
from inspectd.notify import Notifier, ProgressWatchdog
from inspectd.plant_link import PlantLink
from inspectd.records import (
    Batch,
    CameraPhase,
    Drop,
    FrameRef,
    Inspection,
    Outcome,
    Score,
    ScoreError,
    Trigger,
    View,
)
from inspectd.scoring.messages import ScoringReady
from inspectd.scoring.stage import ScoringStage
from inspectd.supervisor import Supervisor
from inspectd.wire import Accepted, Refusal, RefusalReason, TriggerRequest, ViewVerdict

_log: Final = logging.getLogger("inspectd.service")

_MAX_BATCHES_OUT: Final = 2
"""One being scored and one ready behind it; more would wait where a deadline cannot reach them."""

_TICK_NS: Final = 50_000_000
_EXIT_GRACE_SECONDS: Final = 1.5  # for doors to hand out the last messages, on a busy machine too
_PUBLICATION_NS: Final = 12_000_000_000  # more than `journal.max_wait_ms` can be

_FATAL: Final = {ExitCode.BAD_INPUT: InputError, ExitCode.UNAVAILABLE: UnavailableError}
"""How scoring may end its first start so that the daemon ends with it: a wrong bank, for good; a device that
is missing or full, which systemd tries again."""


class Service:
    """One line: its cameras, its scoring process, its bus. `run` is its life."""

    def __init__(self, config: Config, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Prepare the line that `config` describes; nothing is opened before `run`."""
        line = config.line
        self._config = config
        self._clock = clock
        self._state = "starting"
        self._stop_signals = 0
        self._fatal: InspectdError | None = None
        self._tick_due_ns = 0
        self._metrics = Metrics(line.name, [camera.name for camera in config.cameras], line.deadline_ms)
        self._poller = Poller()
        log_arguments = ["--log-level", config.log.level, "--log-format", config.log.format]
        self._supervisor = Supervisor(
            self._poller, ProcessWatch(self._metrics, self._event), log_arguments, clock
        )
        self._loop_watch = LoopWatch(self._metrics, self._event)
        self._cameras = {camera.name: CameraStage(camera, self, clock) for camera in config.cameras}
        self._scoring = ScoringStage(config, self)
        self._banks: dict[str, str] = {}
        self._formats = FormatWatch(self._event)
        self._evidence = EvidenceStage(
            config,
            EvidenceWatch(config.evidence.quota_mb, self._metrics, self._event, self.rings),
            release=lambda frame: self._cameras[frame.camera].release(frame),
        )
        self._batching = BatchingStage(
            BatchPolicy(
                config.batching.max_batch, int(config.batching.max_wait_ms * 1e6), config.batching.max_queue
            ),
            Ledger(),
            make_triggering(config),
            deadlines_ns=config.deadlines_ns,
            recipes={camera.name: camera.recipe for camera in config.cameras},
            max_batches_out=_MAX_BATCHES_OUT,
            opened=self._opened,
            send=self._send_batch,
            publish=self._publish_verdict,
            publish_part=self._publish_part,
            publish_late=self._publish_late,
            release=self._evidence.holds.release,
            observer=self._metrics,
        )

    # --- life ---------------------------------------------------------------------------------------------

    def run(self) -> ExitCode:
        """Start, serve until SIGTERM or SIGINT, drain; a second signal ends the drain at once.

        Raises:
            UnavailableError: a port, the runtime directory or a process cannot be had.
            InspectdError: scoring says that what it was given to load cannot be used.
        """
        self._notifier = Notifier.from_environment()
        self._watchdog = ProgressWatchdog(self._notifier.watchdog_interval_ns or int(1e18))
        with RuntimeDir(self._config.runtime_path) as runtime_dir, ExitStack() as stack:
            self._open(runtime_dir, stack)
            self._serve()
            self._drain()
        return ExitCode.OK

    def _open(self, runtime_dir: Path, stack: ExitStack) -> None:
        """Bind the bus and the metrics endpoint and start scoring; `stack` undoes it in reverse order."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, signum, signal.signal(signum, self._on_signal))
        self._plant = PlantLink(
            self._config, self._metrics, self._batching, self._cameras,
            state=lambda: self._state, admit=self.trigger, pass_by=self.pass_by, clock=self._clock,
            runtime_dir=runtime_dir, stack=stack,
        )  # fmt: skip
        self._journal, self._publishing = self._plant.journal, self._plant.publishing
        for camera in self._cameras.values():
            stack.callback(camera.close)
        stack.callback(self._supervisor.kill_all, _EXIT_GRACE_SECONDS)
        for door in self._plant.bus.doors.values():
            self._supervisor.start(door, self._clock())
        self._supervisor.start(self._scoring, self._clock())
        if self._config.evidence.enabled:
            self._supervisor.start(self._evidence, self._clock())
        self._plant.await_journal(self._poller)
        self._event(
            "info", "started", detail=f"inspectd {__version__}, verdicts at ipc://{runtime_dir}/verdicts.sock"
        )
        self._plant.access.say_exposed()

    def _serve(self) -> None:
        """Turn the loop until a signal comes."""
        while not self._stop_signals:
            self._turn()
            if self._fatal is not None:
                raise self._fatal

    def _drain(self) -> None:
        """Capture no more, finish what is open within the budget, close the rest as undecidable."""
        self._state = "draining"
        self._notifier.stopping()
        self._event("info", "draining", detail=f"{self._batching.ledger.in_flight} inspections open")
        for camera in self._cameras.values():
            self._supervisor.finish(camera.name)
            camera.stop_capturing()
        deadline_ns = self._clock() + int(self._config.line.drain_seconds * 1e9)
        while self._stop_signals < 2 and self._clock() < deadline_ns and not self._is_drained():
            self._turn()
        self._poller.wait(0)  # frames that were announced while the budget ran out are counted too
        self._batching.shut_down(self._clock())
        self._await_publication()
        self._state = "stopped"
        self._event("info", "stopped", detail="")
        self._plant.heartbeat()
        self._plant.bus.finish(_EXIT_GRACE_SECONDS)

    def _await_publication(self) -> None:
        """Let the last verdicts be recorded; the journal publishes them unrecorded if that takes too long."""
        deadline_ns = self._clock() + _PUBLICATION_NS
        while self._journal.waiting and self._clock() < deadline_ns:
            self._poller.wait(1_000_000)
            self._batching.shut_down(self._clock())  # what a camera announced meanwhile is closed too
            self._journal.turn(self._clock())

    def _is_drained(self) -> bool:
        capturing = any(self._supervisor.running(camera.name) for camera in self._cameras.values())
        return not capturing and self._batching.idle

    def _turn(self) -> None:
        """Wait for the next thing to do, then do everything that is due."""
        now_ns = self._clock()
        times = [self._batching.wake_ns(), self._ask_for_triggers(now_ns)]
        wake_ns = min(
            [
                self._tick_due_ns,
                self._plant.wake_ns(now_ns),
                *(time_ns for time_ns in times if time_ns is not None),
            ]
        )
        self._poller.wait(wake_ns - now_ns)
        now_ns = self._clock()
        self._batching.expire(now_ns, self._plant.bus.known_ns(now_ns))
        self._ask_for_triggers(now_ns)
        self._batching.dispatch(now_ns, drain=self._state == "draining")
        self._plant.turn(now_ns)
        if now_ns >= self._tick_due_ns:
            # Between frames, which come more often than these have anything to do.
            self._tick_due_ns = now_ns + _TICK_NS
            gap_ns = self._poller.take_longest_gap_ns()
            if self._state != "starting":
                self._loop_watch.watch(gap_ns, now_ns)
            self._supervisor.tick(now_ns)
            self._plant.watch(now_ns)
            self._evidence.tick(now_ns)
            if self._watchdog.due(now_ns, scoring_ready=self._scoring.ready is not None):
                self._notifier.watchdog()
        self._plant.beat(now_ns)

    def _ask_for_triggers(self, now_ns: int) -> int | None:
        """Where a frame waits to be sure of every trigger before it, ask the doors; when to, if not yet."""
        bus = self._plant.bus
        needed_ns = self._batching.triggering.needs_known_ns(bus.known_ns(now_ns))
        if needed_ns is None or needed_ns > now_ns:
            return needed_ns
        bus.look()
        return None

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        self._stop_signals += 1
        event(_log, logging.INFO, "signal", name=signal.Signals(signum).name, count=self._stop_signals)

    # --- what cameras deliver (capture.stage.Receiver) ----------------------------------------------------

    def frame(self, frame: FrameRef, now_ns: int) -> None:
        """A camera delivered a frame."""
        self._metrics.frame_captured(frame.camera, frame.captured_utc_ns)
        self._metrics.stage("capture", (now_ns - frame.captured_ns) / 1e9)
        self._batching.frame(frame, now_ns)
        camera = self._cameras[frame.camera]
        self._evidence.relieve(frame.camera, camera.camera.slots - camera.slots_in_use)
        self._batching.dispatch(now_ns)

    def drop(self, drop: Drop) -> None:
        """A camera lost a frame."""
        self._metrics.frame_captured(drop.camera, None)
        self._metrics.dropped(drop.camera, drop.stage, drop.cause)
        self._batching.drop(drop)
        self._publishing.drop(drop)

    def camera_phase(self, camera: str, phase: CameraPhase, detail: str) -> None:
        """A camera's phase changed."""
        self._metrics.camera_up(camera, up=phase in {CameraPhase.UP, CameraPhase.ENDED})
        severity = "warning" if phase is CameraPhase.DOWN and self._state == "running" else "info"
        self._event(severity, f"camera_{phase}", camera=camera, detail=detail)

    def camera_notice(self, camera: str, event: str, detail: str) -> None:
        """A camera goes on, and has something to say."""
        self._event("warning", event, camera=camera, detail=detail)

    def ring_attached(self, camera: str, ring: FrameRing) -> None:
        """A camera's frames lie in this ring from now on."""
        self._scoring.attach(camera, ring)
        self._evidence.attach(camera, ring)

    def ring_detached(self, camera: str, generation: int) -> None:
        """No frame lies in this ring any more."""
        self._scoring.detach(camera, generation)
        self._evidence.detach(camera, generation)

    # --- what the plant asks (publish.control) ------------------------------------------------------------

    def trigger(self, request: TriggerRequest, came_ns: int) -> Accepted | Refusal:
        """A part is in front of the cameras: look at it, or say at once that the line cannot.

        Args:
            request: what a client sent.
            came_ns: when it came at the earliest.
        """
        now_ns, utc_ns = self._clock(), time.time_ns()
        delay_ns = max(0, now_ns - came_ns)
        trigger = Trigger(
            request.trigger_id, request.part_id, request.encoder_count, now_ns, utc_ns, doubt_ns=delay_ns
        )
        refusal = self._refusal(delay_ns / 1e6)
        if refusal is not None:
            self._batching.pass_by(request, trigger)
            return Refusal(request.trigger_id, *refusal)
        part = self._batching.trigger(request, trigger, self._is_up)
        if isinstance(part, Refusal):
            return part
        deadline_ms = (part.deadline_ns - now_ns) / 1e6
        cameras = [view.camera for view in part.views]
        return Accepted(request.trigger_id, self._publishing.epoch, utc_ns, deadline_ms, cameras)

    def pass_by(self, from_ns: int, until_ns: int | None = None) -> None:
        """A trigger may have come then that nobody can read: no frame of that time is another one's."""
        until_ns = self._clock() if until_ns is None else until_ns
        doubt_ns = max(0, until_ns - from_ns)
        self._batching.triggering.pass_by_all(Trigger("", received_ns=until_ns, doubt_ns=doubt_ns))

    def _refusal(self, delay_ms: float) -> tuple[RefusalReason, str] | None:
        """Why the line takes no trigger now, whatever it says, if so."""
        if self._state in {"draining", "stopped"}:
            return RefusalReason.SHUTTING_DOWN, "the line stops"
        if delay_ms > self._config.triggers.max_delay_ms:
            detail = f"was perhaps read {delay_ms:.0f} ms late, its frame cannot be told"
            return RefusalReason.NOT_READY, detail
        return None

    def _is_up(self, camera: str) -> bool:
        return self._cameras[camera].phase is CameraPhase.UP

    # --- what scoring answers (scoring.stage.Receiver) ----------------------------------------------------

    def rings(self) -> list[tuple[str, FrameRing]]:
        """Every ring a batch may name, with its camera."""
        return [(name, ring) for name, camera in self._cameras.items() for ring in camera.rings()]

    def scoring_ready(self, ready: ScoringReady) -> None:
        """Every bank is loaded and warm: judge by them, and let the cameras begin if this is the start."""
        banks = {bank.recipe: bank.bank_sha256 for bank in ready.banks}
        if self._banks and banks != self._banks:
            # Judging by another bank than the one the line was started with takes a person's restart.
            self._event("alarm", "bank_changed", detail=f"started with {self._banks}, found {banks}")
            return
        self._banks = banks
        self._batching.scoring_ready({bank.recipe: bank for bank in ready.banks})
        self._evidence.judging(ready.banks)
        self._publishing.judging(ready.banks)
        self._formats.judging(ready.banks)
        for bank in ready.banks:
            self._metrics.bank(bank)
        self._metrics.scoring_up(up=True)
        self._event(
            "info", "scoring_ready", detail=f"{ready.device}, warm after {ready.warmup_seconds:.1f} s"
        )
        if self._state == "starting":
            self._state = "running"
            for camera in self._cameras.values():
                self._supervisor.start(camera, self._clock())
            self._notifier.ready()
            self._notifier.status(f"{len(self._cameras)} cameras, {len(self._banks)} recipes, {ready.device}")

    def score(self, score: Score, now_ns: int) -> None:
        """Scoring answered for one inspection."""
        self._watchdog.scored(now_ns)
        for stage, milliseconds in score.stage_ms.items():
            self._metrics.stage(stage, milliseconds / 1000)
        self._batching.score(score, now_ns)
        self._batching.dispatch(now_ns)

    def score_error(self, error: ScoreError, now_ns: int) -> None:
        """Scoring cannot score one inspection."""
        self._watchdog.scored(now_ns)
        event(_log, logging.ERROR, "score_error", inspection=error.inspection_id, detail=error.detail)
        self._batching.score_error(error, now_ns)

    def scoring_lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:
        """The scoring process is gone. If it never was ready, a cause that will stay ends the daemon."""
        self._batching.scoring_lost(now_ns)
        self._metrics.scoring_up(up=False)
        if self._state == "starting" and exit_code in _FATAL:
            self._fatal = _FATAL[ExitCode(exit_code)](cause)
        self._event("alarm", "scoring_lost", detail=cause)

    # --- what leaves --------------------------------------------------------------------------------------

    def _send_batch(self, batch: Batch) -> bool:
        now_ns = self._clock()
        for inspection in batch.inspections:
            self._metrics.stage("queue", (now_ns - inspection.opened_ns) / 1e9)
        sent = self._scoring.send(batch)
        if sent:
            self._watchdog.frame_submitted(now_ns)
        return sent

    def _opened(self, begun: Inspection | Part) -> None:
        if isinstance(begun, Part):
            self._publishing.part_opened(begun.trigger, begun.deadline_ns, begun.views)
        else:
            self._publishing.opened(begun)

    def _publish_verdict(self, inspection: Inspection | View, outcome: Outcome) -> int:
        seq = self._publishing.verdict(inspection, outcome)
        self._formats.verdict(inspection, outcome)
        if inspection.frame is not None and self._publishing.newest is not None:
            self._evidence.offer(inspection.frame, self._publishing.newest, outcome, self._clock())
        return seq

    def _publish_part(
        self, trigger: Trigger, deadline_ns: int, outcome: Outcome, views: list[ViewVerdict]
    ) -> None:
        self._publishing.part(trigger, deadline_ns, outcome, views)

    def _publish_late(self, inspection: Inspection, score: Score, threshold: float, now_ns: int) -> None:
        self._publishing.late(inspection, score, threshold, now_ns)

    def _event(self, severity: str, name: str, *, camera: str | None = None, detail: str) -> None:
        self._plant.event(severity, name, camera=camera, detail=detail)
