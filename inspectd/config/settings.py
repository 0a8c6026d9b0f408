"""The one declaration of every setting.

Descriptions and defaults stand here only: `inspectd init` writes its commented example from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from inspectd.config.places import default_runtime_dir, default_state_dir
from inspectd.config.sources import WHOLE_SCHEMES, expected_device, is_device, lossy_scheme
from inspectd.records import FrameRegion
from inspectd.wire import place_of

_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z"  # `$` would let a line break follow

_V4L2_STEP_US: Final = 100

Name = Annotated[str, Meta(pattern=_NAME_PATTERN)]
PlaceName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}(/[A-Za-z0-9][A-Za-z0-9_-]{0,62})?\Z")
]
"""What is judged by itself: `CAMERA`, or `CAMERA/REGION` of a camera with regions."""
Pixels = Annotated[int, Meta(ge=1, le=100_000)]
Rate = Annotated[float, Meta(gt=0, le=10_000)]
PixelFormatName = Literal[
    "Mono8",
    "Mono10",
    "Mono12",
    "Mono14",
    "Mono16",
    "BayerGR8",
    "BayerRG8",
    "BayerGB8",
    "BayerBG8",
    "RGB8",
    "BGR8",
]
"""Pixel formats of GenICam cameras that the line has a conversion for."""
ExposureUs = Annotated[float, Meta(ge=1, le=60_000_000)]
GainDb = Annotated[float, Meta(ge=-100, le=100)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the file."""


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


class QualityGate(Settings, frozen=True, kw_only=True):
    """Limits beyond which a frame is too bad to judge; its part is then undecidable, with the reason."""

    black_below: Annotated[
        float, Meta(ge=0, le=255, description="A frame with a mean grey level below this is black; 0: off.")
    ] = 2.0
    frozen_frames: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        Meta(
            description="This many repeats in a row of any of the last 64 frames mean frozen; 0: off. Unset: "
            "1, or 3 for video, whose encoder may repeat a still scene exactly."
        ),
    ] = None
    partial_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="A frame with this share of rows, at the bottom, in one colour is partial; 0: off.",
        ),
    ] = 0.25
    max_age_ms: Annotated[
        float, Meta(ge=0, description="A live frame that may be older than this on arrival is stale; 0: off.")
    ] = 1000.0


class PixelRectangle(Settings, frozen=True, kw_only=True):
    """A part of a frame, in pixels; rows and columns count from 0 at its upper left corner."""

    left: Annotated[int, Meta(ge=0, le=100_000, description="First column.")]
    top: Annotated[int, Meta(ge=0, le=100_000, description="First row.")]
    width: Annotated[Pixels, Meta(description="Number of columns.")]
    height: Annotated[Pixels, Meta(description="Number of rows.")]


class CameraRegion(Settings, frozen=True, kw_only=True):
    """A part of the camera's frames that is judged by itself; a camera with regions judges nothing else."""

    name: Annotated[Name, Meta(description="Name of the region; verdicts carry it beside the camera's.")]
    rectangle: Annotated[
        PixelRectangle, Meta(description="Where it lies in the frame, in pixels from its upper left corner.")
    ]
    recipe: Annotated[
        Name | None, Meta(description="Recipe that it is judged by. Unset: the camera's recipe.")
    ] = None

    @property
    def of_frame(self) -> FrameRegion:
        """The region as frames carry it."""
        part = self.rectangle
        return FrameRegion(self.name, part.left, part.top, part.width, part.height)


class GeometrySettings(Settings, frozen=True, kw_only=True):
    """How a camera's picture is turned and straightened before anything looks at it."""

    calibration: Annotated[
        str | None,
        Meta(
            description="Calibration of lens and perspective, a file of `inspectd camera calibrate` or "
            "OpenCV, relative to this file. Unset: as the lens draws it."
        ),
    ] = None
    rotate: Annotated[
        Literal[0, 90, 180, 270],
        Meta(description="Then turn the picture clockwise by 0, 90, 180 or 270 degrees."),
    ] = 0
    flip: Annotated[
        Literal["none", "horizontal", "vertical"],
        Meta(description='Then mirror it: "horizontal" swaps left and right, "vertical" top and bottom.'),
    ] = "none"

    @property
    def is_neutral(self) -> bool:
        """Whether pictures stay as the camera gives them."""
        return self == GeometrySettings()


