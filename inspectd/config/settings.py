"""The one declaration of every setting.

Descriptions and defaults stand here only: `inspectd init` writes its commented example from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from inspectd.config.places import default_runtime_dir, default_state_dir
from inspectd.config.sources import is_device

_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"

Name = Annotated[str, Meta(pattern=_NAME_PATTERN)]
Pixels = Annotated[int, Meta(ge=1, le=100_000)]
Rate = Annotated[float, Meta(gt=0, le=10_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the file."""


class Line(Settings, frozen=True, kw_only=True):
    """The production line this daemon serves."""

    plant: Annotated[Name, Meta(description="Plant name; part of every bus topic and metric.")] = "plant"
    name: Annotated[Name, Meta(description="Line name; part of every bus topic and metric.")] = "line1"
    deadline_ms: Annotated[
        float,
        Meta(ge=1, le=600_000, description="From capture to verdict; past it a part is undecidable."),
    ] = 500.0
    drain_seconds: Annotated[
        float,
        Meta(ge=0, le=60, description="How long a stop may wait for inspections that are under way."),
    ] = 3.0
    runtime_dir: Annotated[
        str,
        Meta(description="Where local sockets go. Empty: $RUNTIME_DIRECTORY, else a temporary directory."),
    ] = ""
    state_dir: Annotated[
        str,
        Meta(description="What outlives a restart. Empty: $STATE_DIRECTORY, else below ~/.local/state."),
    ] = ""

    @property
    def runtime_path(self) -> Path:
        """The directory of the local sockets.

        Raises:
            UnavailableError: it is left to the system, which has none.
        """
        return Path(self.runtime_dir) if self.runtime_dir else default_runtime_dir(self.name)

    @property
    def state_path(self) -> Path:
        """The directory of what outlives a restart: journal, evidence.

        Raises:
            UnavailableError: it is left to the system, which has none.
        """
        return Path(self.state_dir) if self.state_dir else default_state_dir(self.plant, self.name)


class Recipe(Settings, frozen=True, kw_only=True):
    """How one product is judged."""

    name: Annotated[Name, Meta(description="What cameras refer to.")]
    bank: Annotated[str, Meta(min_length=1, description="Bank file, relative to this file.")]
    threshold: Annotated[
        Annotated[float, Meta(ge=-1e300, le=1e300)] | None,
        Meta(
            description="Scores above it fail. Left out, as is usual: the bank's own. Every bank has its own "
            "scale; see `inspectd bank show`."
        ),
    ] = None
    accept_threshold: Annotated[
        bool,
        Meta(description="Take a threshold however far above the scores of the bank's good images it lies."),
    ] = False
    deadline_ms: Annotated[
        Annotated[float, Meta(ge=1, le=600_000)] | None,
        Meta(description="Deadline of its parts. Left out: the line's."),
    ] = None
    any_size: Annotated[
        bool,
        Meta(description="Judge frames of sizes the bank was not built from; else they are undecidable."),
    ] = False


class QualityGate(Settings, frozen=True, kw_only=True):
    """When a frame is too bad to be judged; its part is then undecidable, with the reason."""

    black_below: Annotated[
        float,
        Meta(ge=0, le=255, description="Mean grey level below which a frame is black; 0 turns it off."),
    ] = 2.0
    frozen_frames: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        Meta(
            description="So many repeats in turn of any of the last 64 frames are frozen; 0: off. Left out: "
            "1, and 3 for video whose encoder may repeat a still scene exactly."
        ),
    ] = None
    partial_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of rows at the bottom, all of one value, of a partial frame; 0: off.",
        ),
    ] = 0.25
    max_age_ms: Annotated[
        float,
        Meta(
            ge=0,
            description="A live stream's frame that may be older than this on arrival is stale; 0: off.",
        ),
    ] = 1000.0


