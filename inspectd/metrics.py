"""Every metric of the daemon, in one place, on a registry of its own.

Labels are bounded: plants, lines and cameras come from the configuration, the rest from closed sets. Part ids
never become labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from inspectd import __version__
from inspectd.publish.journal.records import Levels
from inspectd.quality.drift import DriftCause
from inspectd.records import BankInForce, DropCause, EvidenceResult, FrameRef, PreviewResult, ReloadResult
from inspectd.wire import (
    Evaluation,
    HealthStatus,
    PartVerdict,
    Reason,
    RecipeAction,
    RecipeRefusalReason,
    RefusalReason,
    Verdict,
)
from inspectd.wire.golden import GoldenAgreement, GoldenOutcome, GoldenState
from inspectd.wire.health import CONDITIONS
from inspectd.wire.shadow import ShadowResult, ShadowScore
from inspectd.wire.sockets import SOCKETS, AuthCause
from inspectd.wire.sync import ErrorReason

Series = TypeVar("Series", bound=Counter | Gauge | Histogram)
Labels = tuple[str, ...]

AUTH_CAUSES: Final = {**dict.fromkeys(SOCKETS, tuple(AuthCause)), "metrics": ("password",)}
"""Causes for which a client may be refused, by socket."""

CUT_CAUSES: Final = {name: socket.cut_causes for name, socket in SOCKETS.items()}
"""Causes for which a client may be cut off, by socket."""

_ACCEPTED: Final = "accepted"
_DECIDED: Final = {Reason.WITHIN_THRESHOLD: Evaluation.PASS, Reason.ABOVE_THRESHOLD: Evaluation.FAIL}


@dataclass(frozen=True, eq=False)
class _Metric(Generic[Series]):
    """A row of the table of metrics.

    Attributes:
        kind: makes it.
        name: without the prefix `inspectd_`.
        about: its help text.
        labels: those after `line`, which every one has.
        zeros: label values of the series that are there from the start, so that an alert sees their first
            increase as one; `{camera}` stands for each camera, `{scoring}` for each scoring process.
    """

    kind: Callable[..., Series]
    name: str
    about: str
    labels: Labels
    zeros: Sequence[Labels]


_TABLE: Final[list[_Metric[Any]]] = []


def _declare(
    kind: Callable[..., Series], name: str, about: str, labels: str = "", zeros: Sequence[Labels] = ()
) -> _Metric[Series]:
    metric = _Metric(kind, name, about, tuple(labels.split()), zeros)
    _TABLE.append(metric)
    return metric


def _each(*values: str) -> list[Labels]:
    return [(value,) for value in values]


def _pairs(causes: Mapping[str, tuple[str, ...]]) -> list[Labels]:
    return [(socket, cause) for socket in causes for cause in causes[socket]]


_LINE: Final[list[Labels]] = [()]
_CAMERAS: Final = _each("{camera}")
_BY_CAUSE: Final[list[Labels]] = [("{camera}", "capture", cause) for cause in DropCause]
_BY_REASON: Final[list[Labels]] = [
    ("{camera}", _DECIDED.get(reason, Evaluation.UNDECIDABLE), reason) for reason in Reason
]
_SCORING: Final = _each("{scoring}")
_PROCESSES: Final = _each("capture:{camera}", "{scoring}", "shadow", "preview", "door:local", "door:tcp")
_KINDS: Final = _each("v", "p", "late", "h", "hb", "ev", "g", "s", "pv")
_BY_SHADOW: Final[list[Labels]] = [
    ("{camera}", verdict, shadow)
    for verdict in (Evaluation.PASS, Evaluation.FAIL)
    for shadow in (Evaluation.PASS, Evaluation.FAIL)
]
_SYNC: Final = _each("snapshot", "status", "replay", *ErrorReason)

_DEADLINE_SHARES: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.25, 2.0)
_SHARES: Final = partial(
    Histogram, buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.25, 2.0)
)
_STAGES: Final = partial(
    Histogram, buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
)
_RATIOS: Final = partial(
    Histogram, buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0)
)
_SIZES: Final = partial(Histogram, buckets=(1, 2, 4, 8, 16, 32, 64, 128))
_COMMITS: Final = partial(
    Histogram, buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
)

# fmt: off
_CAPTURED = _declare(Counter, "frames_captured", "Frames a camera delivered.", "camera", _CAMERAS)
_DROPS = _declare(Counter, "drops", "Frames lost before inspection.", "camera stage cause", _BY_CAUSE)
_VERDICTS = _declare(Counter, "verdicts", "Verdicts published.", "camera evaluation reason", _BY_REASON)
_REGION_VERDICTS = _declare(Counter, "region_verdicts",
    "Verdicts of each region of a camera; inspectd_verdicts_total has them too.", "camera region evaluation")
_TRIGGERS = _declare(Counter, "triggers",
    "Messages on the control socket, by their answer.", "answer", _each(_ACCEPTED, *RefusalReason))
_RECIPE_REQUESTS = _declare(Counter, "recipe_requests",
    "Requests for recipes, by what was asked and the answer.", "action answer",
    [("-", RecipeRefusalReason.MALFORMED),
     *((action, answer) for action in RecipeAction for answer in (_ACCEPTED, *RecipeRefusalReason))])
_RELOADS = _declare(Counter, "reloads",
    "Times the configuration file was to be read again, by what became of it.", "result",
    _each(*ReloadResult))
_GOLDEN = _declare(Gauge, "golden_recipes",
    "Recipes in force with golden parts, by the state of their check.", "state", _each(*GoldenState))
_GOLDEN_CHECKS = _declare(Counter, "golden_checks",
    "Checks with golden parts that ended, by their outcome.", "outcome", _each(*GoldenOutcome))
_GOLDEN_SHOWINGS = _declare(Counter, "golden_showings",
    "Golden parts shown, by whether they agreed.", "agreement", _each(*GoldenAgreement))
_AUDIT_FAILURES = _declare(Counter, "audit_failures",
    "Records of the line that could not be written into its audit file.", "", _LINE)
_CHANGEOVERS = _declare(Counter, "changeovers", "Recipes put in force since the start.", "", _LINE)
_RECIPE_IN_FORCE = _declare(Gauge, "recipe_in_force",
    "The recipe that judges parts; always 1. file: the configuration file's.", "recipe version")
_SHADOW = _declare(Gauge, "shadow_info", "The recipe that scores without a vote; always 1.", "recipe")
_SHADOW_FRAMES = _declare(Counter, "shadow_frames",
    "Frames that a shadow might have scored, by what became of them.", "result", _each(*ShadowResult))
_SHADOW_VERDICTS = _declare(Counter, "shadow_verdicts",
    "Frames by their verdict and what it would have been by the shadow.", "camera verdict shadow", _BY_SHADOW)
_SHADOW_RATIO = _declare(_RATIOS, "shadow_score_ratio",
    "A shadow's image score divided by its threshold.", "camera")
_SHADOW_BEHIND = _declare(_STAGES, "shadow_behind_seconds",
    "From a frame's verdict to its score by the shadow.")
_PARTS = _declare(Counter, "parts", "Verdicts of triggered parts published.", "evaluation reason")
_TRIGGERS_OPEN = _declare(Gauge, "triggers_open", "Accepted triggers without a verdict yet.")
_SECOND_LOOKS = _declare(Counter, "second_looks",
    "Passes with a score above the recipe's check_above.", "camera", _CAMERAS)
_LATENCY = _declare(Histogram, "verdict_latency_seconds",
    "From a frame's capture to its verdict.", "camera", _CAMERAS)
_DEADLINE_SHARE = _declare(_SHARES, "verdict_deadline_share",
    "How much of its deadline a verdict took; a recipe may have another deadline than the line.",
    "camera", _CAMERAS)
_STAGE = _declare(_STAGES, "stage_seconds", "Time an inspection spends in a stage.", "stage")
_SCORE_RATIO = _declare(_RATIOS, "score_ratio",
    "Image score divided by its threshold; above 1 the part fails.", "camera", _CAMERAS)
_BATCH_SIZE = _declare(_SIZES, "batch_size", "Inspections scored together.")
_CAPACITY = _declare(Gauge, "scoring_capacity_per_second",
    "Images that scoring alone does in a second for a recipe, by what its last batches took.", "recipe")
_DRIFT = _declare(Gauge, "drift_share",
    "How much of the way from good images to a limit frames have drifted, by cause.", "camera cause",
    [("{camera}", cause) for cause in DriftCause])
_LATE_SCORES = _declare(Counter, "late_scores",
    "Scores that came after their inspection was closed.", "", _LINE)
_OPEN = _declare(Gauge, "inspections_open", "Inspections without a verdict yet.")
_FURTHER = _declare(Counter, "further_inspections",
    "Inspections beyond the first of their frame, of cameras with regions.", "", _LINE)
_QUEUE = _declare(Gauge, "queue_depth", "Inspections in a queue.", "queue")
_RING_HELD = _declare(Gauge, "ring_slots_held", "Ring slots in use.", "camera", _CAMERAS)
_RING_SLOTS = _declare(Gauge, "ring_slots", "Ring slots there are.", "camera")
_CAMERA_UP = _declare(Gauge, "camera_up",
    "1 while the camera delivers or has ended its replay.", "camera", _CAMERAS)
_CAMERA_LAST_FRAME = _declare(Gauge, "camera_last_frame_timestamp_seconds",
    "When the camera's last frame was captured, Unix time.", "camera")
_SCORING_UP = _declare(Gauge, "scoring_up", "1 while the scoring process is warm.", "process", _SCORING)
_ANSWERS = _declare(Counter, "scoring_answers",
    "Inspections that a scoring process answered.", "process", _SCORING)
_HEALTH = _declare(Gauge, "health",
    "1 for the line's NE 107 status signal, 0 for the others.", "status", _each(*HealthStatus))
_CONDITIONS = _declare(Gauge, "health_conditions",
    "How often a condition holds: once, or for so many cameras.", "condition", _each(*CONDITIONS))
_LAST_VERDICT = _declare(Gauge, "last_verdict_timestamp_seconds",
    "When the last verdict was published, Unix time.")
_RESTARTS = _declare(Counter, "process_restarts", "Child processes replaced.", "process", _PROCESSES)
_MESSAGES = _declare(Counter, "bus_messages", "Messages given to the bus.", "kind", _KINDS)
_SUBSCRIBERS = _declare(Gauge, "bus_subscriptions", "Subscriptions readers hold.", "socket")
_FOREIGN = _declare(Counter, "bus_malformed",
    "Messages on a socket for subscriptions that were none.", "socket")
_DEADLINE = _declare(Gauge, "deadline_seconds", "Configured deadline of the line.", "", _LINE)
_THRESHOLD = _declare(Gauge, "threshold", "Threshold in force for a recipe.", "recipe")
_BANK = _declare(Gauge, "bank_info",
    "The bank in force for a recipe; always 1.", "recipe sha256 detector backbone")
_BANK_ROWS = _declare(Gauge, "bank_rows", "Rows of a recipe's bank.", "recipe")
_AUTH_FAILURES = _declare(Counter, "auth_failures",
    "Clients refused: their key, role or password is not allowed, or the hand-shake failed.",
    "socket cause", _pairs(AUTH_CAUSES))
_INSECURE = _declare(Gauge, "insecure_endpoints",
    "Plain TCP endpoints other hosts can reach (security.insecure).")
_KEYS_UNREAD = _declare(Gauge, "keys_unread",
    "1 while the disk of the list of allowed keys does not answer.", "", _LINE)
_STOOD_STILL = _declare(Counter, "stood_still",
    "Times the main process looked at nothing for longer than 100 ms.", "", _LINE)
_EVIDENCE = _declare(Counter, "evidence",
    "Parts whose evidence was wanted, by what became of it.", "result", _each(*EvidenceResult))
_EVIDENCE_WRITABLE = _declare(Gauge, "evidence_writable", "1 while evidence can be kept.")
_EVIDENCE_BYTES = _declare(Gauge, "evidence_bytes", "What evidence takes on the disk.")
_EVIDENCE_QUOTA = _declare(Gauge, "evidence_quota_bytes", "Most that evidence may take.")
_PREVIEWS = _declare(Counter, "previews",
    "Previews that were wanted, by what became of them.", "result", _each(*PreviewResult))
_JOURNAL_UP = _declare(Gauge, "journal_up", "1 while verdicts are recorded.", "", _LINE)
_JOURNAL_COMMIT = _declare(_COMMITS, "journal_commit_seconds",
    "Time to record a group of verdicts.", "", _LINE)
_JOURNAL_ROWS = _declare(Counter, "journal_verdicts",
    "Verdicts recorded before they were published.", "", _LINE)
_JOURNAL_UNRECORDED = _declare(Counter, "journal_unrecorded",
    "Verdicts published before they were recorded.", "", _LINE)
_JOURNAL_FORGOTTEN = _declare(Counter, "journal_forgotten",
    "Verdicts that will never be recorded.", "", _LINE)
_JOURNAL_BYTES = _declare(Gauge, "journal_bytes", "Size of the journal.")
_JOURNAL_FREE = _declare(Gauge, "journal_disk_free_bytes", "Free space on the journal's disk.")
_JOURNAL_OLDEST = _declare(Gauge, "journal_oldest_timestamp_seconds",
    "When the oldest verdict that is kept was recorded, Unix time.")
_JOURNAL_AHEAD = _declare(Gauge, "journal_clock_ahead_seconds",
    "How far the wall clock leapt ahead of the verdicts, for a day; else 0.")
_JOURNAL_SET_ASIDE = _declare(Counter, "journal_set_aside",
    "Damaged journals that were set aside.", "", _LINE)
_RESTARTED_VERDICTS = _declare(Counter, "restarted_verdicts",
    "Verdicts for what an earlier start left open.", "", _LINE)
_SYNC_REQUESTS = _declare(Counter, "sync_requests", "Requests at the sync socket.", "kind", _SYNC)
_REPLAYED = _declare(Counter, "replayed_verdicts", "Verdicts sent again.", "", _LINE)
_CONNECTIONS = _declare(Gauge, "bus_connections",
    "Connections of clients, those without a finished hand-shake included.", "door socket")
_SHUT = _declare(Gauge, "bus_shut", "1 while a socket takes no more connections.", "door socket")
_CUT_OFF = _declare(Counter, "bus_cut_off",
    "Connections ended for what the client sent.", "socket cause", _pairs(CUT_CAUSES))
_DOOR_LOST = _declare(Counter, "bus_lost",
    "Messages that a door did not take.", "door", _each("local", "tcp"))
_LOG_DROPPED = _declare(Counter, "log_lines_dropped",
    "Log lines of the main process that whoever reads its standard error did not take.", "", _LINE)
# fmt: on


class Metrics:
    """The daemon's metrics; each method counts one kind of event, or sets levels."""

    def __init__(
        self,
        line: str,
        cameras: Sequence[str],
        deadline_ms: float,
        scoring: Sequence[str] = ("scoring",),
    ) -> None:
        """Declare every metric, with series at zero for `line` and each of its `cameras`.

        Args:
            line: the line's name, label of every series.
            cameras: the configured cameras' names.
            deadline_ms: latency buckets are set around it.
            scoring: the scoring processes' names.
        """
        self.registry = CollectorRegistry()
        self._line = line
        self._further = 0
        self._collectors = {metric: self._collector(metric, deadline_ms) for metric in _TABLE}
        self._series: dict[tuple[Any, ...], Any] = {}
        for metric in _TABLE:
            for labels in metric.zeros:
                text = "".join(labels)
                for camera in cameras if "{camera}" in text else ("",):
                    for process in scoring if "{scoring}" in text else ("",):
                        self._of(metric, *(each.format(camera=camera, scoring=process) for each in labels))
        self._of(_DEADLINE).set(deadline_ms / 1000)
        version = "Version of inspectd; always 1."
        Gauge("inspectd_build_info", version, ["version"], registry=self.registry).labels(__version__).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _collector(self, metric: _Metric[Any], deadline_ms: float) -> Any:
        kind = metric.kind
        if metric is _LATENCY:
            kind = partial(Histogram, buckets=[share * deadline_ms / 1000 for share in _DEADLINE_SHARES])
        labels = ("line", *metric.labels)
        return kind(f"inspectd_{metric.name}", metric.about, labels, registry=self.registry)

    def _of(self, metric: _Metric[Series], *labels: str) -> Series:
        """This line's series of a metric; asked for several times a part, so it is looked up once."""
        series: Series | None = self._series.get((metric, *labels))
        if series is None:
            series = self._series[metric, *labels] = self._collectors[metric].labels(self._line, *labels)
        return series

    def _drop(self, metric: _Metric[Any], *labels: str) -> None:
        """Have a series no more."""
        if self._series.pop((metric, *labels), None) is not None:
            self._collectors[metric].remove(self._line, *labels)

    def frame_captured(self, camera: str, captured_utc_ns: int | None) -> None:
        """A camera delivered a frame; `captured_utc_ns` is None for one that was dropped at once."""
        self._of(_CAPTURED, camera).inc()
        if captured_utc_ns is not None:
            self._of(_CAMERA_LAST_FRAME, camera).set(captured_utc_ns / 1e9)

    def dropped(self, camera: str, stage: str, cause: DropCause) -> None:
        """A frame was lost before an inspection could be opened."""
        self._of(_DROPS, camera, stage, cause).inc()

    def untriggered(self, frame: FrameRef) -> None:
        """No trigger claimed a triggered camera's frame."""
        self.dropped(frame.camera, "batching", DropCause.UNTRIGGERED)

    def trigger(self, refusal: RefusalReason | None) -> None:
        """See `ControlMetrics.trigger`."""
        self._of(_TRIGGERS, refusal or _ACCEPTED).inc()

    def part(self, part: PartVerdict) -> None:
        """See `PublishMetrics.part`."""
        self._of(_PARTS, part.evaluation, part.reason).inc()
        self._of(_LAST_VERDICT).set(part.decided_utc_ns / 1e9)

    def verdict(self, verdict: Verdict) -> None:
        """See `PublishMetrics.verdict`."""
        self._of(_VERDICTS, verdict.camera, verdict.evaluation, verdict.reason).inc()
        if verdict.region is not None:
            self._of(_REGION_VERDICTS, verdict.camera, verdict.region, verdict.evaluation).inc()
        if verdict.second_look:
            self._of(_SECOND_LOOKS, verdict.camera).inc()
        self._of(_LATENCY, verdict.camera).observe(verdict.latency_ms / 1000)
        if verdict.deadline_ms > 0:
            self._of(_DEADLINE_SHARE, verdict.camera).observe(verdict.latency_ms / verdict.deadline_ms)
        self._of(_LAST_VERDICT).set(verdict.decided_utc_ns / 1e9)
        if verdict.score is not None and verdict.threshold is not None and verdict.threshold > 0:
            self._of(_SCORE_RATIO, verdict.camera).observe(verdict.score / verdict.threshold)

    def stage(self, stage: str, seconds: float) -> None:
        """A stage took `seconds`."""
        self._of(_STAGE, stage).observe(seconds)

    def batch(self, size: int) -> None:
        """A batch of `size` inspections went to scoring."""
        self._of(_BATCH_SIZE).observe(size)

    def capacity(self, recipe: str, images_per_second: float) -> None:
        """Set what scoring alone can do for a recipe now."""
        self._of(_CAPACITY, recipe).set(images_per_second)

    def drift(self, place: str, cause: DriftCause, share: float) -> None:
        """Set how far the frames of a camera, or of a region of it, have drifted towards a limit."""
        self._of(_DRIFT, place, cause).set(share)

    def late_score(self) -> None:
        """A score came after its inspection's deadline; it changes nothing."""
        self._of(_LATE_SCORES).inc()

    def published(self, kind: str) -> None:
        """A message of `kind` (`v`, `p`, `late`, `h`, `hb`, `ev`) was given to the bus."""
        self._of(_MESSAGES, kind).inc()

    def restarted(self, process: str) -> None:
        """A child process is replaced."""
        self._of(_RESTARTS, process).inc()

    def camera_up(self, camera: str, *, up: bool) -> None:
        """A camera came up or went down."""
        self._of(_CAMERA_UP, camera).set(up)

    def scoring_up(self, process: str, *, up: bool) -> None:
        """A scoring process became warm or went away."""
        self._of(_SCORING_UP, process).set(up)

    def scoring_gone(self, process: str) -> None:
        """A scoring process ended that the line needs no more."""
        self._drop(_SCORING_UP, process)

    def recipe_request(self, action: RecipeAction | None, refusal: RecipeRefusalReason | None) -> None:
        """A request for a recipe was answered, or what it began came to nothing."""
        self._of(_RECIPE_REQUESTS, action or "-", refusal or _ACCEPTED).inc()

    def recipe_in_force(self, name: str, version: int, before: tuple[str, int] | None) -> None:
        """A recipe was put in force, in the place of another one."""
        if before is not None:
            self._drop(_RECIPE_IN_FORCE, before[0], str(before[1]))
            self._of(_CHANGEOVERS).inc()
        self._of(_RECIPE_IN_FORCE, name, str(version)).set(1)

    def reload(self, result: ReloadResult) -> None:
        """A request to read the configuration file again ended so."""
        self._of(_RELOADS, result).inc()

    def golden_recipes(self, states: Sequence[GoldenState]) -> None:
        """Set the states of the checks of all recipes in force that have golden parts."""
        for each in GoldenState:
            self._of(_GOLDEN, each).set(states.count(each))

    def golden_check(self, outcome: GoldenOutcome) -> None:
        """A check ended."""
        self._of(_GOLDEN_CHECKS, outcome).inc()

    def audit_failed(self) -> None:
        """A record could not be written into the audit file."""
        self._of(_AUDIT_FAILURES).inc()

    def golden_showing(self, agreement: GoldenAgreement) -> None:
        """A golden part was shown."""
        self._of(_GOLDEN_SHOWINGS, agreement).inc()

    def shadow(self, recipe: str | None) -> None:
        """This recipe scores without a vote; None: none does."""
        for _, name in [key for key in self._series if key[0] is _SHADOW]:
            self._drop(_SHADOW, name)
        if recipe is not None:
            self._of(_SHADOW, recipe).set(1)

    def shadow_frame(self, result: ShadowResult) -> None:
        """A frame came to the shadow, or did not."""
        self._of(_SHADOW_FRAMES, result).inc()

    def shadow_score(self, score: ShadowScore) -> None:
        """The shadow scored a frame."""
        self._of(_SHADOW_VERDICTS, score.camera, score.verdict, score.evaluation).inc()
        self._of(_SHADOW_BEHIND).observe(score.behind_ms / 1000)
        if score.score is not None and score.threshold:
            self._of(_SHADOW_RATIO, score.camera).observe(score.score / score.threshold)

    def banks(self, banks: Sequence[BankInForce]) -> None:
        """These are loaded now, and no others."""
        loaded = {bank.recipe for bank in banks}
        of_banks = {_BANK, _BANK_ROWS, _THRESHOLD, _CAPACITY}
        for metric, *labels in [key for key in self._series if key[0] in of_banks and key[1] not in loaded]:
            self._drop(metric, *labels)
        for bank in banks:
            self._of(_BANK, bank.recipe, bank.bank_sha256, bank.detector, bank.backbone).set(1)
            self._of(_BANK_ROWS, bank.recipe).set(bank.rows)
            self._of(_THRESHOLD, bank.recipe).set(bank.threshold)

    def answered(self, process: str) -> None:
        """A scoring process answered an inspection."""
        self._of(_ANSWERS, process).inc()

    def health(self, status: HealthStatus, conditions: Mapping[str, int]) -> None:
        """Set the line's status signal, and how often each condition holds."""
        for each in HealthStatus:
            self._of(_HEALTH, each).set(each is status)
        for name in CONDITIONS:
            self._of(_CONDITIONS, name).set(conditions.get(name, 0))

    def auth_failed(self, socket: str, cause: str, count: int = 1) -> None:
        """Count refused clients of `socket`."""
        self._of(_AUTH_FAILURES, socket, cause).inc(count)

    def insecure(self, endpoints: int) -> None:
        """Set the number of plain TCP endpoints that other hosts can reach."""
        self._of(_INSECURE).set(endpoints)

    def keys_unread(self, *, unread: bool) -> None:
        """The list of allowed keys can be looked at now, or its disk does not answer."""
        self._of(_KEYS_UNREAD).set(unread)

    def stood_still(self) -> None:
        """The main process looked at nothing for too long."""
        self._of(_STOOD_STILL).inc()

    def evidence(self, result: EvidenceResult) -> None:
        """Evidence of a part was wanted, and this became of it."""
        self._of(_EVIDENCE, result).inc()

    def evidence_level(self, *, writable: bool, used_bytes: int, quota_bytes: int) -> None:
        """Set the size of evidence on the disk, its quota, and whether more can be written."""
        self._of(_EVIDENCE_WRITABLE).set(writable)
        self._of(_EVIDENCE_BYTES).set(used_bytes)
        self._of(_EVIDENCE_QUOTA).set(quota_bytes)

    def preview(self, result: PreviewResult) -> None:
        """A preview was wanted, and this became of it."""
        self._of(_PREVIEWS, result).inc()

    def levels(
        self, *, inspections_open: int, waiting: int, scoring: int, triggers_open: int = 0, further: int = 0
    ) -> None:
        """Set the numbers of open triggers and inspections, and of those waiting in each queue.

        `further`: all inspections so far that were opened beyond the first of their frame.
        """
        self._of(_FURTHER).inc(further - self._further)
        self._further = further
        self._of(_TRIGGERS_OPEN).set(triggers_open)
        self._of(_OPEN).set(inspections_open)
        self._of(_QUEUE, "batching").set(waiting)
        self._of(_QUEUE, "scoring").set(scoring)

    def ring(self, camera: str, *, held: int, slots: int) -> None:
        """Set the slots of a camera's ring, and those in use."""
        self._of(_RING_HELD, camera).set(held)
        self._of(_RING_SLOTS, camera).set(slots)

    def subscriptions(self, socket: str, count: int) -> None:
        """Set the number of subscriptions that readers hold on a socket."""
        self._of(_SUBSCRIBERS, socket).set(count)

    def malformed(self, socket: str, count: int) -> None:
        """Count messages on a socket for subscriptions that are not subscriptions."""
        self._of(_FOREIGN, socket).inc(count)

    def connections(self, door: str, socket: str, count: int, *, is_shut: bool) -> None:
        """Set the number of a door's connections at a socket, and whether the socket is shut to more."""
        self._of(_CONNECTIONS, door, socket).set(count)
        self._of(_SHUT, door, socket).set(is_shut)

    def cut_off(self, socket: str, cause: str, count: int) -> None:
        """Count connections that were ended for what the client sent."""
        self._of(_CUT_OFF, socket, cause).inc(count)

    def door_lost_messages(self, door: str, count: int) -> None:
        """Count messages that a door did not take."""
        self._of(_DOOR_LOST, door).inc(count)

    def log_lines_dropped(self, count: int) -> None:
        """Count log lines dropped because standard error was not read."""
        self._of(_LOG_DROPPED).inc(count)

    def journal_recording(self, *, recording: bool) -> None:
        """See `JournalMetrics.journal_recording`."""
        self._of(_JOURNAL_UP).set(recording)

    def journal_committed(self, rows: int, seconds: float) -> None:
        """See `JournalMetrics.journal_committed`."""
        self._of(_JOURNAL_ROWS).inc(rows)
        self._of(_JOURNAL_COMMIT).observe(seconds)

    def journal_unrecorded(self) -> None:
        """See `JournalMetrics.journal_unrecorded`."""
        self._of(_JOURNAL_UNRECORDED).inc()

    def journal_forgotten(self, rows: int) -> None:
        """See `JournalMetrics.journal_forgotten`."""
        self._of(_JOURNAL_FORGOTTEN).inc(rows)

    def journal_set_aside(self) -> None:
        """See `JournalMetrics.journal_set_aside`."""
        self._of(_JOURNAL_SET_ASIDE).inc()

    def journal_levels(self, levels: Levels) -> None:
        """See `JournalMetrics.journal_levels`."""
        self._of(_JOURNAL_BYTES).set(levels.size_bytes)
        self._of(_JOURNAL_FREE).set(levels.free_bytes)
        self._of(_JOURNAL_AHEAD).set(levels.clock_ahead_ns / 1e9)
        if levels.oldest_utc_ns is not None:
            self._of(_JOURNAL_OLDEST).set(levels.oldest_utc_ns / 1e9)

    def restarted_verdicts(self, count: int) -> None:
        """Count verdicts on what an earlier start left open."""
        self._of(_RESTARTED_VERDICTS).inc(count)

    def sync_request(self, kind: str) -> None:
        """See `SyncMetrics.sync_request`."""
        self._of(_SYNC_REQUESTS, kind).inc()

    def replayed(self, verdicts: int) -> None:
        """See `SyncMetrics.replayed`."""
        self._of(_REPLAYED).inc(verdicts)