class PresenceSettings(Settings, frozen=True, kw_only=True):
    """How an empty belt is known, so that nobody inspects it."""

    empty_folder: Annotated[
        str | None,
        Meta(
            description="Folder of pictures of the empty belt, relative to this file; free frames that look "
            "so are no parts. Unset: every frame is one."
        ),
    ] = None
    light_change: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share by which the light may become brighter or darker than on these pictures; "
            "beyond it every frame is inspected.",
        ),
    ] = 0.2


class CameraBase(Settings, frozen=True, kw_only=True):
    """Settings of every kind of camera; a kind that does not override a rule gets the stricter one."""

    source_key: ClassVar[str]
    """Name of the setting that gives the source of its pictures."""
    source_is_path: ClassVar[bool] = True
    """Whether that setting, where it is a text without `://`, is a path relative to the file."""
    may_vary_in_size: ClassVar[bool] = False
    """Whether its frames may differ in size."""
    name: Annotated[Name, Meta(description="Camera name; part of every bus topic and metric.")]
    recipe: Annotated[Name, Meta(description="Recipe that its parts are judged by.")]
    mode: Annotated[
        Literal["free", "triggered"],
        Meta(description='"free": every frame is a part; "triggered": triggers select the frames.'),
    ] = "free"
    latency_ms: Annotated[
        Annotated[float, Meta(ge=0, le=10_000)] | None,
        Meta(description="Longest time from exposure to time stamp; a live triggered camera needs it."),
    ] = None
    latency_min_ms: Annotated[
        float,
        Meta(ge=0, le=10_000, description="Shortest time from exposure to time stamp; 0 is always safe."),
    ] = 0.0
    exposure_us: Annotated[
        ExposureUs | None,
        Meta(
            description="Exposure time in microseconds, where a recipe of the store gives none. Unset: the "
            "camera's own, and no recipe sets it."
        ),
    ] = None
    gain_db: Annotated[
        GainDb | None,
        Meta(
            description="Gain in decibels, where a recipe of the store gives none. Unset: the camera's own, "
            "and no recipe sets it."
        ),
    ] = None
    settle_ms: Annotated[
        Annotated[float, Meta(ge=0, le=60_000)] | None,
        Meta(
            description="Longest time from setting exposure or gain to the time stamp of the first frame "
            "that shows it; a camera that is set needs it, unless its frames say what they were taken with."
        ),
    ] = None
    slots: Annotated[int, Meta(ge=2, le=1024, description="Frame slots in its shared-memory ring.")] = 16
    when_full: Annotated[
        Literal["drop", "wait"],
        Meta(description='No free slot: "drop" and count the new frame, or "wait" for a slot (replay only).'),
    ] = "drop"
    stall_timeout_ms: Annotated[
        float,
        Meta(
            ge=200,
            le=3_600_000,
            description="Replace a capture process that makes no progress for this long.",
        ),
    ] = 5000.0
    reconnect_min_ms: Annotated[
        float, Meta(ge=10, le=3_600_000, description="First wait before reopening a camera.")
    ] = 200.0
    reconnect_max_ms: Annotated[
        float, Meta(ge=10, le=3_600_000, description="Longest wait before reopening a camera.")
    ] = 10_000.0
    quality: Annotated[QualityGate, Meta(description="Limits beyond which a frame is too bad to judge.")] = (
        QualityGate()
    )
    geometry: Annotated[GeometrySettings, Meta(description="How its picture is turned and straightened.")] = (
        GeometrySettings()
    )
    presence: Annotated[PresenceSettings, Meta(description="How an empty belt is known.")] = (
        PresenceSettings()
    )
    regions: Annotated[tuple[CameraRegion, ...], Meta(max_length=32)] = ()

    @property
    def places(self) -> dict[str, str]:
        """What is judged by itself of each frame, `CAMERA` or every `CAMERA/REGION`, with its recipe."""
        if not self.regions:
            return {self.name: self.recipe}
        return {place_of(self.name, each.name): each.recipe or self.recipe for each in self.regions}

    @property
    def is_live(self) -> bool:
        """True of a camera that sees the present; a replay has no time from exposure to time stamp."""
        return True

    @property
    def says_settings(self) -> bool:
        """True of a camera that is only read while each of its frames says what is set of it."""
        return False

    @property
    def interval_ms(self) -> float | None:
        """Time between two frames; None if the settings do not give it."""
        return None

    def setting_problem(self, name: str, value: float) -> str | None:  # noqa: ARG002 - of other kinds
        """Reason why `exposure_us` or `gain_db` of it cannot be set to `value`; None: it can be tried."""
        return f"got {value:g}, but nothing can be set of this kind of camera; set it at the camera itself"

    def own_problems(self) -> Iterator[tuple[str, str]]:
        """Settings of its own kind that are wrong, beyond their type: each with what was expected."""
        yield from ()

    @property
    def settle_ns(self) -> int | None:
        """Longest time from setting the camera to the time stamp of the first frame that shows it.

        None: nobody knows, and only a frame itself can say what it was taken with.
        """
        if self.settle_ms is None:
            return None if self.is_live else 0
        return int(self.settle_ms * 1e6)

    @property
    def latency_span_ns(self) -> tuple[int, int]:
        """Shortest and longest time from a frame's exposure to its time stamp."""
        return int(self.latency_min_ms * 1e6), int((self.latency_ms or 0.0) * 1e6)