class CameraBase(Settings, frozen=True, kw_only=True):
    """What every kind of camera has. What a kind does not say otherwise is the stricter."""

    source_key: ClassVar[str]
    """The setting that says where its pictures come from."""
    may_vary_in_size: ClassVar[bool] = False
    """Whether its frames may differ in size."""
    name: Annotated[Name, Meta(description="Camera name; part of every bus topic and metric.")]
    recipe: Annotated[Name, Meta(description="The recipe its parts are judged by.")]
    mode: Annotated[
        Literal["free", "triggered"],
        Meta(description='"free": every frame is a part; "triggered": triggers say which frames are.'),
    ] = "free"
    latency_ms: Annotated[
        Annotated[float, Meta(ge=0, le=10_000)] | None,
        Meta(description="Longest time from light to time stamp; a live triggered camera has no default."),
    ] = None
    latency_min_ms: Annotated[
        float,
        Meta(ge=0, le=10_000, description="Shortest time from light to time stamp; 0 is always true."),
    ] = 0.0
    slots: Annotated[int, Meta(ge=2, le=1024, description="Frames its shared-memory ring holds.")] = 16
    when_full: Annotated[
        Literal["drop", "wait"],
        Meta(
            description='No free slot: "drop" the new frame and count it, or "wait" for a slot (replay only).'
        ),
    ] = "drop"
    stall_timeout_ms: Annotated[
        float,
        Meta(
            ge=200,
            le=3_600_000,
            description="A capture process that makes no progress for this long is replaced.",
        ),
    ] = 5000.0
    reconnect_min_ms: Annotated[
        float, Meta(ge=10, le=3_600_000, description="First wait before a camera is reopened.")
    ] = 200.0
    reconnect_max_ms: Annotated[
        float, Meta(ge=10, le=3_600_000, description="Longest wait before a camera is reopened.")
    ] = 10_000.0
    quality: Annotated[QualityGate, Meta(description="When a frame is too bad to be judged.")] = QualityGate()

    @property
    def is_live(self) -> bool:
        """Whether it sees what is there now, some time before the stamp; a replay has no such time."""
        return True

    @property
    def interval_ms(self) -> float | None:
        """Time between two frames, as far as the settings say it."""
        return None

    @property
    def latency_span_ns(self) -> tuple[int, int]:
        """Shortest and longest time from a frame's exposure to its time stamp."""
        return int(self.latency_min_ms * 1e6), int((self.latency_ms or 0.0) * 1e6)


class OpenCvCamera(CameraBase, frozen=True, kw_only=True, tag_field="kind", tag="opencv"):
    """A device, a live stream or a video file."""

    source_key = "source"
    source: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | str,
        Meta(description="Device (index, or a /dev/v4l/by-id/... path), rtsp:// or http:// URL, or a video."),
    ]
    width: Annotated[Pixels | None, Meta(description="Width to ask a device for, in pixels.")] = None
    height: Annotated[Pixels | None, Meta(description="Height to ask a device for, in pixels.")] = None
    fps: Annotated[
        Rate | None,
        Meta(description="Rate to ask a device for; for a file, the rate to replay at."),
    ] = None
    fourcc: Annotated[
        Annotated[str, Meta(pattern="^[A-Za-z0-9 ]{4}$")] | None,
        Meta(description='Pixel format to ask a device for, e.g. "MJPG".'),
    ] = None
    loop: Annotated[bool, Meta(description="Start a video file again at its end.")] = False
    open_timeout_ms: Annotated[int, Meta(ge=100, description="How long opening a stream may take.")] = 4000

    @property
    def origin(self) -> Literal["device", "stream", "file"]:
        """What `source` names; devices and streams are live."""
        if is_device(self.source):
            return "device"
        return "stream" if "://" in str(self.source) else "file"

    @property
    def interval_ms(self) -> float | None:
        """Time between two frames, as far as the settings say it."""
        return 1000 / self.fps if self.fps is not None else None

    @property
    def is_live(self) -> bool:
        """True of devices and streams, false of video files."""
        return self.origin != "file"


class ImagesCamera(CameraBase, frozen=True, kw_only=True, tag_field="kind", tag="images"):
    """A folder of images replayed at a given rate; the name of a file's folder is its ground-truth label."""

    source_key = "folder"
    may_vary_in_size = True
    folder: Annotated[str, Meta(min_length=1, description="Folder, relative to this file; read recursively.")]
    fps: Annotated[Rate, Meta(description="Frames a second.")] = 5.0
    loop: Annotated[bool, Meta(description="Start again at the end.")] = False
    shuffle_seed: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Replay in this seed's random order. Left out: in path order."),
    ] = None
    preload: Annotated[
        bool, Meta(description="Decode every image once, keep all in memory: replay costs no decoding.")
    ] = False
    phase: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(description="When in the host clock's periods frames come, as a share. Left out: as it starts."),
    ] = None
    bit_depth: Annotated[
        int,
        Meta(
            ge=8,
            le=16,
            description="Bits a channel of the images; above 8 they lie in 16, as the bank's did.",
        ),
    ] = 8

    @property
    def interval_ms(self) -> float | None:
        """Time between two frames."""
        return 1000 / self.fps

    @property
    def is_live(self) -> bool:
        """Never: its images are as old as their files."""
        return False


