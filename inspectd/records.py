"""Records that cross a stage boundary: frozen, with identity and time, never a bare array.

Times in `_ns` are CLOCK_MONOTONIC, which all processes of a host share; `_utc_ns` is for people and
for other hosts. Records between processes travel as msgpack arrays (see `ipc.channel`), so fields are
only added at the end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from inspectd.wire import DeviceFacts, Evaluation, Reason, Rectangle, place_of


class Quality(StrEnum):
    """A frame's quality, as the capture stage found it; anything but `ok` makes its verdict undecidable."""

    OK = "ok"
    BLACK = "black"
    FROZEN = "frozen"
    PARTIAL = "partial"
    STALE = "stale"
    NO_PART = "no_part"
    """A triggered frame that shows the empty belt."""


class DropCause(StrEnum):
    """Cause of losing a frame before an inspection could be opened. A closed set: it is a metric label."""

    RING_FULL = "ring_full"
    SIZE_CHANGED = "size_changed"
    STOPPING = "stopping"
    INVALID_REFERENCE = "invalid_reference"
    BACKLOG = "backlog"
    """It waited in front of the reader until it was too old to be of use."""
    LOST_IN_TRANSFER = "lost_in_transfer"
    """The camera sent it, by the numbers of the frames before and after, and nothing of it arrived."""
    UNTRIGGERED = "untriggered"
    """No trigger claimed the frame; the usual end of most frames of a camera that runs faster than parts."""
    UNREADABLE = "unreadable"
    """A picture of a replayed folder that cannot be used; counted once, and left out from then on."""
    NO_PART = "no_part"
    """It shows the empty belt, of a camera that runs free."""


class CameraSettings(msgspec.Struct, frozen=True, array_like=True):
    """What a camera is set to. None: the line never sets it, and it is as the camera has it."""

    exposure_us: float | None = None
    gain_db: float | None = None

    def __str__(self) -> str:
        """In words, such as `exposure_us 5000, gain_db 3`."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return ", ".join(f"{name} {value:g}" for name, value in named.items() if value is not None) or "unset"


UNSET: Final = CameraSettings()
"""Of a camera that the line does not set."""


class Trigger(msgspec.Struct, frozen=True, array_like=True):
    """The plant's signal that a part is in front of the cameras, with its identity."""

    trigger_id: str
    part_id: str | None = None
    encoder_count: int | None = None
    received_ns: int = 0
    """When the main process read it, CLOCK_MONOTONIC: the latest it can have come."""
    received_utc_ns: int = 0
    doubt_ns: int = 0
    """It may have come up to this much earlier than `received_ns`."""
    source: str = ""
    """Its sender: triggers of one sender are read in the order they came. Empty: not known."""
    golden: str | None = None
    """The golden part it announces."""

    @property
    def came_ns(self) -> int:
        """The earliest it can have come, CLOCK_MONOTONIC."""
        return self.received_ns - self.doubt_ns


class FrameRegion(msgspec.Struct, frozen=True, array_like=True):
    """A part of a camera's frames that is inspected by itself, in pixels."""

    name: str
    left: int
    top: int
    width: int
    height: int


class Exposure(NamedTuple):
    """Span in which a frame can have been exposed, by the monotonic clock.

    Whatever a frame's time is compared with, it is this span: where the moment lies within it, nobody knows.
    """

    first_ns: int
    last_ns: int

    @staticmethod
    def of(frame: FrameRef, latency_ns: tuple[int, int]) -> Exposure:
        """The span of a frame whose camera takes `latency_ns`, shortest and longest, from light to stamp."""
        shortest_ns, longest_ns = latency_ns
        return Exposure(frame.captured_ns - longest_ns, frame.captured_ns + frame.doubt_ns - shortest_ns)

    def is_after(self, moment_ns: int) -> bool:
        """Whether it was certainly exposed after that moment."""
        return self.first_ns > moment_ns

    def is_up_to(self, moment_ns: int) -> bool:
        """Whether it was certainly exposed until then."""
        return self.last_ns <= moment_ns