class OpenCvCamera(CameraBase, frozen=True, kw_only=True, tag_field="kind", tag="opencv"):
    """A device, a live stream or a video file."""

    source_key = "source"
    source: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | str,
        Meta(description="Device (index or /dev/v4l/by-id/... path), rtsp:// or http:// URL, or video file."),
    ]
    width: Annotated[Pixels | None, Meta(description="Width to request from a device, in pixels.")] = None
    height: Annotated[Pixels | None, Meta(description="Height to request from a device, in pixels.")] = None
    fps: Annotated[
        Rate | None, Meta(description="Frames per second to request from a device, or to replay a file at.")
    ] = None
    fourcc: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9 ]{4}\Z")] | None,
        Meta(description='Pixel format to request from a device, e.g. "MJPG".'),
    ] = None
    bit_depth: Annotated[
        int,
        Meta(
            ge=8,
            le=16,
            description="Bits of a grey device's pixels, as of the bank's; above 8 with Y10, Y12 or Y16.",
        ),
    ] = 8
    loop: Annotated[bool, Meta(description="Restart a video file at its end.")] = False
    open_timeout_ms: Annotated[int, Meta(ge=100, description="Give up opening a stream after this long.")] = (
        4000
    )

    @property
    def origin(self) -> Literal["device", "stream", "file"]:
        """Kind of `source`; devices and streams are live."""
        if is_device(self.source):
            return "device"
        return "stream" if "://" in str(self.source) else "file"

    @property
    def interval_ms(self) -> float | None:
        """See `CameraBase.interval_ms`."""
        return 1000 / self.fps if self.fps is not None else None

    @property
    def is_live(self) -> bool:
        """True of devices and streams, false of video files."""
        return self.origin != "file"

    def setting_problem(self, name: str, value: float) -> str | None:
        """See `CameraBase.setting_problem`."""
        if self.origin != "device":
            return f"got {value:g}, but nothing can be set of a {self.origin}; set it at the camera itself"
        if name == "gain_db":
            return (
                f"got {value:g}, but the gain of a device has no unit (V4L2): nobody knows which value is "
                "that many decibels; leave it out, and set a fixed gain at the camera"
            )
        if value % _V4L2_STEP_US:
            return (
                f"got {value:g}, expected a multiple of {_V4L2_STEP_US}: a device is set in such steps (V4L2)"
            )
        return None

    def own_problems(self) -> Iterator[tuple[str, str]]:
        """See `CameraBase.own_problems`."""
        if self.bit_depth != 8 and self.origin != "device":
            yield (
                "bit_depth",
                f"got {self.bit_depth}, expected 8 of a {self.origin}: its pictures have 8 when decoded",
            )
        if scheme := lossy_scheme(self.source):
            expected = f"expected one of {', '.join(WHOLE_SCHEMES)}: with others a lost packet goes unnoticed"
            yield "source", f"got {scheme}://, {expected}, and a picture may be filled up from another part's"


class ImagesCamera(CameraBase, frozen=True, kw_only=True, tag_field="kind", tag="images"):
    """A folder of images replayed at a given rate; the name of a file's folder is its ground-truth label."""

    source_key = "folder"
    may_vary_in_size = True
    folder: Annotated[
        str,
        Meta(min_length=1, description="Folder of images, relative to this file; subfolders are read too."),
    ]
    fps: Annotated[Rate, Meta(description="Frames per second.")] = 5.0
    loop: Annotated[bool, Meta(description="Restart at the end.")] = False
    shuffle_seed: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Seed of a random replay order. Unset: in path order."),
    ] = None
    preload: Annotated[
        bool,
        Meta(description="Decode every image once and keep all in memory, so that replay costs no decoding."),
    ] = False
    phase: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | None,
        Meta(
            description="Where frames fall in the frame period, counted on the host clock, as a share of it. "
            "Unset: as the replay starts."
        ),
    ] = None
    bit_depth: Annotated[
        int,
        Meta(
            ge=8,
            le=16,
            description="Bits per channel of the images, as of the bank's; above 8 in 16-bit files.",
        ),
    ] = 8

    @property
    def interval_ms(self) -> float | None:
        """Time between two frames."""
        return 1000 / self.fps

    @property
    def is_live(self) -> bool:
        """False: its images are as old as their files."""
        return False

    def setting_problem(self, name: str, value: float) -> None:
        """None: what is set of it is simulated."""