Camera = OpenCvCamera | ImagesCamera


class Batching(Settings, frozen=True, kw_only=True):
    """How inspections are grouped for the scoring process."""

    max_batch: Annotated[int, Meta(ge=1, le=256, description="Most inspections scored together.")] = 8
    max_wait_ms: Annotated[
        float,
        Meta(ge=0, le=60_000, description="Longest an inspection waits for company; 0: none waits."),
    ] = 0.0
    max_queue: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Inspections that may wait; one more is undecidable (overload)."),
    ] = 64


class Triggers(Settings, frozen=True, kw_only=True):
    """Which frame of a triggered camera belongs to a trigger."""

    match: Annotated[
        Literal["first_after", "nearest"],
        Meta(description='"first_after": the first frame exposed after the trigger; "nearest": in time.'),
    ] = "first_after"
    window_ms: Annotated[
        float,
        Meta(ge=1, le=60_000, description="A frame must be there this long after the trigger at the latest."),
    ] = 100.0
    before_ms: Annotated[
        float,
        Meta(ge=0, le=10_000, description='For "nearest": how long before the trigger a frame may be taken.'),
    ] = 50.0
    max_open: Annotated[
        int, Meta(ge=1, le=10_000, description="Triggers that may be open; one more is refused (overload).")
    ] = 64
    max_delay_ms: Annotated[
        float,
        Meta(ge=25, le=60_000, description="A trigger that may have waited longer unread is refused."),
    ] = 100.0
    id_memory_seconds: Annotated[
        float,
        Meta(ge=0, le=86_400, description="A closed trigger's id is refused again for this long."),
    ] = 10.0


class Scoring(Settings, frozen=True, kw_only=True):
    """The process that scores frames."""

    device: Annotated[
        str,
        Meta(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description='"auto", "cpu", "cuda" or "cuda:1".'),
    ] = "auto"
    threads: Annotated[int, Meta(ge=0, le=1024, description="CPU threads; 0: one per core.")] = 0
    backend: Annotated[
        Literal["auto", "torch", "openvino"],
        Meta(description='On a CPU "openvino" is fast and "torch" the reference; "auto": the faster.'),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Meta(description='Of the backbone on a CPU; "auto" is "float32". "bfloat16" shifts scores.'),
    ] = "auto"
    search: Annotated[
        Literal["auto", "exact", "flat", "ivf", "hnsw"],
        Meta(description='How neighbours are found; "auto": the fastest. "ivf" and "hnsw": on a CPU only.'),
    ] = "auto"
    device_memory_mb: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="Most memory of a CUDA device it may take, in MB of 1e6 bytes; 0: what is free.",
        ),
    ] = 0.0
    start_timeout_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="Longest start, from its launch to being warm.")
    ] = 120.0
    stall_timeout_ms: Annotated[
        float,
        Meta(
            ge=200,
            le=3_600_000,
            description="A scoring process that makes no progress for this long is replaced.",
        ),
    ] = 4000.0


class Publish(Settings, frozen=True, kw_only=True):
    """The ZeroMQ bus. Local sockets are always there: verdicts, heatmaps, sync and control (.sock)."""

    verdicts_tcp: Annotated[
        str | None,
        Meta(description="host:port for verdicts over TCP; see [security]. Left out: no TCP."),
    ] = None
    heatmaps_tcp: Annotated[
        str | None,
        Meta(description="host:port for heatmaps over TCP; see [security]. Left out: no TCP."),
    ] = None
    sync_tcp: Annotated[
        str | None,
        Meta(description="host:port for snapshot and replay over TCP; see [security]. Left out: no TCP."),
    ] = None
    control_tcp: Annotated[
        str | None,
        Meta(description="host:port for triggers over TCP; see [security]. Left out: no TCP."),
    ] = None
    heartbeat_ms: Annotated[float, Meta(ge=10, le=10_000, description="Time between heartbeats.")] = 200.0
    queue_messages: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Messages kept for a slow reader before it loses some."),
    ] = 10_000
    heatmap_queue_messages: Annotated[
        int, Meta(ge=1, le=100_000, description="Heatmaps kept for a slow reader before it loses some.")
    ] = 256


