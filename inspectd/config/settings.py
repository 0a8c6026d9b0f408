"""The one declaration of every setting; those of cameras are in `cameras`.

Descriptions and defaults stand here only: `inspectd init` writes its commented example from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from inspectd.config.cameras import Camera
from inspectd.config.places import default_runtime_dir, default_state_dir
from inspectd.config.values import ExposureUs, GainDb, Host, Name, PlaceName, Settings


class LineSettings(Settings, frozen=True, kw_only=True):
    """The production line this daemon serves."""

    plant: Annotated[Name, Meta(description="Plant name; part of every bus topic and metric.")] = "plant"
    name: Annotated[Name, Meta(description="Line name; part of every bus topic and metric.")] = "line1"
    deadline_ms: Annotated[
        float,
        Meta(
            ge=1,
            le=600_000,
            description="Time from capture or trigger to verdict; later parts are undecidable.",
        ),
    ] = 500.0
    drain_seconds: Annotated[
        float,
        Meta(ge=0, le=60, description="On a stop, wait up to this long for open inspections to finish."),
    ] = 3.0
    runtime_dir: Annotated[
        str,
        Meta(
            description="Directory for local sockets. Empty: $RUNTIME_DIRECTORY, else a temporary directory."
        ),
    ] = ""
    state_dir: Annotated[
        str,
        Meta(
            description="Directory for persistent state. Empty: $STATE_DIRECTORY, else under ~/.local/state."
        ),
    ] = ""

    @property
    def runtime_path(self) -> Path:
        """The directory of the local sockets.

        Raises:
            UnavailableError: `runtime_dir` is empty and the system provides no directory.
        """
        return Path(self.runtime_dir) if self.runtime_dir else default_runtime_dir(self.name)

    @property
    def state_path(self) -> Path:
        """The directory of persistent state: journal, evidence.

        Raises:
            UnavailableError: `state_dir` is empty and the system provides no directory.
        """
        return Path(self.state_dir) if self.state_dir else default_state_dir(self.plant, self.name)


class RecipeSettings(Settings, frozen=True, kw_only=True):
    """How the pictures that a bank scores are judged; the same in this file and in the store of recipes."""

    threshold: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(
            description="Scores above this fail. Unset, as is usual: the bank's own. Every bank has its own "
            "scale; see `inspectd bank show`."
        ),
    ] = None
    check_above: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(
            description="Passed parts with scores above this are marked for a second look; must be below the "
            "threshold. Unset: none is."
        ),
    ] = None
    accept_threshold: Annotated[
        bool,
        Meta(
            description="Accept the threshold even if it is far above the scores of the bank's good images."
        ),
    ] = False
    deadline_ms: Annotated[
        Annotated[float, Meta(ge=1, le=600_000)] | None,
        Meta(description="Deadline for its parts. Unset: the line's deadline."),
    ] = None
    any_size: Annotated[
        bool,
        Meta(description="Judge frames of sizes the bank was not built from; else they are undecidable."),
    ] = False
    quality_off: Annotated[
        tuple[Literal["exposure", "colour", "scene", "position", "focus"], ...],
        Meta(
            description="What of a frame is not held against what the bank learnt of its good images; else a "
            'frame unlike them is undecidable. Of "exposure", "colour", "scene", "position", "focus".'
        ),
    ] = ()


class CameraRecipeSettings(RecipeSettings, frozen=True, kw_only=True):
    """The same for one camera of a recipe of the store, with what the camera is set to meanwhile."""

    exposure_us: Annotated[
        ExposureUs | None, Meta(description="Exposure time in microseconds. Unset: that of the camera.")
    ] = None
    gain_db: Annotated[GainDb | None, Meta(description="Gain in decibels. Unset: that of the camera.")] = None


class Recipe(RecipeSettings, frozen=True, kw_only=True):
    """Judgement of one product."""

    name: Annotated[Name, Meta(description="Name that cameras refer to.")]
    bank: Annotated[str, Meta(min_length=1, description="Bank file, relative to this file.")]


class KeyedRecipe(Recipe, frozen=True, kw_only=True):
    """A recipe under the key that it has in a line; for one of the store that is longer than a name."""

    name: str


class Batching(Settings, frozen=True, kw_only=True):
    """Grouping of inspections for the scoring process."""

    max_batch: Annotated[int, Meta(ge=1, le=256, description="Most inspections in one batch.")] = 8
    max_wait_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=60_000,
            description="Wait up to this long for more inspections before sending a batch; 0 sends at once.",
        ),
    ] = 0.0
    max_queue: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Most inspections that wait for a scoring process; beyond it one becomes "
            "undecidable (overload).",
        ),
    ] = 64


class Triggers(Settings, frozen=True, kw_only=True):
    """Matching of triggers and the frames of triggered cameras."""

    match: Annotated[
        Literal["first_after", "nearest"],
        Meta(description='"first_after": first frame exposed after the trigger; "nearest": nearest in time.'),
    ] = "first_after"
    window_ms: Annotated[
        float, Meta(ge=1, le=60_000, description="A frame must arrive within this time after its trigger.")
    ] = 100.0
    before_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=10_000,
            description='With "nearest": accept a frame exposed up to this long before the trigger.',
        ),
    ] = 50.0
    max_open: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Limit on open triggers; further triggers are refused (overload)."),
    ] = 64
    max_delay_ms: Annotated[
        float,
        Meta(
            ge=25,
            le=60_000,
            description="Refuse a trigger, or the showing of a golden part, that may have waited longer than "
            "this to be read.",
        ),
    ] = 100.0
    id_memory_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Refuse the same trigger id for this long after its trigger was closed, "
            "among the last 65,536 parts.",
        ),
    ] = 10.0


class ScoringSettings(Settings, frozen=True, kw_only=True):
    """The process that scores frames, or several."""

    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|cuda(:\d+)?)\Z",
            examples=["auto", "cpu", "cuda:0"],
            description='Device to score on: "auto", "cpu", "cuda" or "cuda:1".',
        ),
    ] = "auto"
    devices: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(cpu|cuda:(0|[1-9]\d*))\Z", examples=["cpu", "cuda:0"])], ...],
        Meta(
            description='A scoring process each, instead of `device`: ["cuda:0", "cuda:1"]; several "cpu" '
            "share the cores.",
        ),
    ] = ()
    threads: Annotated[
        int, Meta(ge=0, le=1024, description="CPU threads of a process; 0: one per core that it may use.")
    ] = 0
    backend: Annotated[
        Literal["auto", "torch", "openvino"],
        Meta(
            description='On a CPU, "openvino" is fast and "torch" the reference; "auto" takes the faster one.'
        ),
    ] = "auto"
    search: Annotated[
        Literal["auto", "exact", "flat"],
        Meta(
            description='Neighbour search: "exact" looks at every entry, "auto" is the fastest. "flat" is '
            "faiss, for CUDA."
        ),
    ] = "auto"
    device_memory_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="CUDA memory limit of each device, in MB of 1e6 bytes; 0: all that is free.",
        ),
    ] = 0.0
    max_recipes: Annotated[
        int,
        Meta(
            ge=2,
            le=100,
            description="Most recipes loaded at once, the one in force among them; the least recently used "
            "leaves for a new one.",
        ),
    ] = 4
    start_timeout_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="Replace a scoring process that is not warm this long after its launch.",
        ),
    ] = 120.0
    stall_timeout_ms: Annotated[
        float,
        Meta(
            ge=200,
            le=3_600_000,
            description="Replace a scoring process that makes no progress for this long.",
        ),
    ] = 4000.0


class PublishSettings(Settings, frozen=True, kw_only=True):
    """The ZeroMQ bus. Local sockets are always open: verdicts, heatmaps, previews, sync, control (.sock)."""

    verdicts_tcp: Annotated[
        str | None, Meta(description="host:port for verdicts over TCP; see [security]. Unset: no TCP.")
    ] = None
    heatmaps_tcp: Annotated[
        str | None, Meta(description="host:port for heatmaps over TCP; see [security]. Unset: no TCP.")
    ] = None
    previews_tcp: Annotated[
        str | None, Meta(description="host:port for previews over TCP; see [security]. Unset: no TCP.")
    ] = None
    sync_tcp: Annotated[
        str | None,
        Meta(description="host:port for snapshot and replay over TCP; see [security]. Unset: no TCP."),
    ] = None
    control_tcp: Annotated[
        str | None, Meta(description="host:port for triggers over TCP; see [security]. Unset: no TCP.")
    ] = None
    heartbeat_ms: Annotated[float, Meta(ge=10, le=10_000, description="Time between heartbeats.")] = 200.0
    queue_messages: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Messages queued for a slow reader before it loses some.")
    ] = 10_000
    heatmap_queue_messages: Annotated[
        int, Meta(ge=1, le=100_000, description="Heatmaps queued for a slow reader before it loses some.")
    ] = 256


class JournalSettings(Settings, frozen=True, kw_only=True):
    """The record of every verdict, from which readers fetch what they missed."""

    days: Annotated[
        float, Meta(gt=0, le=36_500, description="Remove verdicts older than this many days.")
    ] = 30.0
    max_mb: Annotated[
        float, Meta(ge=1, le=1_000_000, description="Remove the oldest verdicts above this many megabytes.")
    ] = 2000.0
    max_wait_ms: Annotated[
        float,
        Meta(
            ge=1,
            le=10_000,
            description="Wait up to this long for a verdict to be recorded; then publish it as not recorded.",
        ),
    ] = 50.0


class MetricsSettings(Settings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    host: Annotated[Host, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9464
    tls_certificate: Annotated[
        str | None, Meta(description="PEM file with the certificate, for HTTPS only. Unset: plain HTTP.")
    ] = None
    tls_key: Annotated[str | None, Meta(description="PEM file with the certificate's private key.")] = None
    users_file: Annotated[
        str | None,
        Meta(description="Users who may read it, a file of `inspectd keys password`. Unset: everybody."),
    ] = None


class Security(Settings, frozen=True, kw_only=True):
    """Access to the bus over TCP."""

    keys_dir: Annotated[
        str | None,
        Meta(
            description="Directory of keys, for CURVE on every TCP socket. Unset: plain TCP, loopback only."
        ),
    ] = None
    insecure: Annotated[
        bool, Meta(description="Plain TCP to other hosts: anybody there can read verdicts and trigger parts.")
    ] = False


class EvidenceSettings(Settings, frozen=True, kw_only=True):
    """Frame, heatmap and verdict, kept of parts that did not pass and of a sample of those that did."""

    enabled: Annotated[bool, Meta(description="Keep evidence.")] = True
    dir: Annotated[
        str, Meta(description="Directory for evidence. Empty: `evidence` in the state directory.")
    ] = ""
    fails: Annotated[
        bool, Meta(description="Keep parts that failed, and those marked for a second look (check_above).")
    ] = True
    undecidables: Annotated[bool, Meta(description="Keep undecidable parts that have a frame.")] = True
    pass_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of passed parts to keep, chosen at random.")
    ] = 0.01
    quota_mb: Annotated[
        float,
        Meta(
            ge=1,
            le=1e9,
            description="Disk space limit, in megabytes of 1e6 bytes; the oldest is removed first.",
        ),
    ] = 5000.0
    min_free_mb: Annotated[
        float,
        Meta(
            ge=0, le=1e9, description="Stop keeping evidence and raise an alarm when less than this is free."
        ),
    ] = 500.0
    max_per_second: Annotated[
        float, Meta(gt=0, le=1000, description="Most parts kept per second; limits what evidence costs.")
    ] = 1.0


class PreviewSettings(Settings, frozen=True, kw_only=True):
    """Small pictures of what was judged, for people; made only while somebody looks at a camera."""

    enabled: Annotated[bool, Meta(description="Make previews.")] = True
    fps: Annotated[
        float,
        Meta(ge=0.1, le=30, description="Most previews a second of a camera, or of each of its regions."),
    ] = 5.0
    width_px: Annotated[
        int,
        Meta(
            ge=64,
            le=4096,
            description="Frames are halved until they are at most this wide, and at most twice as high.",
        ),
    ] = 800
    jpeg_quality: Annotated[int, Meta(ge=1, le=100, description="JPEG quality.")] = 80


class GoldenPart(Settings, frozen=True, kw_only=True):
    """A part that is known to be good or bad, shown to the line from time to time to prove that it judges."""

    name: Annotated[Name, Meta(description="Name that triggers and `inspectd golden run` call it by.")]
    recipe: Annotated[
        Name, Meta(description="Recipe it belongs to: a name of this file, or an id of the recipe store.")
    ]
    expect: Annotated[
        Literal["pass", "fail"], Meta(description='Verdict it has to get: "pass" if it is good, else "fail".')
    ]
    cameras: Annotated[
        Annotated[tuple[PlaceName, ...], Meta(min_length=1)] | None,
        Meta(
            description="Cameras, or regions as CAMERA/REGION, that must all give this verdict, such as the "
            "one that sees its defect. Unset: all triggered ones that judge by its recipe, or all "
            "free-running ones if there are none."
        ),
    ] = None
    score_min: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(description="Lowest score it may have on these cameras. Unset: any."),
    ] = None
    score_max: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(description="Highest score it may have on these cameras. Unset: any."),
    ] = None
    repeats: Annotated[int, Meta(ge=1, le=20, description="Times it is shown in one check.")] = 1


class GoldenSettings(Settings, frozen=True, kw_only=True):
    """Checks with parts that are known to be good or bad; off while [[golden.parts]] lists none."""

    parts: Annotated[tuple[GoldenPart, ...], Meta(max_length=200)] = ()
    interval_hours: Annotated[
        float,
        Meta(ge=0, le=10_000, description="A check is due this long after the last one passed; 0: none."),
    ] = 0.0
    interval_parts: Annotated[
        int,
        Meta(ge=0, le=10**9, description="A check is due after this many parts of its recipe; 0: none."),
    ] = 0
    at_start: Annotated[bool, Meta(description="A check is due whenever the line starts.")] = True
    at_changeover: Annotated[
        bool,
        Meta(
            description="A check is due whenever its recipe is put in force, or a camera of it was changed."
        ),
    ] = True
    shift_starts: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d\Z", examples=["06:00", "22:30"])], ...],
        Meta(max_length=24, description='A check is due at these times of day on this host: ["06:00"].'),
    ] = ()
    grace_minutes: Annotated[
        float,
        Meta(ge=0, le=10_000, description="Parts are still judged for this long after a check became due."),
    ] = 15.0
    interlock: Annotated[
        Literal["stop", "warn"],
        Meta(
            description='A check is overdue or failed: "stop" makes every part undecidable until one passes; '
            '"warn" only says so.'
        ),
    ] = "stop"


class Log(Settings, frozen=True, kw_only=True):
    """The log on standard error: one line per event."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Lowest severity to write.")
    ] = "info"
    format: Annotated[
        Literal["text", "json"], Meta(description="key=value text, or one JSON object per line.")
    ] = "text"