class GenicamCamera(CameraBase, frozen=True, kw_only=True, tag_field="kind", tag="genicam"):
    """A GigE Vision camera, read through Aravis; the line controls it alone."""

    source_key = "device"
    source_is_path = False
    device: Annotated[
        str,
        Meta(
            pattern=r"^(serial|mac|ip|name):[ -~]{1,64}\Z",
            description="The camera: serial:40012345, mac:00:11:1c:00:00:01, ip:192.168.40.11, or its "
            "user-defined name as name:NAME. With ip nothing is broadcast.",
        ),
    ]
    pixel_format: Annotated[
        PixelFormatName | None,
        Meta(
            description="Pixels to have it send: Mono8 to Mono16, BayerGR8 to BayerBG8, RGB8 or BGR8. Unset: "
            "as the camera is."
        ),
    ] = None
    trigger_source: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,64}\Z")] | None,
        Meta(description="Input of the camera that starts each frame, such as Line1. Unset: it runs free."),
    ] = None
    trigger_activation: Annotated[
        Literal["RisingEdge", "FallingEdge", "AnyEdge", "LevelHigh", "LevelLow"] | None,
        Meta(description="What of the signal at that input starts a frame. Unset: as the camera is."),
    ] = None
    trigger_delay_us: Annotated[
        Annotated[float, Meta(ge=0, le=10_000_000)] | None,
        Meta(description="Time from that signal to the exposure in microseconds. Unset: as the camera is."),
    ] = None
    chunks: Annotated[
        bool | None,
        Meta(
            description="Whether the camera says with each frame how it was taken. true: it must say what "
            "is set of it, and settle_ms is not needed. Unset: what it can say."
        ),
    ] = None
    packet_bytes: Annotated[
        Annotated[int, Meta(ge=220, le=16_000)] | None,
        Meta(description="Size of its packets. Unset: the largest that gets through, found by test packets."),
    ] = None
    reconnect_max_ms: Annotated[
        float,
        Meta(
            ge=10,
            le=3_600_000,
            description="Longest wait before reopening a camera, which takes it one packet to ask.",
        ),
    ] = 1000.0

    @property
    def says_settings(self) -> bool:
        """See `CameraBase.says_settings`."""
        return self.chunks is True

    def setting_problem(self, name: str, value: float) -> None:
        """None: the camera itself says what it can be set to."""

    def own_problems(self) -> Iterator[tuple[str, str]]:
        """See `CameraBase.own_problems`."""
        expected = expected_device(self.device)
        if expected is not None:
            yield "device", f"got {self.device!r}, expected {expected}"


class SyntheticFault(Settings, frozen=True, kw_only=True):
    """Something that goes wrong with a synthetic camera, on command."""

    kind: Annotated[
        Literal[
            "freeze",
            "repeat",
            "black",
            "half",
            "torn",
            "colours",
            "turned",
            "clock_jump",
            "lost",
            "stall",
            "hang",
            "unplug",
        ],
        Meta(description="What goes wrong; docs/cameras.md says how each of them shows."),
    ]
    at_frame: Annotated[
        int,
        Meta(ge=1, le=1_000_000_000, description="Its first frame, from 1; in a fault_file from there on."),
    ] = 1
    frames: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Frames it lasts, or the time in which as many come.")
    ] = 1

    @property
    def end_frame(self) -> int:
        """The first frame after it."""
        return self.at_frame + self.frames


class SyntheticFaults(Settings, frozen=True, kw_only=True):
    """The content of a `fault_file`."""

    faults: Annotated[
        tuple[SyntheticFault, ...], Meta(description="Faults, the first of several holds.")
    ] = ()


SyntheticDefect = Literal["scratch", "spot", "stain", "dent", "missing_hole", "wrong_print"]
"""Defects of the synthetic line's parts."""


