"""Every metric of the daemon, in one place, on a registry that is handed in.

Labels are bounded: plants, lines and cameras come from the configuration, the rest from closed sets. Part ids
never become labels.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    make_wsgi_app,
)

from inspectd import __version__, config
from inspectd.endpoint import Endpoint, Users, tls_context
from inspectd.errors import UnavailableError
from inspectd.publish.journal.records import Levels
from inspectd.records import BankInfo, DropCause, EvidenceResult, FrameRef
from inspectd.wire import Evaluation, PartVerdict, Reason, RefusalReason, Verdict
from inspectd.wire.sync import ErrorReason

Series = TypeVar("Series", bound=Counter | Gauge | Histogram)

_COMMIT_BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_STAGE_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SCORE_RATIO_BUCKETS: Final = (
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.95,
    1.0,
    1.05,
    1.1,
    1.2,
    1.5,
    2.0,
    5.0,
)
_DEADLINE_SHARES: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.25, 2.0)
_ACCEPTED: Final = "accepted"
_DECIDED: Final = {Reason.WITHIN_THRESHOLD: Evaluation.PASS, Reason.ABOVE_THRESHOLD: Evaluation.FAIL}


AUTH_CAUSES: Final = {
    "verdicts": ("unknown_key", "role", "no_list", "handshake"),
    "heatmaps": ("unknown_key", "role", "no_list", "handshake"),
    "sync": ("unknown_key", "role", "no_list", "handshake"),
    "control": ("unknown_key", "role", "no_list", "handshake"),
    "metrics": ("password",),
}
"""Causes of a refusal by socket (`publish.access.auth.Cause`)."""

CUT_CAUSES: Final = {
    "verdicts": ("subscriptions", "half_sent"),
    "heatmaps": ("subscriptions", "half_sent"),
    "sync": ("parts", "half_sent"),
    "control": ("parts", "half_sent"),
}
"""Why a client may be cut off, by socket (`publish.door.sockets.CutCause`)."""


class Metrics:
    """The daemon's metrics; each method is one thing that happened."""

    def __init__(
        self, line: str, cameras: Sequence[str], deadline_ms: float, registry: CollectorRegistry | None = None
    ) -> None:
        """Declare every metric, with series at zero for `line` and each of its `cameras`.

        Args:
            line: the line's name, label of every series.
            cameras: the configured cameras' names.
            deadline_ms: latency buckets are set around it.
            registry: where they are collected; a fresh one by default.
        """
        registry = registry or CollectorRegistry()
        self.registry = registry
        self._line = line
        self._series: dict[tuple[Counter | Gauge | Histogram | str, ...], Counter | Gauge | Histogram] = {}
        buckets = [share * deadline_ms / 1000 for share in _DEADLINE_SHARES]
        by_line, by_camera = ["line"], ["line", "camera"]
        self._captured = Counter(
            "inspectd_frames_captured", "Frames a camera delivered.", by_camera, registry=registry
        )
        self._drops = Counter(
            "inspectd_drops",
            "Frames lost before inspection.",
            [*by_camera, "stage", "cause"],
            registry=registry,
        )
        self._verdicts = Counter(
            "inspectd_verdicts",
            "Verdicts published.",
            [*by_camera, "evaluation", "reason"],
            registry=registry,
        )
        self._triggers = Counter(
            "inspectd_triggers",
            "Messages on the control socket, by their answer.",
            ["line", "answer"],
            registry=registry,
        )
        self._parts = Counter(
            "inspectd_parts",
            "Verdicts of triggered parts published.",
            ["line", "evaluation", "reason"],
            registry=registry,
        )
        self._triggers_open = Gauge(
            "inspectd_triggers_open", "Accepted triggers without a verdict yet.", by_line, registry=registry
        )
        self._latency = Histogram(
            "inspectd_verdict_latency_seconds",
            "From a frame's capture to its verdict.",
            by_camera,
            buckets=buckets,
            registry=registry,
        )
        self._stage = Histogram(
            "inspectd_stage_seconds",
            "Time an inspection spends in a stage.",
            ["line", "stage"],
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self._score_ratio = Histogram(
            "inspectd_score_ratio",
            "Image score divided by its threshold; above 1 the part fails.",
            by_camera,
            buckets=_SCORE_RATIO_BUCKETS,
            registry=registry,
        )
        self._batch_size = Histogram(
            "inspectd_batch_size",
            "Inspections scored together.",
            by_line,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=registry,
        )
        self._late_scores = Counter(
            "inspectd_late_scores",
            "Scores that came after their inspection was closed.",
            by_line,
            registry=registry,
        )
        self._open = Gauge(
            "inspectd_inspections_open", "Inspections without a verdict yet.", by_line, registry=registry
        )
        self._queue = Gauge(
            "inspectd_queue_depth", "Inspections in a queue.", ["line", "queue"], registry=registry
        )
        self._ring_held = Gauge(
            "inspectd_ring_slots_held", "Ring slots in use.", by_camera, registry=registry
        )
        self._ring_slots = Gauge("inspectd_ring_slots", "Ring slots there are.", by_camera, registry=registry)
        self._camera_up = Gauge(
            "inspectd_camera_up",
            "1 while the camera delivers or has ended its replay.",
            by_camera,
            registry=registry,
        )
        self._camera_last_frame = Gauge(
            "inspectd_camera_last_frame_timestamp_seconds",
            "When the camera's last frame was captured, Unix time.",
            by_camera,
            registry=registry,
        )
        self._scoring_up = Gauge(
            "inspectd_scoring_up", "1 while the scoring process is warm.", by_line, registry=registry
        )
        self._last_verdict = Gauge(
            "inspectd_last_verdict_timestamp_seconds",
            "When the last verdict was published, Unix time.",
            by_line,
            registry=registry,
        )
        self._restarts = Counter(
            "inspectd_process_restarts", "Child processes replaced.", ["line", "process"], registry=registry
        )
        self._messages = Counter(
            "inspectd_bus_messages", "Messages given to the bus.", ["line", "kind"], registry=registry
        )
        self._subscribers = Gauge(
            "inspectd_bus_subscriptions", "Subscriptions readers hold.", ["line", "socket"], registry=registry
        )
        self._foreign = Counter(
            "inspectd_bus_malformed",
            "Messages on a socket for subscriptions that were none.",
            ["line", "socket"],
            registry=registry,
        )
        self._deadline = Gauge(
            "inspectd_deadline_seconds", "Configured capture-to-verdict deadline.", by_line, registry=registry
        )
        self._threshold = Gauge(
            "inspectd_threshold", "Threshold in force for a recipe.", ["line", "recipe"], registry=registry
        )
        self._bank = Gauge(
            "inspectd_bank_info",
            "The bank in force for a recipe; always 1.",
            ["line", "recipe", "sha256", "detector", "backbone"],
            registry=registry,
        )
        self._bank_rows = Gauge(
            "inspectd_bank_rows", "Rows of a recipe's bank.", ["line", "recipe"], registry=registry
        )
        self._auth_failures = Counter(
            "inspectd_auth_failures",
            "Clients refused: their key, role or password is not allowed, or the hand-shake failed.",
            ["line", "socket", "cause"],
            registry=registry,
        )
        self._insecure = Gauge(
            "inspectd_insecure_endpoints",
            "Plain TCP endpoints other hosts can reach (security.insecure).",
            by_line,
            registry=registry,
        )
        self._keys_unread = Gauge(
            "inspectd_keys_unread",
            "1 while the disk of the list of allowed keys does not answer.",
            by_line,
            registry=registry,
        )
        self._stood_still = Counter(
            "inspectd_stood_still",
            "Times the main process looked at nothing for longer than 100 ms.",
            by_line,
            registry=registry,
        )
        self._evidence = Counter(
            "inspectd_evidence",
            "Parts whose evidence was wanted, by what became of it.",
            ["line", "result"],
            registry=registry,
        )
        self._evidence_writable = Gauge(
            "inspectd_evidence_writable", "1 while evidence can be kept.", by_line, registry=registry
        )
        self._evidence_bytes = Gauge(
            "inspectd_evidence_bytes", "What evidence takes on the disk.", by_line, registry=registry
        )
        self._evidence_quota = Gauge(
            "inspectd_evidence_quota_bytes", "Most that evidence may take.", by_line, registry=registry
        )
        build = Gauge("inspectd_build_info", "Version of inspectd; always 1.", ["version"], registry=registry)
        build.labels(__version__).set(1)
        self._deadline.labels(line).set(deadline_ms / 1000)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._declare_journal(registry)
        self._make_doors(registry)
        self._start_at_zero(cameras)

    def _declare_journal(self, registry: CollectorRegistry) -> None:
        by_line = ["line"]
        self._journal_up = Gauge(
            "inspectd_journal_up", "1 while verdicts are recorded.", by_line, registry=registry
        )
        self._journal_commit = Histogram(
            "inspectd_journal_commit_seconds",
            "Time to record a group of verdicts.",
            by_line,
            buckets=_COMMIT_BUCKETS,
            registry=registry,
        )
        self._journal_rows = Counter(
            "inspectd_journal_verdicts", "Verdicts recorded before they were published.", by_line,
            registry=registry,
        )  # fmt: skip
        self._journal_unrecorded = Counter(
            "inspectd_journal_unrecorded", "Verdicts published before they were recorded.", by_line,
            registry=registry,
        )  # fmt: skip
        self._journal_forgotten = Counter(
            "inspectd_journal_forgotten", "Verdicts that will never be recorded.", by_line, registry=registry
        )
        self._journal_bytes = Gauge(
            "inspectd_journal_bytes", "Size of the journal.", by_line, registry=registry
        )
        self._journal_free = Gauge(
            "inspectd_journal_disk_free_bytes", "Free space on the journal's disk.", by_line,
            registry=registry,
        )  # fmt: skip
        self._journal_oldest = Gauge(
            "inspectd_journal_oldest_timestamp_seconds",
            "When the oldest verdict that is kept was recorded, Unix time.",
            by_line,
            registry=registry,
        )
        self._journal_ahead = Gauge(
            "inspectd_journal_clock_ahead_seconds",
            "How far the wall clock leapt ahead of the verdicts, for a day; else 0.",
            by_line,
            registry=registry,
        )
        self._journal_set_aside = Counter(
            "inspectd_journal_set_aside", "Damaged journals that were set aside.", by_line, registry=registry
        )
        self._restarted_verdicts = Counter(
            "inspectd_restarted_verdicts",
            "Verdicts for what an earlier start left open.",
            by_line,
            registry=registry,
        )
        self._sync_requests = Counter(
            "inspectd_sync_requests", "Requests at the sync socket.", ["line", "kind"], registry=registry
        )
        self._replayed = Counter(
            "inspectd_replayed_verdicts", "Verdicts sent again.", by_line, registry=registry
        )

    def _make_doors(self, registry: CollectorRegistry) -> None:
        """What is counted of clients' connections, and of the log."""
        by_line = ["line"]
        by_socket = ["line", "door", "socket"]
        self._connections = Gauge(
            "inspectd_bus_connections",
            "Connections of clients, those without a finished hand-shake included.",
            by_socket,
            registry=registry,
        )
        self._shut = Gauge(
            "inspectd_bus_shut", "1 while a socket takes no more connections.", by_socket, registry=registry
        )
        self._cut_off = Counter(
            "inspectd_bus_cut_off",
            "Connections ended for what the client sent.",
            ["line", "socket", "cause"],
            registry=registry,
        )
        self._door_lost = Counter(
            "inspectd_bus_lost", "Messages that a door did not take.", ["line", "door"], registry=registry
        )
        self._log_dropped = Counter(
            "inspectd_log_lines_dropped",
            "Log lines of the main process that whoever reads its standard error did not take.",
            by_line,
            registry=registry,
        )
        self._of(self._log_dropped)
        for door in ("local", "tcp"):
            self._of(self._door_lost, door)
        for socket, causes in CUT_CAUSES.items():
            for cause in causes:
                self._of(self._cut_off, socket, cause)

    def _start_at_zero(self, cameras: Sequence[str]) -> None:
        """Create the series alerts compare, so that their first increase is seen as one."""
        for camera in cameras:
            for metric in (
                self._captured,
                self._latency,
                self._score_ratio,
                self._camera_up,
                self._ring_held,
            ):
                self._of(metric, camera)
            for reason in Reason:
                evaluation = _DECIDED.get(reason, Evaluation.UNDECIDABLE)
                self._of(self._verdicts, camera, evaluation, reason)
            for cause in DropCause:
                self._of(self._drops, camera, "capture", cause)
            self._of(self._restarts, f"capture:{camera}")
        for process in ("scoring", "door:local", "door:tcp"):
            self._of(self._restarts, process)
        for answer in (_ACCEPTED, *RefusalReason):
            self._of(self._triggers, answer)
        for kind in ("v", "p", "late", "h", "hb", "ev"):
            self._of(self._messages, kind)
        for result in EvidenceResult:
            self._of(self._evidence, result)
        for socket, causes in AUTH_CAUSES.items():
            for auth_cause in causes:
                self._of(self._auth_failures, socket, auth_cause)
        self._of(self._late_scores)
        for metric in (
            self._journal_up,
            self._journal_commit,
            self._journal_rows,
            self._journal_unrecorded,
            self._journal_forgotten,
            self._journal_set_aside,
            self._restarted_verdicts,
            self._replayed,
        ):
            self._of(metric)
        for kind in ("snapshot", "replay", *ErrorReason):
            self._of(self._sync_requests, kind)
        self._of(self._scoring_up).set(0)
        self._of(self._keys_unread).set(0)
        self._of(self._stood_still)

    def _of(self, metric: Series, *labels: str) -> Series:
        """This line's series of a metric; asked for several times a part, so it is looked up once."""
        series = self._series.get((metric, *labels))
        if series is None:
            series = self._series[metric, *labels] = metric.labels(self._line, *labels)
        return series  # type: ignore[return-value]  # the one that was made of `metric`

    def frame_captured(self, camera: str, captured_utc_ns: int | None) -> None:
        """A camera delivered a frame; `captured_utc_ns` is None for one that was dropped at once."""
        self._of(self._captured, camera).inc()
        if captured_utc_ns is not None:
            self._of(self._camera_last_frame, camera).set(captured_utc_ns / 1e9)

    def dropped(self, camera: str, stage: str, cause: DropCause) -> None:
        """A frame was lost before an inspection could be opened."""
        self._of(self._drops, camera, stage, cause).inc()

    def untriggered(self, frame: FrameRef) -> None:
        """No trigger claimed a triggered camera's frame."""
        self.dropped(frame.camera, "batching", DropCause.UNTRIGGERED)

    def trigger(self, refusal: RefusalReason | None) -> None:
        """A message on the control socket was answered: taken, or refused for this reason."""
        self._of(self._triggers, refusal or _ACCEPTED).inc()

    def part(self, part: PartVerdict) -> None:
        """A triggered part's verdict was published."""
        self._of(self._parts, part.evaluation, part.reason).inc()
        self._of(self._last_verdict).set(part.decided_utc_ns / 1e9)

    def verdict(self, verdict: Verdict) -> None:
        """A verdict was published."""
        self._of(self._verdicts, verdict.camera, verdict.evaluation, verdict.reason).inc()
        self._of(self._latency, verdict.camera).observe(verdict.latency_ms / 1000)
        self._of(self._last_verdict).set(verdict.decided_utc_ns / 1e9)
        if verdict.score is not None and verdict.threshold is not None and verdict.threshold > 0:
            self._of(self._score_ratio, verdict.camera).observe(verdict.score / verdict.threshold)

    def stage(self, stage: str, seconds: float) -> None:
        """A stage took `seconds`."""
        self._of(self._stage, stage).observe(seconds)

    def batch(self, size: int) -> None:
        """A batch of `size` inspections went to scoring."""
        self._of(self._batch_size).observe(size)

    def late_score(self) -> None:
        """A score came after its inspection was closed; it changes nothing."""
        self._of(self._late_scores).inc()

    def published(self, kind: str) -> None:
        """A message of `kind` (`v`, `p`, `late`, `h`, `hb`, `ev`) was given to the bus."""
        self._of(self._messages, kind).inc()

    def restarted(self, process: str) -> None:
        """A child process is replaced."""
        self._of(self._restarts, process).inc()

    def camera_up(self, camera: str, *, up: bool) -> None:
        """A camera came up or went down."""
        self._of(self._camera_up, camera).set(up)

    def scoring_up(self, *, up: bool) -> None:
        """The scoring process became warm or went away."""
        self._of(self._scoring_up).set(up)

    def bank(self, bank: BankInfo) -> None:
        """A recipe's bank and threshold are in force."""
        self._of(self._bank, bank.recipe, bank.bank_sha256, bank.detector, bank.backbone).set(1)
        self._of(self._bank_rows, bank.recipe).set(bank.rows)
        self._of(self._threshold, bank.recipe).set(bank.threshold)

    def auth_failed(self, socket: str, cause: str, count: int = 1) -> None:
        """So many more clients of `socket` were refused."""
        self._of(self._auth_failures, socket, cause).inc(count)

    def insecure(self, endpoints: int) -> None:
        """So many plain TCP endpoints can be reached from other hosts."""
        self._of(self._insecure).set(endpoints)

    def keys_unread(self, *, unread: bool) -> None:
        """The list of allowed keys can be looked at now, or its disk does not answer."""
        self._of(self._keys_unread).set(unread)

    def stood_still(self) -> None:
        """The main process looked at nothing for too long."""
        self._of(self._stood_still).inc()

    def evidence(self, result: EvidenceResult) -> None:
        """Evidence of a part was wanted, and this became of it."""
        self._of(self._evidence, result).inc()

    def evidence_level(self, *, writable: bool, used_bytes: int, quota_bytes: int) -> None:
        """How evidence stands."""
        self._of(self._evidence_writable).set(writable)
        self._of(self._evidence_bytes).set(used_bytes)
        self._of(self._evidence_quota).set(quota_bytes)

    def levels(self, *, inspections_open: int, waiting: int, scoring: int, triggers_open: int = 0) -> None:
        """How full the pipeline is now."""
        self._of(self._triggers_open).set(triggers_open)
        self._of(self._open).set(inspections_open)
        self._of(self._queue, "batching").set(waiting)
        self._of(self._queue, "scoring").set(scoring)

    def ring(self, camera: str, *, held: int, slots: int) -> None:
        """How full a camera's ring is now."""
        self._of(self._ring_held, camera).set(held)
        self._of(self._ring_slots, camera).set(slots)

    def subscriptions(self, socket: str, count: int) -> None:
        """How many subscriptions readers hold on a socket."""
        self._of(self._subscribers, socket).set(count)

    def foreign(self, socket: str, count: int) -> None:
        """So many more messages came on a socket for subscriptions that were none."""
        self._of(self._foreign, socket).inc(count)

    def connections(self, door: str, socket: str, count: int, *, is_shut: bool) -> None:
        """How many clients a door has at a socket, and whether it takes more."""
        self._of(self._connections, door, socket).set(count)
        self._of(self._shut, door, socket).set(is_shut)

    def cut_off(self, socket: str, cause: str, count: int) -> None:
        """So many more connections were ended for what the client sent."""
        self._of(self._cut_off, socket, cause).inc(count)

    def door_lost_messages(self, door: str, count: int) -> None:
        """So many more messages were not taken by a door."""
        self._of(self._door_lost, door).inc(count)

    def log_lines_dropped(self, count: int) -> None:
        """So many more lines could not be logged."""
        self._of(self._log_dropped).inc(count)

    def journal_recording(self, *, recording: bool) -> None:
        """Verdicts are recorded now, or are not."""
        self._of(self._journal_up).set(recording)

    def journal_committed(self, rows: int, seconds: float) -> None:
        """A group of verdicts was recorded."""
        self._of(self._journal_rows).inc(rows)
        self._of(self._journal_commit).observe(seconds)

    def journal_unrecorded(self) -> None:
        """A verdict was published before it was recorded."""
        self._of(self._journal_unrecorded).inc()

    def journal_forgotten(self, rows: int) -> None:
        """Verdicts waited too long for the disk; they will never be recorded."""
        self._of(self._journal_forgotten).inc(rows)

    def journal_set_aside(self) -> None:
        """A damaged journal was set aside."""
        self._of(self._journal_set_aside).inc()

    def journal_levels(self, levels: Levels) -> None:
        """How full the journal is now."""
        self._of(self._journal_bytes).set(levels.size_bytes)
        self._of(self._journal_free).set(levels.free_bytes)
        self._of(self._journal_ahead).set(levels.clock_ahead_ns / 1e9)
        if levels.oldest_utc_ns is not None:
            self._of(self._journal_oldest).set(levels.oldest_utc_ns / 1e9)

    def restarted_verdicts(self, count: int) -> None:
        """What an earlier start left open got its verdicts."""
        self._of(self._restarted_verdicts).inc(count)

    def sync_request(self, kind: str) -> None:
        """A request came to the sync socket: `snapshot`, `replay`, or why it was refused."""
        self._of(self._sync_requests, kind).inc()

    def replayed(self, verdicts: int) -> None:
        """Verdicts were sent again."""
        self._of(self._replayed).inc(verdicts)


def metrics_access(settings: config.Metrics) -> tuple[ssl.SSLContext | None, Users | None]:
    """What guards the endpoint: its certificate and its users, each where the settings name one.

    Raises:
        InputError: a certificate, key or users file cannot be used.
    """
    tls = None
    if settings.tls_certificate and settings.tls_key:
        tls = tls_context(Path(settings.tls_certificate), Path(settings.tls_key))
    return tls, Users(Path(settings.users_file)) if settings.users_file else None


class MetricsServer:
    """The HTTP endpoint Prometheus scrapes, in a thread of its own."""

    def __init__(
        self,
        registry: CollectorRegistry,
        settings: config.Metrics,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Listen as `settings` say; `on_refused` hears of each wrong name or password.

        Raises:
            InputError: a certificate, key or users file cannot be used.
            UnavailableError: the address is taken or is none of this host's.
        """
        tls, users = metrics_access(settings)
        address = (settings.host, settings.port)
        try:
            self._endpoint = Endpoint(
                make_wsgi_app(registry), address, tls=tls, users=users, on_refused=on_refused
            )
        except OSError as error:
            raise UnavailableError(
                f"metrics.port: cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
                "choose another port or stop what uses it"
            ) from error

    def close(self) -> None:
        """Stop listening and wait for the thread."""
        self._endpoint.close()