class Config(Settings, frozen=True, kw_only=True):
    """A whole configuration file."""

    line: LineSettings = LineSettings()
    recipes: Annotated[tuple[Recipe, ...], Meta(min_length=1)]
    cameras: Annotated[tuple[Camera, ...], Meta(min_length=1)]
    batching: Batching = Batching()
    triggers: Triggers = Triggers()
    scoring: ScoringSettings = ScoringSettings()
    publish: PublishSettings = PublishSettings()
    security: Security = Security()
    journal: JournalSettings = JournalSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    preview: PreviewSettings = PreviewSettings()
    golden: GoldenSettings = GoldenSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: Log = Log()

    @property
    def deadlines_ns(self) -> dict[str, int]:
        """Deadline of each recipe's parts, by recipe name."""
        return {r.name: int((r.deadline_ms or self.line.deadline_ms) * 1e6) for r in self.recipes}

    @property
    def runtime_path(self) -> Path:
        """The directory of this line's local sockets."""
        return self.line.runtime_path

    @property
    def evidence_path(self) -> Path:
        """The directory of this line's evidence."""
        return Path(self.evidence.dir) if self.evidence.dir else self.state_path / "evidence"

    @property
    def state_path(self) -> Path:
        """The directory of this line's persistent state: journal, evidence."""
        return self.line.state_path
