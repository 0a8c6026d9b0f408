"""The settings of synthetic cameras, and of what goes wrong with them on command."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from inspectd.config.camera_base import CameraBase
from inspectd.config.values import Rate, Settings


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