class SyntheticCamera(CameraBase, frozen=True, kw_only=True, tag_field="kind", tag="synthetic"):
    """Parts that are computed, with defects and faults on command: a line without a camera or images."""

    source_key = "seed"
    source_is_path = False
    seed: Annotated[
        int, Meta(ge=0, le=2**32 - 1, description="Which parts come; the product is the same for all seeds.")
    ] = 1
    width: Annotated[int, Meta(ge=64, le=10_000, description="Width of its pictures in pixels.")] = 640
    height: Annotated[int, Meta(ge=64, le=10_000, description="Height of its pictures in pixels.")] = 480
    colour: Annotated[bool, Meta(description="Colour; else grey.")] = True
    fps: Annotated[Rate, Meta(description="Frames per second; a part comes with each of them.")] = 5.0
    frames: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Ends after this many frames. Unset: never.")
    ] = None
    gap_rate: Annotated[
        float, Meta(ge=0, le=1, description="Share of frames that show the belt without a part.")
    ] = 0.0
    defect_rate: Annotated[float, Meta(ge=0, le=1, description="Share of parts that have a defect.")] = 0.0
    defects: Annotated[
        tuple[SyntheticDefect, ...],
        Meta(description="Kinds of defects, all as frequent."),
    ] = ("scratch", "spot", "stain", "dent", "missing_hole", "wrong_print")
    shift_px: Annotated[
        float, Meta(ge=0, le=1000, description="Parts lie up to this many pixels off, each way.")
    ] = 2.0
    turn_degrees: Annotated[
        float, Meta(ge=0, le=180, description="Parts lie up to this many degrees turned, each way.")
    ] = 0.5
    blur_px: Annotated[
        float, Meta(ge=0, le=50, description="Blur of the optics, as a standard deviation in pixels.")
    ] = 0.6
    noise: Annotated[
        float, Meta(ge=0.5, le=40, description="Noise of the sensor, as a standard deviation in grey levels.")
    ] = 2.0
    light_drift: Annotated[
        float, Meta(ge=-1, le=4, description="Share by which the light changes at most while it drifts.")
    ] = 0.0
    blur_drift_px: Annotated[
        float, Meta(ge=0, le=50, description="Blur in pixels that comes on top at most while it drifts.")
    ] = 0.0
    shift_drift_px: Annotated[
        float, Meta(ge=-1000, le=1000, description="Pixels to the right that parts move at most in drifting.")
    ] = 0.0
    drift_frames: Annotated[
        int, Meta(ge=2, le=1_000_000_000, description="Frames in which a drift comes and goes once.")
    ] = 2000
    faults: Annotated[
        tuple[SyntheticFault, ...],
        Meta(
            description="Faults: tables [[cameras.faults]] with kind, at_frame and frames. The first holds."
        ),
    ] = ()
    fault_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="File of such faults, as [[faults]], read anew whenever it changes. Unset: none."),
    ] = None

    def setting_problem(self, name: str, value: float) -> None:
        """None: what is set of it is simulated."""

    @property
    def interval_ms(self) -> float | None:
        """Time between two frames."""
        return 1000 / self.fps

    @property
    def is_live(self) -> bool:
        """False: a picture is computed when it is due, and shows nothing older."""
        return False


Camera = OpenCvCamera | ImagesCamera | GenicamCamera | SyntheticCamera


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
            ge=25, le=60_000, description="Refuse a trigger that may have waited longer than this to be read."
        ),
    ] = 100.0
    id_memory_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Refuse the same trigger id for this long after its trigger was closed.",
        ),
    ] = 10.0


class ScoringSettings(Settings, frozen=True, kw_only=True):
    """The process that scores frames, or several."""

    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|cuda(:\d+)?)\Z",
            description='Device to score on: "auto", "cpu", "cuda" or "cuda:1".',
        ),
    ] = "auto"
    devices: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(cpu|cuda:(0|[1-9]\d*))\Z")], ...],
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
    """The ZeroMQ bus. Local sockets are always open: verdicts, heatmaps, sync and control (.sock)."""

    verdicts_tcp: Annotated[
        str | None, Meta(description="host:port for verdicts over TCP; see [security]. Unset: no TCP.")
    ] = None
    heatmaps_tcp: Annotated[
        str | None, Meta(description="host:port for heatmaps over TCP; see [security]. Unset: no TCP.")
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

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
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
        bool, Meta(description="A check is due whenever its recipe is put in force.")
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
