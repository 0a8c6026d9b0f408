"""Every metric of the daemon, in one place, on a registry that is handed in.

Labels are bounded: plants, lines and cameras come from the configuration, the rest from closed sets. Part ids
never become labels.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from inspectd import __version__
from inspectd.errors import UnavailableError
from inspectd.ipc.messages import BankInfo
from inspectd.records import DropCause, Evaluation, Reason, Verdict

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

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
_DECIDED: Final = {Reason.WITHIN_THRESHOLD: Evaluation.PASS, Reason.ABOVE_THRESHOLD: Evaluation.FAIL}


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
        build = Gauge("inspectd_build_info", "Version of inspectd; always 1.", ["version"], registry=registry)
        build.labels(__version__).set(1)
        self._deadline.labels(line).set(deadline_ms / 1000)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._start_at_zero(cameras)

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
                metric.labels(self._line, camera)
            for reason in Reason:
                evaluation = _DECIDED.get(reason, Evaluation.UNDECIDABLE)
                self._verdicts.labels(self._line, camera, evaluation, reason)
            for cause in DropCause:
                self._drops.labels(self._line, camera, "capture", cause)
            self._restarts.labels(self._line, f"capture:{camera}")
        self._restarts.labels(self._line, "scoring")
        for kind in ("v", "h", "hb", "ev"):
            self._messages.labels(self._line, kind)
        self._late_scores.labels(self._line)
        self._scoring_up.labels(self._line).set(0)

    def frame_captured(self, camera: str, captured_utc_ns: int | None) -> None:
        """A camera delivered a frame; `captured_utc_ns` is None for one that was dropped at once."""
        self._captured.labels(self._line, camera).inc()
        if captured_utc_ns is not None:
            self._camera_last_frame.labels(self._line, camera).set(captured_utc_ns / 1e9)

    def dropped(self, camera: str, stage: str, cause: DropCause) -> None:
        """A frame was lost before an inspection could be opened."""
        self._drops.labels(self._line, camera, stage, cause).inc()

    def verdict(self, verdict: Verdict) -> None:
        """A verdict was published."""
        self._verdicts.labels(self._line, verdict.camera, verdict.evaluation, verdict.reason).inc()
        self._latency.labels(self._line, verdict.camera).observe(verdict.latency_ms / 1000)
        self._last_verdict.labels(self._line).set(verdict.decided_utc_ns / 1e9)
        if verdict.score is not None and verdict.threshold is not None and verdict.threshold > 0:
            self._score_ratio.labels(self._line, verdict.camera).observe(verdict.score / verdict.threshold)

    def stage(self, stage: str, seconds: float) -> None:
        """A stage took `seconds`."""
        self._stage.labels(self._line, stage).observe(seconds)

    def batch(self, size: int) -> None:
        """A batch of `size` inspections went to scoring."""
        self._batch_size.labels(self._line).observe(size)

    def late_score(self) -> None:
        """A score came after its inspection was closed; it changes nothing."""
        self._late_scores.labels(self._line).inc()

    def published(self, kind: str) -> None:
        """A message of `kind` (`v`, `h`, `hb`, `ev`) was given to the bus."""
        self._messages.labels(self._line, kind).inc()

    def restarted(self, process: str) -> None:
        """A child process is replaced."""
        self._restarts.labels(self._line, process).inc()

    def camera_up(self, camera: str, *, up: bool) -> None:
        """A camera came up or went down."""
        self._camera_up.labels(self._line, camera).set(up)

    def scoring_up(self, *, up: bool) -> None:
        """The scoring process became warm or went away."""
        self._scoring_up.labels(self._line).set(up)

    def bank(self, bank: BankInfo) -> None:
        """A recipe's bank and threshold are in force."""
        labels = (self._line, bank.recipe, bank.bank_sha256, bank.detector, bank.backbone)
        self._bank.labels(*labels).set(1)
        self._bank_rows.labels(self._line, bank.recipe).set(bank.rows)
        self._threshold.labels(self._line, bank.recipe).set(bank.threshold)

    def levels(self, *, inspections_open: int, waiting: int, scoring: int) -> None:
        """How full the pipeline is now."""
        self._open.labels(self._line).set(inspections_open)
        self._queue.labels(self._line, "batching").set(waiting)
        self._queue.labels(self._line, "scoring").set(scoring)

    def ring(self, camera: str, *, held: int, slots: int) -> None:
        """How full a camera's ring is now."""
        self._ring_held.labels(self._line, camera).set(held)
        self._ring_slots.labels(self._line, camera).set(slots)

    def subscriptions(self, socket: str, count: int) -> None:
        """How many subscriptions readers hold on a socket."""
        self._subscribers.labels(self._line, socket).set(count)


class MetricsServer:
    """The HTTP endpoint Prometheus scrapes, in a thread of its own."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        """Listen on `host:port`.

        Raises:
            UnavailableError: the address is taken or is none of this host's.
        """
        try:
            served: tuple[WSGIServer, threading.Thread] = start_http_server(port, host, registry)
        except OSError as error:
            raise UnavailableError(
                f"metrics.port: cannot listen on {host}:{port}: {error.strerror or error}; "
                "choose another port or stop what uses it"
            ) from error
        self._server, self._thread = served

    def close(self) -> None:
        """Stop listening and wait for the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
