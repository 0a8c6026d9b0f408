"""What crosses a stage boundary: frozen records that carry identity and time, never a bare array.

Times in `_ns` are CLOCK_MONOTONIC, which all processes of a host share; `_utc_ns` is for people and
for other hosts. Records between processes travel as msgpack arrays (see `ipc.channel`), so fields are
only added at the end.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta


class Evaluation(StrEnum):
    """The judgement of a part (OPC 40001-101 ResultEvaluation: OK, NotOK, NotDecidable)."""

    PASS = "pass"  # noqa: S105 - the judgement, not a password
    FAIL = "fail"
    UNDECIDABLE = "undecidable"


class Reason(StrEnum):
    """Why a verdict is what it is. A closed set: it is a metric label."""

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
    """The daemon ended without a word while the part was under way; the next start closes it."""
    BLACK = "black"
    FROZEN = "frozen"
    PARTIAL = "partial"
    STALE = "stale"
    FORMAT = "format"
    """The frame has another size or bit depth than the images the bank was built from."""
    MISSED_TRIGGER = "missed_trigger"
    """No frame came for the trigger: the one reason a verdict of this run can have without a frame."""


class Quality(StrEnum):
    """What the capture stage saw of a frame; anything but `ok` makes its verdict undecidable."""

    OK = "ok"
    BLACK = "black"
    FROZEN = "frozen"
    PARTIAL = "partial"
    STALE = "stale"


class DropCause(StrEnum):
    """Why a frame was lost before an inspection could be opened. A closed set: it is a metric label."""

    RING_FULL = "ring_full"
    SIZE_CHANGED = "size_changed"
    STOPPING = "stopping"
    INVALID_REFERENCE = "invalid_reference"
    BACKLOG = "backlog"
    """It waited in front of the reader until it was too old to be of use."""
    UNTRIGGERED = "untriggered"
    """No trigger claimed the frame; the usual end of most frames of a camera that runs faster than parts."""


class Trigger(msgspec.Struct, frozen=True, array_like=True):
    """What the plant says of the part in front of the camera."""

    trigger_id: str
    part_id: str | None = None
    encoder_count: int | None = None
    received_ns: int = 0
    """When the main process read it, CLOCK_MONOTONIC: the latest it can have come."""
    received_utc_ns: int = 0
    doubt_ns: int = 0
    """How much earlier than `received_ns` it may have come."""

    @property
    def came_ns(self) -> int:
        """The earliest it can have come, CLOCK_MONOTONIC."""
        return self.received_ns - self.doubt_ns


class FrameRef(msgspec.Struct, frozen=True, array_like=True, tag="frame"):
    """One captured frame: where it lies in its camera's ring and when it was taken.

    The pixels are `(height, width, 3) uint8 BGR` in slot `slot` of the ring of generation `generation`.
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
    """SHA-256 of the pixels, `height * width * channels` bytes, row by row, BGR."""
    doubt_ns: int = 0
    """How much later than `captured_ns` it may have been; 0 where the source dates its frames."""
    bit_depth: int = 8
    """Bits a channel that the sensor delivered; the pixels hold the upper 8 of them."""


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop"):
    """One frame that was captured and lost before it could be inspected."""

    camera: str
    generation: int
    seq: int
    stage: str
    cause: DropCause


class Inspection(msgspec.Struct, frozen=True, array_like=True):
    """One part under way, from its frame to its verdict."""

    inspection_id: int
    frame: FrameRef
    recipe: str
    opened_ns: int
    deadline_ns: int

    @property
    def camera(self) -> str:
        """The camera that took the frame."""
        return self.frame.camera

    @property
    def trigger(self) -> Trigger | None:
        """The trigger the frame belongs to; None in free running."""
        return self.frame.trigger

    @property
    def began_ns(self) -> int:
        """Where the deadline counts from: the trigger's arrival, without one the frame's capture."""
        return self.frame.trigger.received_ns if self.frame.trigger else self.frame.captured_ns


class View(msgspec.Struct, frozen=True):
    """One camera's look at a triggered part while its frame has not come; then it becomes an `Inspection`."""

    inspection_id: int
    camera: str
    recipe: str
    trigger: Trigger
    deadline_ns: int
    frame: None = None

    @property
    def began_ns(self) -> int:
        """Where the deadline counts from: the trigger's arrival."""
        return self.trigger.received_ns


