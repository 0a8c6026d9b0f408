"""The kinds of cameras, and the settings of devices, streams, video files and folders of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from msgspec import Meta

from inspectd.config.camera_base import CameraBase
from inspectd.config.genicam_camera import GenicamCamera
from inspectd.config.sources import WHOLE_SCHEMES, is_device, lossy_scheme
from inspectd.config.synthetic_camera import SyntheticCamera
from inspectd.config.values import BitDepth, Pixels, Rate

_V4L2_STEP_US: Final = 100


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
        BitDepth,
        Meta(description="Bits of a grey device's pixels, as of the bank's; above 8 with Y10, Y12 or Y16."),
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
        BitDepth,
        Meta(description="Bits per channel of the images, as of the bank's; above 8 in 16-bit files."),
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


Camera = OpenCvCamera | ImagesCamera | GenicamCamera | SyntheticCamera
