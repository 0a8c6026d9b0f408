"""Verdicts on views and parts. `docs/wire.md` describes every field for readers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inspectd.wire.open_enum import OpenStrEnum

MAX_NUMBER: Final = 2**53
"""Larger epochs and numbers are refused: nothing of this line has such a name."""
Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What a reader can reckon with in floating point, as a span of time, and in a database."""


class Evaluation(StrEnum):
    """The judgement of a part (OPC 40001-101 ResultEvaluation: OK, NotOK, NotDecidable)."""

    PASS = "pass"  # noqa: S105 - the judgement, not a password
    FAIL = "fail"
    UNDECIDABLE = "undecidable"


class Reason(OpenStrEnum):
    """Reason for a verdict. A line makes no others: it is a metric label."""

    WITHIN_THRESHOLD = "within_threshold"
    ABOVE_THRESHOLD = "above_threshold"
    DEADLINE = "deadline"
    SCORING_DOWN = "scoring_down"
    SCORING_LOST = "scoring_lost"
    SCORING_ERROR = "scoring_error"
    FRAME_LOST = "frame_lost"
    OVERLOAD = "overload"
    SHUTDOWN = "shutdown"
    RESTARTED = "restarted"
    """The daemon ended abruptly while the part was open; the next start closes it."""
    BLACK = "black"
    FROZEN = "frozen"
    PARTIAL = "partial"
    STALE = "stale"
    FORMAT = "format"
    """The frame has another size or bit depth than the images the bank was built from."""
    MISSED_TRIGGER = "missed_trigger"
    """No frame came for the trigger: the one reason a verdict of this run can have without a frame."""
    GOLDEN = "golden"
    """The part is a golden one, shown to check the line."""
    GOLDEN_OVERDUE = "golden_overdue"
    """A check with golden parts is overdue."""
    GOLDEN_FAILED = "golden_failed"
    """A golden part got another verdict or score than expected, and no check has passed since."""
    CAMERA_SETTINGS = "camera_settings"
    """The frame was not certainly taken with the exposure and gain of the recipe that judges it."""
    NO_PART = "no_part"
    """A trigger came, and the frame that belongs to it shows the empty belt."""
    QUALITY_EXPOSURE = "quality_exposure"
    """The frame is darker, brighter or less evenly lit than any good image of its bank."""
    QUALITY_COLOUR = "quality_colour"
    """Its colours are not those of the good images: another balance or order of channels."""
    QUALITY_SCENE = "quality_scene"
    """It does not show what the good images show, or shows it turned, mirrored or in part."""
    QUALITY_POSITION = "quality_position"
    """The part is shifted or turned more than that of any good image."""
    QUALITY_FOCUS = "quality_focus"
    """It shows less detail than the good images: out of focus, smeared, or spoilt by compression."""


def place_of(camera: str, region: str | None) -> str:
    """Names what is judged by itself: `CAMERA`, or `CAMERA/REGION` of a camera with regions."""
    return camera if region is None else f"{camera}/{region}"


class Rectangle(msgspec.Struct, frozen=True):
    """Place of a region in its camera's frames, in pixels."""

    left: int
    top: int
    width: int
    height: int


class HeatmapRef(msgspec.Struct, frozen=True):
    """A heatmap of this size was sent on the heatmap socket under the verdict's name."""

    height: int
    width: int
    dtype: str = "float16"


class DeviceFacts(msgspec.Struct, frozen=True):
    """What a camera itself says of one frame. None: it does not say."""

    frame_id: int | None = None
    """Its own number of the frame."""
    time_ns: int | None = None
    """When it took the frame, by its own clock."""
    exposure_us: float | None = None
    """The exposure time that the frame was taken with, microseconds."""
    gain_db: float | None = None
    """The gain that the frame was taken with, decibels."""
    encoder_count: int | None = None
    """The encoder at one of its inputs."""
    counter_count: int | None = None
    """A counter of its own, such as of the signals at an input."""
    line_status: int | None = None
    """Level of each of its inputs and outputs, a bit for each."""