class FrameRef(msgspec.Struct, frozen=True, array_like=True, tag="frame"):
    """One captured frame: where it lies in its camera's ring and when it was taken.

    The pixels are `(height, width, channels) uint8` in slot `slot` of the ring of generation `generation`:
    BGR, or grey where `channels` is 1.
    """

    camera: str
    generation: int
    slot: int
    seq: int
    """Counts up by one for every frame the camera delivered in this generation, from 1."""
    captured_ns: int
    """The earliest moment it can have reached the camera's driver, CLOCK_MONOTONIC."""
    captured_utc_ns: int
    height: int
    width: int
    channels: int = 3
    quality: Quality = Quality.OK
    trigger: Trigger | None = None
    label: str | None = None
    """Ground truth of a replayed image, for evaluation only; no judgement reads it."""
    source: str | None = None
    """The replayed image's file, for evaluation only."""
    sha256: str | None = None
    """SHA-256 of the pixels, `height * width * channels` bytes, row by row, BGR or grey."""
    doubt_ns: int = 0
    """It may be up to this much later than `captured_ns`; 0 where the source dates its frames."""
    bit_depth: int = 8
    """Bits a channel that the sensor delivered; the pixels hold the upper 8 of them."""
    camera_settings: CameraSettings | None = UNSET
    """It was certainly taken with these; None: nobody knows with which."""
    device: DeviceFacts | None = None
    """What the camera itself says of it; None: it says nothing."""
    region: FrameRegion | None = None
    """The part of it that is looked at; None: all of it. All else is said of the whole frame."""
    latency_ns: tuple[int, int] = (0, 0)
    """Shortest and longest time that its camera takes from light to stamp."""

    @property
    def exposed(self) -> Exposure:
        """When it can have been exposed."""
        return Exposure.of(self, self.latency_ns)

    @property
    def place(self) -> str:
        """What is looked at: `CAMERA`, or `CAMERA/REGION`."""
        return place_of(self.camera, None if self.region is None else self.region.name)

    @property
    def looked_at_size(self) -> tuple[int, int]:
        """Height and width of what is looked at."""
        return (self.height, self.width) if self.region is None else (self.region.height, self.region.width)

    @property
    def has_its_region(self) -> bool:
        """Whether what is looked at lies wholly inside the frame."""
        region = self.region
        return region is None or (
            0 <= region.left < region.left + region.width <= self.width
            and 0 <= region.top < region.top + region.height <= self.height
        )


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop"):
    """One frame that was captured and lost before it could be inspected."""

    camera: str
    generation: int
    seq: int
    stage: str
    cause: DropCause


class JudgedBy(msgspec.Struct, frozen=True, array_like=True):
    """The bank and the threshold that were in force when an inspection was opened."""

    bank_sha256: str
    threshold: float
    check_above: float | None = None
    """Above it a pass is marked for a second look."""


class Inspection(msgspec.Struct, frozen=True, array_like=True):
    """One open inspection, from its frame to its verdict."""

    inspection_id: int
    frame: FrameRef
    recipe: str
    opened_ns: int
    deadline_ns: int
    judged_by: JudgedBy | None = None
    """None where none was in force; then no score can come."""
    camera_settings: CameraSettings = UNSET
    """Only a frame that was taken with these may be judged by the recipe."""

    @property
    def camera(self) -> str:
        """The camera that took the frame."""
        return self.frame.camera

    @property
    def region(self) -> FrameRegion | None:
        """The part of the frame that is looked at; None: all of it."""
        return self.frame.region

    @property
    def place(self) -> str:
        """See `FrameRef.place`."""
        return self.frame.place

    @property
    def trigger(self) -> Trigger | None:
        """The trigger the frame belongs to; None in free running."""
        return self.frame.trigger

    @property
    def began_ns(self) -> int:
        """Where the deadline counts from: the trigger's arrival, without one the frame's capture."""
        return self.frame.trigger.received_ns if self.frame.trigger else self.frame.captured_ns


