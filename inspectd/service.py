"""The daemon, from its start to its end. Read this first.

A frame's way to its verdict, all of it in this process's one thread:

    CameraStage.received -> on_frame -> BatchingStage.take_frame -> send_batch -> ScoringPool.send
    ScoringStage.received -> on_score -> BatchingStage.take_score -> judge
        -> publish_verdict -> PublishStage.record_verdict, and release

A trigger's way, for cameras that wait for one; its frames then go the way above:

    Door -> ControlStage.take -> on_trigger -> BatchingStage.open_part -> matcher <- BatchingStage.take_frame
    publish_verdict of its last view -> judge_part -> publish_part -> PublishStage.record_part

and, when something is late or lost on that way, `BatchingStage.turn`, `lose_scoring` or `shut_down`.

What the plant connects to, and what goes there beside verdicts, is in `plant_link`; `alarms` warns of what is
wrong with access, evidence and child processes.

On SIGHUP the configuration file is read again: `reload`.

What acts by itself has a `turn`, and a `wake_ns` that gives when to call it next. There None means "never".
The loop waits for the earliest of these times, or for a message.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from inspectd.alarms import FormatWatch, LoopWatch
from inspectd.batching.parts import Part
from inspectd.batching.stage import make_batching
from inspectd.camera_changes import CameraChanges
from inspectd.capture.stage import CameraStage
from inspectd.changeover import Changeover
from inspectd.config import Camera, Config
from inspectd.drift_watch import DriftWatch
from inspectd.errors import ExitCode, InputError, InspectdError, UnavailableError
from inspectd.evidence.stage import EvidenceStage
from inspectd.files import OwnFile
from inspectd.golden_checks import GoldenChecks
from inspectd.golden_pictures import Files
from inspectd.host_sleep import HostSleepWatch, boottime_ns
from inspectd.ipc.poller import Poller
from inspectd.ipc.program import program_state
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.runtime_dir import RuntimeDir, is_same_directory
from inspectd.ipc.state_hold import StateHold
from inspectd.line_audit import LineAudit
from inspectd.log import event
from inspectd.metrics import Metrics
from inspectd.notify import Notifier, ProgressWatchdog
from inspectd.plant_link import PlantLink
from inspectd.preview.stage import PreviewStage
from inspectd.recipe_loading import RecipeLoader
from inspectd.recipe_watch import RecipeWatch
from inspectd.recipes.audit import FILE_NAME
from inspectd.recipes.book import FILE, LineRecipe, RecipeBook, title_of
from inspectd.recipes.clerk import DiskClerk
from inspectd.recipes.stored import RecipeRecords
from inspectd.records import (
    Batch,
    CameraPhase,
    CameraSettings,
    Drop,
    DropCause,
    FrameRef,
    Inspection,
    Outcome,
    PendingView,
    PreviewResult,
    Score,
    ScoreError,
    Trigger,
)
from inspectd.reload import Reload
from inspectd.scoring.messages import ScoringReady
from inspectd.scoring.pool import ScoringPool
from inspectd.scoring.stage import SCORING
from inspectd.shadow import Shadow
from inspectd.supervisor import Supervisor
from inspectd.wire import (
    Accepted,
    LineState,
    PreviewHeader,
    RecipeAck,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    Refusal,
    RefusalReason,
    TriggerRequest,
    Verdict,
    ViewVerdict,
)
from inspectd.wire.golden import GoldenAck, GoldenAction, GoldenRefusal, GoldenRefusalReason, GoldenRequest
from inspectd.wire.shadow import ShadowScore, ShadowStatus
from inspectd.wire.sync import GoldenStatus

_log: Final = logging.getLogger("inspectd.service")

_TICK_NS: Final = 50_000_000
_EXIT_GRACE_SECONDS: Final = 1.5  # for doors to hand out the last messages, on a busy machine too
_PUBLICATION_NS: Final = 12_000_000_000  # more than `journal.max_wait_ms` can be

_FATAL: Final = {ExitCode.BAD_INPUT: InputError, ExitCode.UNAVAILABLE: UnavailableError}
"""Exit codes of the first scoring start that end the daemon: a wrong bank, for good; a device that is missing
or full, for which systemd tries again."""


@contextmanager
def open_service(
    config: Config,
    clock: Callable[[], int] = time.monotonic_ns,
    scoring: Sequence[str] = SCORING,
    file: Path | None = None,
    boot_clock: Callable[[], int] = boottime_ns,
) -> Iterator[Service]:
    """Lock the line's runtime and state directories and open everything it needs; undo that in reverse order.

    Args:
        config: the line's.
        clock: monotonic, in nanoseconds.
        scoring: the module of the scoring process, and its own arguments; no setting changes it.
        file: that `config` was read from, and that SIGHUP has read again.
        boot_clock: CLOCK_BOOTTIME, in nanoseconds.

    Raises:
        InputError: a key, certificate or users file cannot be used, or the journal is another line's.
        UnavailableError: a port, the runtime directory or a descriptor cannot be had.
        SystemExit: SIGTERM or SIGINT came before all was open.
    """
    notifier = Notifier.from_environment()
    held = (
        f"line.state_dir: another inspectd uses {config.state_path}; "
        "stop it, or give this line its own directory"
    )
    with RuntimeDir(config.runtime_path) as runtime_dir, ExitStack() as stack:
        stack.enter_context(StateHold(config.state_path, held))
        try:
            service = Service(
                config, notifier, runtime_dir, stack,
                clock=clock, scoring=scoring, file=file, host_sleep=HostSleepWatch(clock, boot_clock),
            )  # fmt: skip
        except OSError as error:
            raise UnavailableError(f"the line cannot be opened: {error}") from error
        yield service


class Service:
    """One line: its cameras, its scoring processes, its bus. `run` is its life.

    What its parts have to report comes back to it: it is what they are handed as `events`, `outlet` and
    `line`. They make use of it only once the loop turns.
    """

    def __init__(
        self,
        config: Config,
        notifier: Notifier,
        runtime_dir: Path,
        stack: ExitStack,
        *,
        clock: Callable[[], int],
        scoring: Sequence[str],
        file: Path | None,
        host_sleep: HostSleepWatch,
    ) -> None:
        """Make every part and open what the plant connects to; `stack` undoes that, and what `run` starts."""
        self.state: LineState = LineState.STARTING
        self._is_open = False
        self._config = config
        self._notifier = notifier
        self._runtime_dir, self._made_runtime_dir = runtime_dir, runtime_dir.stat()
        self._clock = clock
        self._stop_signals = 0
        self._is_reload_asked = False
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            stack.callback(signal.signal, signum, signal.signal(signum, self._on_signal))
        self._fatal: InspectdError | None = None
        self._tick_due_ns = 0
        self._unavailable: set[int] = set()
        self._watchdog = ProgressWatchdog(notifier.watchdog_interval_ns or int(1e18))
        self._poller = Poller(look_ms=_TICK_NS // 1_000_000, may_go_on=host_sleep.look)
        self._cameras = {camera.name: CameraStage(camera, self, clock) for camera in config.cameras}
        audit_file = OwnFile(config.state_path / FILE_NAME)
        records = RecipeRecords(config, own=audit_file)
        self._book = RecipeBook(records.in_force())
        self._scoring = ScoringPool(config, self, self._book.in_force.recipes, scoring)
        self._metrics = Metrics(
            config.line.name, list(self._cameras), config.line.deadline_ms,
            scoring=[stage.name for stage in self._scoring.serving],
        )  # fmt: skip
        self._batching = make_batching(config, self._book, self, len(self._scoring.stages), self._final)
        plant = self._plant = PlantLink(
            config, self._metrics, self, self._batching, self._cameras, book=self._book,
            clock=clock, runtime_dir=runtime_dir, stack=stack,
        )  # fmt: skip
        self._bus, self._journal, self._publishing = plant.bus, plant.journal, plant.publishing
        self._loop_watch = LoopWatch(self._metrics, plant.emit)
        self._formats = FormatWatch(plant.emit)
        self.drift_watch = DriftWatch(self._metrics, plant.emit)
        for camera in self._cameras.values():
            stack.callback(camera.close)
        of_children = ["--log-level", config.log.level, "--log-format", config.log.format]
        of_children += ["--program", program_state()]
        self._supervisor = Supervisor(self._poller, self, of_children, clock)
        stack.callback(self._supervisor.kill_all, _EXIT_GRACE_SECONDS)
        self._shadow = Shadow(
            config, self,
            release=lambda frame: self._cameras[frame.camera].release(frame),
            waiting=lambda: self._batching.waiting, supervisor=self._supervisor, command=scoring,
            metrics=self._metrics, emit=plant.emit, clock=clock,
        )  # fmt: skip
        self._previews = PreviewStage(config, self, release=self._shadow.holds.release)
        self._evidence = EvidenceStage(config, plant.evidence, release=self._previews.holds.release)
        self._clerk = DiskClerk()
        self._audit = LineAudit(
            config.state_path / FILE_NAME, self._clerk, self._metrics, plant.emit, clock, own=audit_file
        )
        self._golden = GoldenChecks(
            config, self._book, sha256_of=self._publishing.sha256_of, judges=self._batching.judges,
            clerk=self._clerk, audit=self._audit, publish=self._publishing.publish_golden, emit=plant.emit,
            metrics=self._metrics, epoch=lambda: self._publishing.epoch, clock=clock,
        )  # fmt: skip
        stack.callback(self._clerk.close)
        stack.callback(self._audit.close)
        stack.callback(self._golden.close)
        self._loader = RecipeLoader(
            config.scoring.max_recipes, self._book, self._scoring, self._batching,
            supervisor=self._supervisor, on_banks_changed=self.on_banks_changed,
            metrics=self._metrics, emit=plant.emit, clock=clock,
        )  # fmt: skip
        self._changeover = Changeover(
            self._book, self._loader, self._shadow, records=records, clerk=self._clerk, line=self,
            metrics=self._metrics, emit=plant.emit, clock=clock,
        )  # fmt: skip
        stack.callback(self._changeover.close)
        self._recipe_watch = RecipeWatch(self._book, records, self._clerk, plant.emit)
        self._reload = Reload(
            file, config, book=self._book, records=records, clerk=self._clerk, changeover=self._changeover,
            cameras=CameraChanges(
                self._cameras, self._supervisor, self._batching.triggering, config.triggers,
                holders=(self._evidence, self._previews, self._shadow),
            ),
            line=self, notifier=notifier, metrics=self._metrics, emit=plant.emit,
        )  # fmt: skip
        self._is_open = True

    # --- life ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, drain; a second signal ends the drain at once.

        Raises:
            UnavailableError: a process cannot be had, another daemon uses the journal, the host slept, or the
                program's files were replaced.
            InspectdError: scoring cannot use what it was given to load.
        """
        self._start()
        while not self._stop_signals:
            self._turn()
            if self._fatal is not None:
                raise self._fatal
        self._drain()

    def _start(self) -> None:
        """Start doors, scoring, evidence and previews; the cameras follow once scoring is warm."""
        now_ns = self._clock()
        for door in self._bus.doors.values():
            self._supervisor.start(door, now_ns)
        for stage in self._scoring.serving:
            self._supervisor.start(stage, now_ns)
        if self._config.evidence.enabled:
            self._supervisor.start(self._evidence, now_ns)
        if self._config.preview.enabled:
            self._supervisor.start(self._previews, now_ns)
        self._poller.add(self._clerk, self._clerk.take_answers)
        self._plant.await_journal(self._poller)
        self._plant.announce_start()
        self.on_recipe_in_force(self._book.in_force, None)

    def _drain(self) -> None:
        """Capture no more, finish what is open within the budget, close the rest as undecidable."""
        self.state = LineState.DRAINING
        self._notifier.stopping()
        self._plant.emit("info", "draining", detail=f"{self._batching.counts().in_flight} inspections open")
        self._changeover.stop()
        for camera in self._cameras.values():
            self._supervisor.finish(camera.name)
            camera.stop_capturing()
        deadline_ns = self._clock() + int(self._config.line.drain_seconds * 1e9)
        self._turn_until(deadline_ns, self._is_drained)
        self._golden.close()
        self._turn_until(deadline_ns, lambda: not self._golden.is_writing)
        self._poller.wait(0)  # frames that were announced while the budget ran out are counted too
        self._batching.shut_down(self._clock())
        self._await_publication()
        self.state = LineState.STOPPED
        self._plant.emit("info", "stopped", detail="")
        self._plant.heartbeat()
        self._bus.finish(_EXIT_GRACE_SECONDS)

    def _turn_until(self, deadline_ns: int, is_done: Callable[[], bool]) -> None:
        while self._stop_signals < 2 and self._clock() < deadline_ns and not is_done():
            self._turn()

    def _await_publication(self) -> None:
        """Let the last verdicts be recorded; the journal publishes them unrecorded if that takes too long."""
        deadline_ns = self._clock() + _PUBLICATION_NS
        while self._journal.waiting and self._clock() < deadline_ns:
            self._poller.wait(1_000_000)
            self._batching.shut_down(self._clock())  # what a camera announced meanwhile is closed too
            self._journal.turn(self._clock())

    def _is_drained(self) -> bool:
        capturing = any(self._supervisor.running(camera.name) for camera in self._cameras.values())
        is_quiet = not capturing and self._batching.idle and not self._changeover.owes_answer
        return is_quiet and not self._golden.is_writing

    def _turn(self) -> None:
        """Wait for the next thing to do, then do everything that is due."""
        now_ns = self._clock()
        asking_ns = self._ask_for_triggers(now_ns)
        times = (self._tick_due_ns, self._batching.wake_ns(), asking_ns, self._plant.wake_ns(now_ns))
        self._poller.wait(min(time_ns for time_ns in times if time_ns is not None) - now_ns)
        now_ns = self._clock()
        self._batching.turn(now_ns, self._bus.known_ns(now_ns), drain=self.state == LineState.DRAINING)
        self._ask_for_triggers(now_ns)
        if self._changeover.is_busy:
            self._changeover.turn(now_ns)
        self._plant.turn(now_ns)
        if now_ns >= self._tick_due_ns:
            # Between frames, which come more often than this has anything to do.
            self._tick_due_ns = now_ns + _TICK_NS
            self._tick(now_ns)
        self._plant.beat(now_ns)

    def _tick(self, now_ns: int) -> None:
        gap_ns = self._poller.take_longest_gap_ns()
        if self.state != LineState.STARTING:
            self._loop_watch.watch(gap_ns, now_ns)
        self._supervisor.tick(now_ns)
        self._plant.watch(now_ns)
        self.drift_watch.watch()
        self._evidence.tick(now_ns)
        self._previews.tick(now_ns)
        self._shadow.tick(now_ns)
        self._golden.turn(now_ns)
        self._audit.turn(now_ns)
        if self.state == LineState.RUNNING:
            self._recipe_watch.turn(now_ns, is_recording=self._changeover.is_recording)
        if self._bus.uncertain_door is not None:
            self._bus.look()  # whether or not a frame waits
        if self._is_reload_asked:
            self._is_reload_asked = False
            self._reload.ask()
        self._reload.turn(now_ns)
        # Another bank takes a person's restart: one by the watchdog would judge by it.
        is_judging = self._scoring.is_ready or bool(self._scoring.refused)
        if self._watchdog.due(now_ns, scoring_ready=is_judging):
            self._notifier.watchdog()

    def _ask_for_triggers(self, now_ns: int) -> int | None:
        """Where a frame waits to be sure of every trigger before it, ask the doors; when to, if not yet."""
        needed_ns = self._batching.needs_known_ns(self._bus.known_ns(now_ns))
        if needed_ns is None or needed_ns > now_ns:
            return needed_ns
        self._bus.look()
        return None

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if signum == signal.SIGHUP:
            self._is_reload_asked = True
            return
        self._stop_signals += 1
        event(_log, logging.INFO, "signal", name=signal.Signals(signum).name, count=self._stop_signals)
        if not self._is_open:
            # A file that is opened may never answer, and nobody looks at the count meanwhile.
            raise SystemExit(ExitCode.OK)

    def on_process_lost(self, name: str, cause: str) -> None:
        """Count and warn of a child that was lost and will be replaced (`supervisor.ProcessEvents`)."""
        self._metrics.restarted(name)
        self._plant.emit("warning", "process_restarted", process=name, detail=f"{name}: {cause}")

    def on_program_replaced(self, name: str, cause: str) -> None:
        """End the line: only its own start gives it that process again (`supervisor.ProcessEvents`)."""
        self._fatal = UnavailableError(
            f"{name}: {cause}, and no process of other files joins it: the line has to be started again, as "
            "systemd does"
        )

    # --- what cameras deliver (capture.stage.CameraEvents) ------------------------------------------------

    def on_frame(self, frame: FrameRef, now_ns: int) -> None:
        """Open an inspection, or have the frame wait for its trigger."""
        self._metrics.frame_captured(frame.camera, frame.captured_utc_ns)
        self._metrics.stage("capture", (now_ns - frame.captured_ns) / 1e9)
        self._golden.claim(frame)
        self._batching.take_frame(frame, now_ns)
        free_slots = self._cameras[frame.camera].free_slots
        self._evidence.relieve(frame.camera, free_slots)
        self._previews.relieve(frame.camera, free_slots)
        self._shadow.relieve(frame.camera, free_slots)

    def on_drop(self, drop: Drop) -> None:
        """Count a lost frame, have its camera's next verdict name it, and no trigger get the one after it.

        An empty belt is no loss; only a free-running camera leaves it out.
        """
        is_empty = drop.cause is DropCause.NO_PART
        self._metrics.frame_captured(drop.camera, time.time_ns() if is_empty else None)
        self._metrics.dropped(drop.camera, drop.stage, drop.cause)
        self._batching.count_drop()
        if not is_empty:
            self._publishing.count_drop(drop.camera)
            self._batching.lose_frame(drop.camera, self._clock())

    def on_camera_phase(self, camera: str, phase: CameraPhase, detail: str) -> None:
        """Publish a camera's new phase; what it took while it was away is lost."""
        if phase is not CameraPhase.UP:
            self._batching.lose_frame(camera, self._clock())
        self._metrics.camera_up(camera, up=phase in {CameraPhase.UP, CameraPhase.ENDED})
        severity = "warning" if phase is CameraPhase.DOWN and self.state == LineState.RUNNING else "info"
        self._plant.emit(severity, f"camera_{phase}", camera=camera, detail=detail)

    def on_camera_notice(self, camera: str, event: str, detail: str) -> None:
        """Publish what a camera reports of itself."""
        self._plant.emit("warning", event, camera=camera, detail=detail)

    def on_camera_settings(self, camera: str, settings: CameraSettings, problem: str) -> None:
        """Publish that a camera was set, or that it is not and its parts are undecidable."""
        if problem:
            self._plant.emit("alarm", "camera_settings_failed", camera=camera, detail=problem)
        else:
            self._plant.emit("info", "camera_settings_applied", camera=camera, detail=str(settings))

    def on_ring_attached(self, camera: str, ring: FrameRing) -> None:
        """Give a new ring to those who read frames."""
        self._scoring.attach(camera, ring)
        self._evidence.attach(camera, ring)
        self._previews.attach(camera, ring)
        self._shadow.attach(camera, ring)

    def on_ring_detached(self, camera: str, generation: int) -> None:
        """Take a ring back in which no frame lies any more."""
        self._scoring.detach(camera, generation)
        self._evidence.detach(camera, generation)
        self._previews.detach(camera, generation)
        self._shadow.detach(camera, generation)

    @property
    def scoring(self) -> ScoringPool:
        """See `LineLife.scoring`."""
        return self._scoring

    @property
    def loading(self) -> str:
        """See `LineLife.loading`."""
        return "" if self._loader.recipe is None else self._loader.recipe.name

    @property
    def shadow(self) -> ShadowStatus | None:
        """See `LineLife.shadow`."""
        return self._shadow.status()

    def conditions(self) -> list[tuple[str, str]]:
        """See `LineLife.conditions`."""
        found = [
            *self._recipe_watch.conditions(),
            *self._golden.conditions(),
            *self._audit.conditions(),
            *self._shadow.conditions(),
        ]
        gone = self._bus.removed_sockets()
        if not is_same_directory(self._runtime_dir, self._made_runtime_dir):
            gone = [self._runtime_dir]
        if gone:
            paths = ", ".join(map(str, gone))
            detail = f"{paths}: removed, so that programs on this host do not find the line; restart it"
            found.append(("sockets_gone", detail))
        return found

    def golden_status(self) -> list[GoldenStatus]:
        """See `LineLife.golden_status`."""
        return self._golden.status()

    # --- what the plant asks (plant_link.LineAnswers) -----------------------------------------------------

    def on_trigger(self, request: TriggerRequest, came_ns: int, source: str, key: str) -> Accepted | Refusal:
        """Open the part that is in front of the cameras, or refuse it; see `TriggerEvents.on_trigger`."""
        now_ns, utc_ns = self._clock(), time.time_ns()
        delay_ns = max(0, now_ns - came_ns)
        trigger = Trigger(
            request.trigger_id,
            request.part_id,
            request.encoder_count,
            now_ns,
            utc_ns,
            delay_ns,
            source,
            request.golden,
        )
        refusal = self._refusal(delay_ns / 1e6)
        if refusal is None and request.golden is not None:
            detail = self._golden.announce(request.golden, request.trigger_id, key, source.partition(" ")[0])
            refusal = None if detail is None else (RefusalReason.GOLDEN, detail)
        if refusal is not None:
            self._batching.pass_by(trigger, request)
            return Refusal(request.trigger_id, *refusal)
        part = self._batching.open_part(request, trigger, lambda camera: self._cameras[camera].is_up)
        if isinstance(part, Refusal):
            if request.golden is not None:
                self._golden.drop()
            return part
        deadline_ms = (part.deadline_ns - now_ns) / 1e6
        cameras = list(dict.fromkeys(view.camera for view in part.views))
        titles = {title_of(view.recipe) for view in part.views}
        recipe, version = titles.pop() if len(titles) == 1 else (None, None)
        return Accepted(
            request.trigger_id, self._publishing.epoch, utc_ns, deadline_ms, cameras, recipe, version
        )

    def on_recipe(
        self, request: RecipeRequest, who: str, door: str, reply: Callable[[RecipeAck | RecipeRefusal], None]
    ) -> None:
        """See `RequestEvents.on_recipe`."""
        self._changeover.take(request, who, door, reply)

    def on_golden(
        self, request: GoldenRequest, came_ns: int, who: str, door: str,
        reply: Callable[[GoldenAck | GoldenRefusal], None],
    ) -> None:  # fmt: skip
        """See `RequestEvents.on_golden`."""
        delay_ms, detail = (self._clock() - came_ns) / 1e6, ""
        if request.action in {GoldenAction.BEGIN, GoldenAction.SHOW} and self._is_stopping:
            detail = "the line stops"
        elif request.action is GoldenAction.SHOW and self._is_late(delay_ms):
            # Who asked may have given up, as with a trigger: another part may be in front of the cameras.
            detail = f"may have been read {delay_ms:.0f} ms late: nothing was done, ask again"
        if detail:
            reply(GoldenRefusal(request.request, GoldenRefusalReason.NOT_READY, detail))
        else:
            self._golden.take(request, who, door, reply)

    def on_refused_recipe(
        self, request: RecipeRequest | None, reason: RecipeRefusalReason, detail: str,
        reply: Callable[[RecipeAck | RecipeRefusal], None],
    ) -> None:  # fmt: skip
        """See `RequestEvents.on_refused_recipe`."""
        self._changeover.refuse(request, reason, detail, reply)

    def pass_by(self, from_ns: int, until_ns: int | None = None) -> None:
        """Give no frame from then until `until_ns`, or now, to an older trigger: one may have been lost."""
        until_ns = self._clock() if until_ns is None else until_ns
        doubt_ns = max(0, until_ns - from_ns)
        self._batching.pass_by(Trigger("", received_ns=until_ns, doubt_ns=doubt_ns))

    @property
    def _is_stopping(self) -> bool:
        return self.state in {LineState.DRAINING, LineState.STOPPED}

    def _is_late(self, delay_ms: float) -> bool:
        return delay_ms > self._config.triggers.max_delay_ms

    def _refusal(self, delay_ms: float) -> tuple[RefusalReason, str] | None:
        """Reason and detail for taking no trigger now, whatever is in it; None: it may be taken."""
        if self._is_stopping:
            return RefusalReason.SHUTTING_DOWN, "the line stops"
        if self._is_late(delay_ms):
            detail = f"may have been read {delay_ms:.0f} ms late, its frame is not certain"
            return RefusalReason.NOT_READY, detail
        door = self._bus.uncertain_door
        if door is not None:
            detail = f"{door} was lost, and with it triggers of clients that used it: no frame is certain yet"
            return RefusalReason.NOT_READY, detail
        return None

    # --- what scoring answers (scoring.stage.ScoringEvents) -----------------------------------------------

    def rings(self) -> list[tuple[str, FrameRing]]:
        """See `ScoringEvents.rings`."""
        return [(name, ring) for name, camera in self._cameras.items() for ring in camera.rings()]

    def on_scoring_ready(self, process: int, ready: ScoringReady) -> None:
        """Judge by the banks that are warm there; at the start, let the cameras begin once every recipe is.

        They do not wait for every process: without one of several cards a line is slower, and no worse.
        """
        name = self._scoring.stages[process].name
        ready, changed = self._loader.admit(process, ready)
        if self._loader.concerns(process):
            self._loader.on_ready(process, changed)
            return
        if changed:
            # Judging by another bank than the one the line was started with takes a person's restart.
            told = (f"{recipe}: started with {had}, found {has}" for recipe, (had, has) in changed.items())
            detail = "; ".join(told)
            short = (
                f"{recipe} is {has[:12]}..., was {had[:12]}..." for recipe, (had, has) in changed.items()
            )
            self._scoring.stages[process].refuse(f"another bank: {', '.join(short)}")
            if self.state == LineState.STARTING:
                self._fatal = InputError(f"banks are not those that the recipe in force names: {detail}")
            self._plant.emit("alarm", "bank_changed", process=name, detail=detail)
            return
        self._unavailable.discard(process)
        self._batching.use_banks(process, ready.banks, ready.paces)
        self.on_banks_changed()
        self._metrics.scoring_up(name, up=True)
        detail = f"{ready.device}, warm after {ready.warmup_seconds:.1f} s"
        self._plant.emit("info", "scoring_ready", process=name, detail=detail)
        if self.state == LineState.STARTING and self._scoring.is_ready:
            self.state = LineState.RUNNING
            self._golden.start(self._journal.newest_utc_ns)
            self._record_judged()
            for camera in self._cameras.values():
                self._supervisor.start(camera, self._clock())
            self._changeover.resume()
            self._notifier.ready()
            devices = ", ".join(self._config.scoring.devices) or ready.device
            count = len(self._book.in_force.keys)
            self._notifier.status(f"{len(self._cameras)} cameras, {count} recipes, {devices}")

    def on_score(self, process: int, score: Score, now_ns: int) -> None:
        """Count the times of the stages, and judge the inspection."""
        self._on_answer(process, now_ns)
        for stage, milliseconds in score.stage_ms.items():
            self._metrics.stage(stage, milliseconds / 1000)
        self._batching.take_score(process, score, now_ns)

    def on_score_error(self, process: int, error: ScoreError, now_ns: int) -> None:
        """Log the error, and close the inspection."""
        self._on_answer(process, now_ns)
        event(
            _log, logging.ERROR, "score_error", process=self._scoring.stages[process].name,
            inspection=error.inspection_id, detail=error.detail,
        )  # fmt: skip
        self._batching.take_score_error(process, error, now_ns)

    def _on_answer(self, process: int, now_ns: int) -> None:
        self._watchdog.scored(now_ns, process)
        self._metrics.answered(self._scoring.stages[process].name)

    def on_scoring_lost(self, process: int, cause: str, exit_code: int | None, now_ns: int) -> None:
        """Close what a process owed. If scoring never was ready, a cause that will stay ends the daemon."""
        name = self._scoring.stages[process].name
        self._batching.lose_scoring(process, now_ns)
        if self._loader.concerns(process):
            self._watchdog.scored(now_ns, process)
            self._loader.on_lost(process, cause)
            return
        self._metrics.scoring_up(name, up=False)
        goes_on = all(self._batching.judges(key) for key in self._book.in_force.keys)
        if goes_on:
            self._watchdog.scored(now_ns, process)  # what it had is closed, and nothing more waits for it
        if self.state == LineState.STARTING and exit_code in _FATAL:
            self._unavailable.add(process)
            # One missing device of several makes a slower line; a bank that is refused is the same for all.
            if exit_code == ExitCode.BAD_INPUT or len(self._unavailable) == len(self._scoring.serving):
                self._fatal = _FATAL[ExitCode(exit_code)](cause)
        self._plant.emit("warning" if goes_on else "alarm", "scoring_lost", process=name, detail=cause)

    # --- changeover (changeover.ChangeoverLine) ------------------------------------------------------------

    def on_banks_changed(self) -> None:
        """Name and compare by the banks that are loaded now."""
        self._loader.serve_loaded(is_recording=self._changeover.is_recording)
        banks = [
            bank for bank in self._scoring.loaded(self._scoring.stages) if self._book.is_loaded(bank.recipe)
        ]
        judged = [(self._book.recipe(bank.recipe), bank) for bank in banks]
        self._publishing.use_banks(judged)
        self._evidence.use_banks(judged)
        self._formats.use_banks(banks)
        self.drift_watch.use_banks(banks)
        self._metrics.banks(banks)

    def on_cameras_changed(self, cameras: Sequence[Camera], files: Files) -> None:
        """A reload changes how pictures are made: golden parts have to be shown again."""
        self._golden.change_cameras(cameras, files)

    def on_recipe_in_force(self, recipe: LineRecipe, before: LineRecipe | None) -> None:
        """Have cameras set as the recipe needs, and report that it judges from now on."""
        self._loader.serve_loaded(is_recording=self._changeover.is_recording)
        for name, settings in recipe.camera_settings.items():
            self._cameras[name].use_settings(settings)
        was = None if before is None else (before.id, before.version)
        self._metrics.recipe_in_force(recipe.id, recipe.version, was)
        if before is not None:
            self.drift_watch.use_recipes(recipe.keys)
            self._golden.change_over()
            self._record_judged()
        if recipe.name == self._shadow.name:
            self._shadow.end("it is in force now")
        if before is None and recipe.id != FILE:
            detail = f"{recipe.name} of the recipe store; the configuration file's recipes are not in force"
            self._plant.emit("info", "recipe_in_force", detail=detail)

    def _record_judged(self) -> None:
        """Record what the configuration file's recipes judge by; a version of the store never changes."""
        force = self._book.in_force
        if force.id == FILE:
            loaded = self._scoring.loaded(self._scoring.serving)
            found = [(self._publishing.sha256_of(bank.recipe), bank) for bank in loaded]
            judged = [
                (sha, bank, title_of(bank.recipe)[0] in force.titles)
                for sha, bank in found
                if sha and bank.recipe in force.keys
            ]
            self._audit.record_judged(judged, others=(title_of(key)[0] for key in force.keys))

    # --- what leaves (batching.stage.BatchingOutlet) ------------------------------------------------------

    def _final(self, inspection: Inspection | PendingView, outcome: Outcome) -> Outcome:
        """The last word on an outcome; see `GoldenChecks.final`."""
        return self._golden.final(inspection, outcome)

    def record_open(self, begun: Inspection | Part) -> None:
        """Record what was opened, so that the next start closes it should this one not do it."""
        if isinstance(begun, Part):
            self._publishing.record_open_part(begun.trigger, begun.deadline_ns, begun.views)
        else:
            self._publishing.record_open(begun)

    def send_batch(self, process: int, batch: Batch) -> bool:
        """Send a batch to a scoring process, which the watchdog then expects scores of."""
        now_ns = self._clock()
        for inspection in batch.inspections:
            self._metrics.stage("queue", (now_ns - inspection.opened_ns) / 1e9)
        sent = self._scoring.send(process, batch)
        if sent:
            self._watchdog.frame_submitted(now_ns, process)
            self._metrics.batch(len(batch.inspections))
        return sent

    def publish_verdict(self, inspection: Inspection | PendingView, outcome: Outcome) -> Verdict:
        """Publish an inspection's verdict, watch what its frame is like and offer its evidence."""
        verdict = self._publishing.record_verdict(inspection, outcome)
        self._formats.on_verdict(inspection, outcome)
        self.drift_watch.on_verdict(inspection, outcome)
        now_ns = self._clock()
        self._plant.on_verdict(verdict, now_ns)
        if inspection.frame is not None:
            free_slots = self._cameras[inspection.camera].free_slots
            self._evidence.offer(inspection.frame, verdict, outcome, now_ns)
            self._previews.offer(inspection.frame, verdict, outcome, free_slots, now_ns)
            self._shadow.offer(inspection, verdict, free_slots, now_ns)
        return verdict

    def publish_part(self, part: Part, outcome: Outcome, views: list[ViewVerdict]) -> None:
        """See `BatchingOutlet.publish_part`."""
        self._publishing.record_part(part.trigger, part.deadline_ns, outcome, views)
        self._golden.close_part(part.trigger, [view.recipe for view in part.views])

    def publish_shadow(self, score: ShadowScore) -> None:
        """See `ShadowOutlet.publish_shadow`."""
        self._publishing.publish_shadow(score)

    def publish_late(self, inspection: Inspection, score: Score, now_ns: int) -> None:
        """See `BatchingOutlet.publish_late`."""
        self._metrics.late_score()
        self._publishing.publish_late(inspection, score, now_ns)

    def count_unclaimed(self, frame: FrameRef) -> None:
        """See `BatchingOutlet.count_unclaimed`."""
        self._metrics.untriggered(frame)

    def release(self, frame: FrameRef) -> None:
        """Give a frame's slot back, once evidence, previews and the shadow have it no longer."""
        self._evidence.holds.release(frame)

    # --- previews (preview.stage.PreviewOutlet) -----------------------------------------------------------

    def preview_topics(self) -> set[bytes]:
        """See `PreviewOutlet.preview_topics`."""
        return self._bus.preview_topics()

    def publish_preview(self, header: PreviewHeader, jpeg: bytes, heat: bytes) -> bool:
        """See `PreviewOutlet.publish_preview`."""
        return self._bus.offer_preview(header, jpeg, heat)

    def on_preview(self, result: PreviewResult) -> None:
        """See `PreviewOutlet.on_preview`."""
        self._metrics.preview(result)
