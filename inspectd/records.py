"""What crosses a stage boundary: frozen records that carry identity and time, never a bare array.

Times in `_ns` are CLOCK_MONOTONIC, which all processes of a host share; `_utc_ns` is for people and
for other hosts. Records between processes travel as msgpack arrays (see `ipc.channel`), so fields are
only added at the end.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


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
    BLACK = "black"
    FROZEN = "frozen"
    PARTIAL = "partial"
    STALE = "stale"


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


class Trigger(msgspec.Struct, frozen=True, array_like=True):
    """What the plant says of the part in front of the camera."""

    trigger_id: str
    part_id: str | None = None
    encoder_count: int | None = None


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
    frame_generation: int
    frame_seq: int
    evaluation: Evaluation
    reason: Reason
    score: float | None
    threshold: float | None
    captured_utc_ns: int
    decided_utc_ns: int
    latency_ms: float
    """From the frame's capture to this verdict, on the monotonic clock."""
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