class PendingView(msgspec.Struct, frozen=True):
    """One look at a triggered part while its frame has not come; then it becomes an `Inspection`.

    A camera looks once, or once at each of its regions.
    """

    inspection_id: int
    camera: str
    recipe: str
    trigger: Trigger
    deadline_ns: int
    frame: None = None
    camera_settings: CameraSettings = UNSET
    """See `Inspection.camera_settings`."""
    region: FrameRegion | None = None
    """See `FrameRef.region`."""

    @property
    def place(self) -> str:
        """See `FrameRef.place`."""
        return place_of(self.camera, None if self.region is None else self.region.name)

    @property
    def began_ns(self) -> int:
        """Where the deadline counts from: the trigger's arrival."""
        return self.trigger.received_ns


class ClosedBy(StrEnum):
    """Condition that sent a batch to scoring."""

    FULL = "full"
    DEADLINE = "deadline"
    DRAIN = "drain"


class Batch(msgspec.Struct, frozen=True, array_like=True, tag="batch"):
    """Inspections of one recipe that are scored together."""

    batch_id: int
    recipe: str
    inspections: list[Inspection]
    closed_by: ClosedBy


class Measures(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What a frame is like. None: not measured, as its bank learnt nothing of it."""

    mean_grey: float | None = None
    """0 to 255."""
    dark_share: float | None = None
    """Of the picture that is black, 0 to 1."""
    bright_share: float | None = None
    """Of the picture that is white, 0 to 1."""
    unevenness: float | None = None
    """Largest difference of a quarter's share of the light from the usual one; the whole picture's is 1."""
    fine_detail: float | None = None
    """Octaves: differences of neighbouring pixels that a picture of half the size does not explain."""
    detail: float | None = None
    """Octaves: differences in a picture of half the size that one of an eighth does not explain."""
    blocks: float | None = None
    """Octaves: steps at the borders of JPEG's blocks beside those within."""
    faintest_quarter: float | None = None
    """Octaves: least difference of pixels in a quarter and direction, beside those of the whole picture."""
    grain: float | None = None
    """Octaves: differences of pixels beside each other beside those of pixels one above the other."""
    shift_x_px: float | None = None
    """Pixels of the frame to the right of its usual place."""
    shift_y_px: float | None = None
    """Pixels of the frame below its usual place."""
    rotation_degrees: float | None = None
    """Clockwise from its usual place."""
    likeness: float | None = None
    """Correlation with the picture of a good part, once shift and rotation are undone; at most 1."""
    part_likeness: float | None = None
    """The same of the quarter that is least like it."""
    facing: float | None = None
    """How much larger its likeness is than that to the same picture mirrored or turned by 180 degrees."""
    tint: float | None = None
    """Difference of blue and red beside the usual one, place by place: 1 as usual, -1 exchanged, 0 lost."""
    blue_share: float | None = None
    """Of all light; None: the frame is grey."""
    red_share: float | None = None
    """Of all light; None: the frame is grey."""


class MeasureLimit(msgspec.Struct, frozen=True):
    """Limits of a measure, as good images gave them."""

    usual: float
    """Median of the good images."""
    low: float | None = None
    high: float | None = None

    def is_beyond(self, value: float) -> bool:
        """Whether a value is outside; what is no number is."""
        inside = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        return not inside


NAN_SCORE: Final = 1e9
"""Stands for NaN, which would never be above a threshold, and so pass."""


class Score(msgspec.Struct, frozen=True, array_like=True, tag="score"):
    """The answer of the scoring process for one inspection."""

    batch_id: int
    inspection_id: int
    image_score: float
    heatmap: bytes
    """`(heatmap_height, heatmap_width) float16`, C order, little endian, at the detector's resolution."""
    heatmap_height: int
    heatmap_width: int
    bank_sha256: str
    stage_ms: dict[str, float]
    """Milliseconds each scoring stage took for the whole batch, e.g. `{"backbone": 12.1}`."""
    measures: Measures | None = None
    """What the frame is like; None: its bank learnt nothing of that."""
    flaw: Reason | None = None
    """`quality_*`: the frame is not like the bank's good images, and must not be judged."""
    detail: str = ""
    """Every measure beyond its limits, in words."""
    heatmap_rectangle: Rectangle | None = None
    """Part of the camera's frame that the heatmap lies over; None: all of what was looked at."""


class ScoreError(msgspec.Struct, frozen=True, array_like=True, tag="score_error"):
    """One inspection that the scoring process could not score, with the reason."""

    batch_id: int
    inspection_id: int
    reason: Reason
    detail: str


class Outcome(msgspec.Struct, frozen=True):
    """Result of an inspection; publishing makes its verdict from it."""

    evaluation: Evaluation
    reason: Reason
    decided_ns: int
    threshold: float | None = None
    score: Score | None = None
    second_look: bool = False
    """A pass that somebody should look at again."""
    measures: Measures | None = None
    """See `Score.measures`."""
    detail: str = ""
    """What is wrong with the frame, in words; empty: nothing, or the reason says it all."""


class EvidenceResult(StrEnum):
    """Fate of evidence that was wanted. A closed set: it is a metric label."""

    SAVED = "saved"
    RATE_LIMITED = "rate_limited"
    BUSY = "busy"
    """Too many frames wait to be copied or written."""
    TIMEOUT = "timeout"
    """The frame was not copied in time, and its slot went back to the camera."""
    DOWN = "down"
    """The evidence process was not there, or died with it."""
    UNWRITABLE = "unwritable"
    """The disk is full, read-only or failing."""


class PreviewResult(StrEnum):
    """Fate of a preview that was wanted. A closed set: it is a metric label."""

    PUBLISHED = "published"
    BUSY = "busy"
    """The camera has few slots left, or earlier previews are still being made."""
    TIMEOUT = "timeout"
    """It was not made in time, and its slot went back to the camera."""
    GONE = "gone"
    """The frame was not there any more, or its region lies beyond it."""
    DOWN = "down"
    """The preview process was not there yet, or died with it."""
    NOT_TAKEN = "not_taken"
    """Nobody looked any more, or the door had no room for it."""


class ReloadResult(StrEnum):
    """What became of a request to read the configuration file again. A closed set: it is a metric label."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    IGNORED = "ignored"
    """The line starts, or stops."""


class CameraPhase(StrEnum):
    """Phase of a camera's life."""

    OPENING = "opening"
    UP = "up"
    DOWN = "down"
    ENDED = "ended"
    """A file or folder was replayed once and is through; there is nothing to reconnect to."""


class CameraState(msgspec.Struct, frozen=True, array_like=True, tag="camera_state"):
    """Capture to main: the camera's phase changed."""

    camera: str
    phase: CameraPhase
    detail: str = ""


class CameraNotice(msgspec.Struct, frozen=True, array_like=True, tag="camera_notice"):
    """Capture to main: something odd about the camera, for a person to look at; it goes on delivering."""

    camera: str
    event: str
    detail: str


class CameraSettingsReport(msgspec.Struct, frozen=True, array_like=True, tag="camera_settings"):
    """Capture to main: the camera was set, or cannot be; said when that changes."""

    camera: str
    settings: CameraSettings
    """That it is to have."""
    problem: str
    """The reason why it does not have them; empty: it was set, and answered so."""


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """What scoring measured for one recipe when it was warm, by frames of the network's input size."""

    recipe: str
    one_ms: float
    """One image alone."""
    full_ms: float
    """A batch of as many as the line sends at most."""


class BankInForce(msgspec.Struct, frozen=True, array_like=True):
    """The bank and threshold that scoring loaded for one recipe."""

    recipe: str
    bank_sha256: str
    detector: str
    backbone: str
    rows: int
    dims: int
    threshold: float
    image_sizes: tuple[tuple[int, int], ...] = ()
    """Every (height, width) of the images the bank was built from; empty: not recorded."""
    bit_depth: int = 8
    """Bits a channel of those images."""
    any_size: bool = False
    """The recipe has frames of other sizes judged as well."""
    check_above: float | None = None
    """The recipe has passes with higher scores marked for a second look."""
    good_median: float | None = None
    """Median score of the images the bank was built from, each while it was left out; None: not known."""
    limits: dict[str, MeasureLimit] = {}
    """Of what frames are like, by the name of the measure, as its good images gave them."""
