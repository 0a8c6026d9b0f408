"""The bus format: topics, headers, payloads. Pure; `docs/wire.md` is its description for readers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd.wire.golden import GoldenRecord
from inspectd.wire.health import HealthCondition
from inspectd.wire.open_enum import OpenStrEnum
from inspectd.wire.preview import PreviewHeader
from inspectd.wire.shadow import ShadowScore
from inspectd.wire.verdicts import Int64, Number, PartVerdict, Rectangle, Verdict

TOPIC_VERSION: Final = "i1"

CameraName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}\Z")]
"""As the line's settings take it: clients make topics and file names of it, and a slash is refused."""


class Kind(StrEnum):
    """The last part of a topic."""

    VERDICT = "v"
    HEATMAP = "h"
    HEARTBEAT = "hb"
    EVENT = "ev"
    PART = "p"
    LATE = "late"
    GOLDEN = "g"
    SHADOW = "s"
    PREVIEW = "pv"


class LineState(OpenStrEnum):
    """Where a line is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    """It takes triggers, and judges."""
    DRAINING = "draining"
    """It stops, and finishes open inspections."""
    STOPPED = "stopped"
    """Of its last heartbeat."""


class Counts(msgspec.Struct, frozen=True):
    """Where every captured frame and every trigger went.

    Always `captured + further = verdicts + drops + in_flight`, and `triggers = parts + triggers_open`.
    """

    captured: int
    verdicts: int
    drops: int
    in_flight: int
    missed: int = 0
    """Verdicts of views for which no frame came; they are not among `verdicts`, which counts frames."""
    triggers: int = 0
    parts: int = 0
    triggers_open: int = 0
    restarted: int = 0
    """Verdicts of what an earlier start left open; they belong to no frame and no trigger of this epoch."""
    further: int = 0
    """Inspections beyond the first of a frame: a frame of a camera with three regions has three, two of them
    further. 0 without regions."""
    untriggered: int = 0
    """Of `drops`: frames of triggered cameras that no trigger asked for."""


class HeatmapHeader(msgspec.Struct, frozen=True, tag_field="schema", tag="heatmap/1"):
    """Header of a heatmap; the payload is `(height, width)` values of `dtype`, little endian, row by row."""

    epoch: Number
    seq: Number
    camera: str
    height: int
    width: int
    dtype: str
    threshold: float
    region: str | None = None
    rectangle: Rectangle | None = None
    """Part of the frame that the heatmap lies over; None: all of it."""


class Heartbeat(msgspec.Struct, frozen=True, tag_field="schema", tag="heartbeat/1"):
    """Sign of life of the line, with its state and the last verdict it published."""

    plant: str
    line: str
    epoch: Number
    last_seq: Number
    utc_ns: Int64
    interval_ms: float
    state: LineState
    counts: Counts
    cameras: dict[CameraName, str]
    journal: str = "recording"
    health: str = ""
    """A `HealthStatus`: the most severe of the conditions'; empty from versions that do not say."""
    conditions: list[HealthCondition] = []


class Event(msgspec.Struct, frozen=True, tag_field="schema", tag="event/1"):
    """Something a person may want to know: a camera went down, a process was replaced, the line stops."""

    plant: str
    line: str
    epoch: Number
    utc_ns: Int64
    severity: Annotated[str, Meta(pattern="^(info|warning|alarm)$")]
    event: str
    camera: str | None
    detail: str
    counts: Counts
    process: str | None = None
    """The process it is about, such as `scoring-1`; None where it is about none."""


class Late(msgspec.Struct, frozen=True, tag_field="schema", tag="late/1"):
    """A score that came after its verdict was due: for information, it has no evaluation."""

    plant: str
    line: str
    camera: str
    epoch: Number
    seq: Number
    inspection_id: int
    score: float
    threshold: float
    bank_sha256: str
    late_ms: float
    trigger_id: str | None = None
    part_id: str | None = None
    region: str | None = None


Header = (
    Verdict
    | PartVerdict
    | Late
    | HeatmapHeader
    | Heartbeat
    | Event
    | GoldenRecord
    | ShadowScore
    | PreviewHeader
)

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Header)


def prefix(plant: str, line: str) -> bytes:
    """The beginning of every topic of a line."""
    return f"{TOPIC_VERSION}/{plant}/{line}/".encode()


def topic(plant: str, line: str, camera: str, kind: Kind) -> bytes:
    """The first part of a message; the closing slash keeps `cam1` from matching `cam10`.

    A heartbeat or an event of the whole line has `-` for its camera.
    """
    return f"{TOPIC_VERSION}/{plant}/{line}/{camera}/{kind}/".encode()


def encode(header: msgspec.Struct) -> bytes:
    """A header as JSON, with its `schema` beside its fields."""
    return _encoder.encode(header)


def decode(header: bytes) -> Header:
    """Read a header; fields that this version does not have are ignored.

    Raises:
        ValueError: it is no JSON, of an unknown schema, or a field is missing or of another type.
    """
    try:
        message: Header = _decoder.decode(header)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    return message