class Journal(Settings, frozen=True, kw_only=True):
    """The record of every verdict, from which readers get again what they missed."""

    days: Annotated[
        float, Meta(gt=0, le=36_500, description="Verdicts older than this many days are removed.")
    ] = 30.0
    max_mb: Annotated[
        float,
        Meta(ge=1, le=1_000_000, description="Above this many megabytes the oldest verdicts are removed."),
    ] = 2000.0
    max_wait_ms: Annotated[
        float,
        Meta(
            ge=1,
            le=10_000,
            description="Longest a verdict waits to be recorded; then it is published as not recorded.",
        ),
    ] = 50.0


class Metrics(Settings, frozen=True, kw_only=True):
    """The Prometheus endpoint."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="TCP port; 0: no endpoint.")] = 9464
    tls_certificate: Annotated[
        str | None, Meta(description="PEM file; the endpoint then speaks HTTPS only. Left out: plain HTTP.")
    ] = None
    tls_key: Annotated[str | None, Meta(description="PEM file with the certificate's private key.")] = None
    users_file: Annotated[
        str | None,
        Meta(description="Who may read it: a file of `inspectd keys password`. Left out: everybody."),
    ] = None


class Security(Settings, frozen=True, kw_only=True):
    """Who may connect to the bus over TCP."""

    keys_dir: Annotated[
        str | None,
        Meta(description="Keys of this line: CURVE on every TCP socket. Left out: plain TCP, loopback only."),
    ] = None
    insecure: Annotated[
        bool, Meta(description="Let plain TCP leave this host: anybody there can read, and trigger parts.")
    ] = False


class Evidence(Settings, frozen=True, kw_only=True):
    """Pictures and verdicts kept for later: frame, heatmap and verdict of parts that did not pass."""

    enabled: Annotated[bool, Meta(description="Keep evidence.")] = True
    dir: Annotated[str, Meta(description="Where it goes. Empty: `evidence` in the state directory.")] = ""
    fails: Annotated[bool, Meta(description="Keep parts that failed.")] = True
    undecidables: Annotated[bool, Meta(description="Keep undecidable parts, where there is a frame.")] = True
    pass_share: Annotated[
        float, Meta(ge=0, le=1, description="Share of passed parts to keep, chosen by chance.")
    ] = 0.01
    quota_mb: Annotated[
        float, Meta(ge=1, le=1e9, description="Most it may take, in megabytes of 1e6 bytes; the oldest goes.")
    ] = 5000.0
    min_free_mb: Annotated[
        float, Meta(ge=0, le=1e9, description="Below this much free disk nothing is kept, with an alarm.")
    ] = 500.0
    max_per_second: Annotated[
        float, Meta(gt=0, le=1000, description="Most parts kept a second; it bounds what evidence costs.")
    ] = 1.0


class Log(Settings, frozen=True, kw_only=True):
    """The log on standard error: one line an event."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severity that is written.")
    ] = "info"
    format: Annotated[
        Literal["text", "json"], Meta(description="key=value text, or one JSON object a line.")
    ] = "text"


class Config(Settings, frozen=True, kw_only=True):
    """A whole configuration file."""

    line: Line = Line()
    recipes: Annotated[tuple[Recipe, ...], Meta(min_length=1)]
    cameras: Annotated[tuple[Camera, ...], Meta(min_length=1)]
    batching: Batching = Batching()
    triggers: Triggers = Triggers()
    scoring: Scoring = Scoring()
    publish: Publish = Publish()
    security: Security = Security()
    journal: Journal = Journal()
    evidence: Evidence = Evidence()
    metrics: Metrics = Metrics()
    log: Log = Log()

    @property
    def deadlines_ns(self) -> dict[str, int]:
        """Recipe name to how long a part of it may take."""
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
        """The directory of what this line keeps: journal, evidence, keys."""
        return self.line.state_path