class TriggerRequest(
    msgspec.Struct, frozen=True, tag_field="schema", tag="trigger/1", forbid_unknown_fields=True
):
    """The plant says that a part is in front of the cameras. `docs/triggers.md` describes every field."""

    trigger_id: Annotated[str, Meta(min_length=1, max_length=64)]
    part_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    encoder_count: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    recipe: Annotated[str, Meta(max_length=64)] | None = None
    cameras: list[str] | dict[str, str] | None = None
    """Names; or names with the recipe of each; or every triggered camera."""
    deadline_ms: Annotated[float, Meta(ge=1, le=600_000)] | None = None


class RefusalReason(StrEnum):
    """Why a trigger was not taken. A closed set: it is a metric label."""

    NOT_READY = "not_ready"
    UNKNOWN_RECIPE = "unknown_recipe"
    UNKNOWN_CAMERA = "unknown_camera"
    DUPLICATE_ID = "duplicate_id"
    OVERLOAD = "overload"
    SHUTTING_DOWN = "shutting_down"
    MALFORMED = "malformed"


class Refusal(msgspec.Struct, frozen=True, tag_field="schema", tag="trigger_refusal/1"):
    """The answer to a trigger that was not taken: nothing will be published for it."""

    trigger_id: str | None
    reason: RefusalReason
    detail: str


class Accepted(msgspec.Struct, frozen=True, tag_field="schema", tag="trigger_ack/1"):
    """The answer to a trigger that was taken: exactly one part verdict will be published for it."""

    trigger_id: str
    epoch: int
    received_utc_ns: int
    deadline_ms: float
    cameras: list[str]


class ClosedBy(StrEnum):
    """What made a batch leave."""

    FULL = "full"
    DEADLINE = "deadline"
    DRAIN = "drain"


class Batch(msgspec.Struct, frozen=True, array_like=True, tag="batch"):
    """Inspections of one recipe that are scored together."""

    batch_id: int
    recipe: str
    inspections: list[Inspection]
    opened_ns: int
    closed_by: ClosedBy


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


class ScoreError(msgspec.Struct, frozen=True, array_like=True, tag="score_error"):
    """The scoring process could not score one inspection and says why."""

    batch_id: int
    inspection_id: int
    reason: Reason
    detail: str


class Outcome(msgspec.Struct, frozen=True):
    """What an inspection came to; publishing makes its verdict from it."""

    evaluation: Evaluation
    reason: Reason
    decided_ns: int
    threshold: float | None = None
    score: Score | None = None


class EvidenceResult(StrEnum):
    """What became of evidence that was wanted. A closed set: it is a metric label."""

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


class HeatmapRef(msgspec.Struct, frozen=True):
    """Says that a heatmap of this size was sent on the heatmap socket under the verdict's name."""

    height: int
    width: int
    dtype: str = "float16"


class Verdict(msgspec.Struct, frozen=True, tag_field="schema", tag="verdict/1"):
    """The judgement of one part, as published. `docs/wire.md` describes every field for readers."""

    plant: str
    line: str
    camera: str
    epoch: int
    seq: int
    inspection_id: int
    frame_generation: int | None
    frame_seq: int | None
    evaluation: Evaluation
    reason: Reason
    score: float | None
    threshold: float | None
    captured_utc_ns: int | None
    decided_utc_ns: int
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
    triggered_utc_ns: int | None = None
    recipe_sha256: str | None = None
    """SHA-256 of the recipe's settings and its bank's sha256; `docs/evidence.md` says of which bytes."""
    software: str | None = None
    """Version of inspectd that made the verdict."""
    journaled: bool = True
    """It was in the journal when it was sent; if not, a replay may lack it."""


class ViewVerdict(msgspec.Struct, frozen=True):
    """What one camera's view of a part came to; `seq` names its verdict."""

    camera: str
    seq: int
    evaluation: Evaluation
    reason: Reason


class PartVerdict(msgspec.Struct, frozen=True, tag_field="schema", tag="part/1"):
    """The judgement of a triggered part over all its views, as published: what a gate acts on."""

    plant: str
    line: str
    epoch: int
    seq: int
    trigger_id: str
    part_id: str | None
    encoder_count: int | None
    evaluation: Evaluation
    reason: Reason
    triggered_utc_ns: int
    decided_utc_ns: int
    latency_ms: float
    """From the trigger's arrival to this verdict, on the monotonic clock."""
    deadline_ms: float
    deadline_margin_ms: float
    late: bool
    views: list[ViewVerdict]
    journaled: bool = True
    """It was in the journal when it was sent; if not, a replay may lack it."""

    def __post_init__(self) -> None:
        """Make and read no `pass` that its own views do not bear out.

        Raises:
            ValueError: it is one.
        """
        if self.evaluation is not Evaluation.PASS:
            return
        if not self.views or any(view.evaluation is not Evaluation.PASS for view in self.views):
            raise ValueError("part/1 with the evaluation pass, but not with views that all pass")
