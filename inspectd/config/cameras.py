"""The settings of cameras, of every kind; see `settings` for all others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from inspectd.config.sources import WHOLE_SCHEMES, expected_device, is_device, lossy_scheme
from inspectd.config.values import (
    ExposureUs,
    FeatureName,
    FeatureValue,
    GainDb,
    Name,
    PixelFormatName,
    Pixels,
    Rate,
    Settings,
)
from inspectd.records import FrameRegion
from inspectd.wire import place_of

_V4L2_STEP_US: Final = 100
_OTHER_SETTINGS: Final = {
    "TriggerMode": "trigger_source",
    "TriggerSource": "trigger_source",
    "TriggerSelector": "trigger_source",
    "TriggerActivation": "trigger_activation",
    "TriggerDelay": "trigger_delay_us",
    "TriggerDelayAbs": "trigger_delay_us",
    "PixelFormat": "pixel_format",
    "ExposureTime*": "exposure_us",
    "Gain*": "gain_db",
    "Chunk*": "chunks",
    "GevSCPSPacketSize": "packet_bytes",
    "GevCCP": "",
    "GevSCDA": "",
    "GevSCPHostPort": "",
    "AcquisitionMode": "",
    "TLParamsLocked": "",
}
"""What sets these features of a GenICam camera, in place of `features`; empty: the line, always alike."""


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
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z0-9 ]{4}\Z",
                examples=["MJPG"],
                extra={"words": "four letters, digits or blanks"},
            ),
        ]
        | None,
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
    colour: Annotated[
        bool,
        Meta(description="Frames of three channels; false: of one, as grey cameras give. Needs grey images."),
    ] = True

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
    """A GigE Vision camera, or one by a GenTL producer or Basler's pylon; the line controls it alone."""

    source_key = "device"
    source_is_path = False
    device: Annotated[
        str,
        Meta(
            pattern=r"^(?:(serial|mac|ip|name):[ -~]{1,64}|id:[ -~]{1,256})\Z",
            examples=["serial:40012345", "mac:00:11:1c:00:00:01", "ip:192.168.40.11", "name:side", "id:ID"],
            description="The camera: serial:40012345, mac:00:11:1c:00:00:01, ip:192.168.40.11, its "
            "user-defined name as name:NAME, or with gentl and pylon its id as id:ID. With ip nothing is "
            "broadcast.",
        ),
    ]
    backend: Annotated[
        Literal["aravis", "gentl", "pylon"],
        Meta(
            description='What reaches it: "aravis" (GigE Vision), "gentl", the GenTL producer of its '
            'vendor (USB3 Vision, CoaXPress, frame grabbers), or "pylon" (Basler, USB3 and GigE).'
        ),
    ] = "aravis"
    cti: Annotated[
        Annotated[str, Meta(min_length=1, max_length=4096)] | None,
        Meta(
            description="With gentl the producer: absolute path of its .cti file, which root or this user "
            "owns and nobody else may write. Unset: none."
        ),
    ] = None
    pixel_format: Annotated[
        PixelFormatName | None,
        Meta(
            description="Pixels to have it send: Mono8 to Mono16, BayerGR8 to BayerBG8, RGB8 or BGR8. Unset: "
            "as the camera is."
        ),
    ] = None
    trigger_source: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]{1,64}\Z", examples=["Line1"])] | None,
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
    ask_time: Annotated[
        bool,
        Meta(
            description="Whether the camera is asked for its time, which shows that it held a frame back. "
            "false: it stamps frames by another clock than it says."
        ),
    ] = True
    packet_bytes: Annotated[
        Annotated[int, Meta(ge=220, le=16_000)] | None,
        Meta(
            description="Size of its packets. Unset: the largest that gets through, found by test packets; "
            "with pylon as the camera is."
        ),
    ] = None
    features: Annotated[
        Annotated[dict[FeatureName, FeatureValue], Meta(max_length=64)] | None,
        Meta(
            description="What else to set of it, by the camera's own names, in this order at every start; it "
            "is read back. Unset: nothing."
        ),
    ] = None
    reconnect_max_ms: Annotated[
        float,
        Meta(
            ge=10,
            le=3_600_000,
            description="Longest wait before reopening a camera, which takes it one packet to ask.",
        ),
    ] = 250.0

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
        yield from self._features_problems()
        if self.backend == "gentl":
            yield from self._gentl_problems()
            return
        if self.cti is not None:
            yield "cti", f'got {self.cti!r}, expected none unless backend = "gentl"'
        if self.backend == "aravis" and self.device.startswith("id:"):
            yield (
                "device",
                f'got {self.device!r}, expected another way: an id takes backend = "gentl" or "pylon"',
            )

    def _features_problems(self) -> Iterator[tuple[str, str]]:
        for name, value in (self.features or {}).items():
            found = next((by for pattern, by in _OTHER_SETTINGS.items() if fnmatchcase(name, pattern)), None)
            if found is not None:
                expected = f"the setting {found} instead" if found else "none: the line itself sets it"
                yield f"features.{name}", f"got {value!r}, expected {expected}"
            elif isinstance(value, float) and not math.isfinite(value):
                yield f"features.{name}", f"got {value!r}, expected a finite number"

    def _gentl_problems(self) -> Iterator[tuple[str, str]]:
        if self.cti is None:
            yield "cti", 'is missing, expected the path of the vendor\'s GenTL producer for backend = "gentl"'
        elif not self.cti.startswith("/"):
            yield "cti", f"got {self.cti!r}, expected an absolute path: it is not looked for"
        elif not self.cti.isprintable():
            yield "cti", f"got {self.cti!r}, expected a path without line breaks and other control characters"
        if self.packet_bytes is not None:
            yield (
                "packet_bytes",
                f"got {self.packet_bytes}, expected none: with gentl the producer sizes packets",
            )


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
