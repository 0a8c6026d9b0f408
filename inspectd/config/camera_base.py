"""The settings that cameras of every kind have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from inspectd.config.values import ExposureUs, GainDb, Name, Pixels, Settings
from inspectd.records import FrameRegion
from inspectd.wire import place_of


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
        float,
        Meta(
            ge=0, le=3_600_000,
            description="A live frame that may be older than this on arrival is stale; 0: off.",
        ),
    ] = 1000.0  # fmt: skip


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

    @property
    def bit_depth(self) -> int:
        """Bits a channel that its sensor delivers; 8 also where the settings do not say."""
        return 8

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