class Verdict(msgspec.Struct, frozen=True, tag_field="schema", tag="verdict/1"):
    """The judgement of one part, as published. `docs/wire.md` describes every field for readers."""

    plant: str
    line: str
    camera: str
    epoch: Number
    seq: Number
    inspection_id: int
    frame_generation: int | None
    frame_seq: int | None
    evaluation: Evaluation
    reason: Reason
    score: float | None
    threshold: float | None
    captured_utc_ns: Int64 | None
    decided_utc_ns: Int64
    latency_ms: float
    """From the frame's capture, or the trigger if there is one, to this verdict, on the monotonic clock."""
    deadline_ms: float
    late: bool
    recipe: str
    bank_sha256: str | None
    dropped_before: int
    """Frames of this camera that were lost since its last verdict."""
    heatmap: HeatmapRef | None = None
    trigger_id: str | None = None
    part_id: str | None = None
    encoder_count: int | None = None
    frame_sha256: str | None = None
    label: str | None = None
    source: str | None = None
    deadline_margin_ms: float = 0.0
    """Time that was left at the decision; negative when it was late."""
    triggered_utc_ns: Int64 | None = None
    recipe_sha256: str | None = None
    """SHA-256 of the recipe's settings and its bank's sha256; `docs/evidence.md` defines the bytes."""
    software: str | None = None
    """Version of inspectd that made the verdict."""
    journaled: bool = True
    """It was in the journal when it was sent; if not, a replay may lack it."""
    second_look: bool = False
    """A pass whose score is above the recipe's `check_above`; it is a pass all the same."""
    recipe_version: int | None = None
    """Version of the recipe, where it is one of the recipe store."""
    device: DeviceFacts | None = None
    """What the camera itself said of the frame; None: nothing, or no frame came."""
    region: str | None = None
    """Region of the frame that was judged; the frame's other regions have verdicts of their own."""
    rectangle: Rectangle | None = None
    """Where the region lies in the frame."""

    @property
    def place(self) -> str:
        """What was judged: `CAMERA`, or `CAMERA/REGION`."""
        return place_of(self.camera, self.region)


class ViewVerdict(msgspec.Struct, frozen=True):
    """Result of one camera's view of a part, or of a region of it; `seq` names its verdict."""

    camera: str
    seq: Number
    evaluation: Evaluation
    reason: Reason
    second_look: bool = False
    region: str | None = None

    @property
    def place(self) -> str:
        """What was judged: `CAMERA`, or `CAMERA/REGION`."""
        return place_of(self.camera, self.region)


class PartVerdict(msgspec.Struct, frozen=True, tag_field="schema", tag="part/1"):
    """The judgement of a triggered part over all its views, as published: what a gate acts on."""

    plant: str
    line: str
    epoch: Number
    seq: Number
    trigger_id: str
    part_id: str | None
    encoder_count: int | None
    evaluation: Evaluation
    reason: Reason
    triggered_utc_ns: Int64
    decided_utc_ns: Int64
    latency_ms: float
    """From the trigger's arrival to this verdict, on the monotonic clock."""
    deadline_ms: float
    deadline_margin_ms: float
    late: bool
    views: list[ViewVerdict]
    journaled: bool = True
    """It was in the journal when it was sent; if not, a replay may lack it."""
    second_look: bool = False
    """A pass with a view that is marked so; it is a pass all the same."""

    def __post_init__(self) -> None:
        """Make and read no `pass` that its own views do not bear out.

        Raises:
            ValueError: it is one.
        """
        if self.evaluation is not Evaluation.PASS:
            return
        if not self.views or any(view.evaluation is not Evaluation.PASS for view in self.views):
            raise ValueError("part/1 with the evaluation pass, but its views do not all pass")
