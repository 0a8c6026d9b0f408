"""The `sync` socket's requests and answers. Pure; `docs/wire.md` is their description for readers."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from inspectd.wire.bus import Counts, LineState
from inspectd.wire.health import HealthCondition
from inspectd.wire.open_enum import OpenStrEnum
from inspectd.wire.shadow import ShadowStatus
from inspectd.wire.verdicts import Int64, Number, place_of

MAX_REQUEST_BYTES: Final = 4096
MAX_LIMIT: Final = 1000
"""Verdicts that one request may ask for; for more there is the next request."""
DEFAULT_LIMIT: Final = 500

_RequestId = Annotated[str, Meta(max_length=64)]


class Position(msgspec.Struct, frozen=True, order=True):
    """A verdict's name, and a place in the order of all verdicts of a line."""

    epoch: Number
    seq: Number

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"


class SnapshotRequest(msgspec.Struct, frozen=True, tag_field="schema", tag="snapshot_request/1"):
    """Asks for the last published verdict and the oldest that can be replayed."""

    request: _RequestId


class StatusRequest(msgspec.Struct, frozen=True, tag_field="schema", tag="status_request/1"):
    """Asks how the line is; answered even where the journal's disk hangs."""

    request: _RequestId


class ReplayRequest(
    msgspec.Struct,
    frozen=True,
    tag_field="schema",
    tag="replay_request/1",
    rename={"first": "from", "last": "to"},
):
    """Asks for the verdicts from one position to another, both included."""

    request: _RequestId
    first: Position | None = None
    """Left out: the oldest there is."""
    last: Position | None = None
    """Left out: the last one published when the request arrives."""
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT


class Snapshot(msgspec.Struct, frozen=True, tag_field="schema", tag="snapshot/1"):
    """The last published verdict and the oldest that can be replayed, with the line's state."""

    request: str
    plant: str
    line: str
    epoch: Number
    last_seq: Number
    oldest: Position | None
    state: LineState
    journal: str
    interval_ms: float
    counts: Counts
    cameras: dict[str, str]


class CameraStatus(msgspec.Struct, frozen=True):
    """A camera, or one of its regions, and its verdicts of the last minute."""

    camera: str
    phase: str
    recipe: str
    verdicts: dict[str, int]
    """By evaluation."""
    score_share: float | None
    """Median score of its last 200 verdicts with one, as a share of the threshold; None: none has a score."""
    good_share: float | None = None
    """The same of the good images its bank was built from; None: not known."""
    drift: dict[str, float] = {}
    """How much of the way from good images to a limit its frames have drifted, by cause: `light`, `focus`,
    `position`, `process`."""
    region: str | None = None
    """Its region that all but `phase` is of; None: it has none."""

    @property
    def place(self) -> str:
        """`CAMERA`, or `CAMERA/REGION`."""
        return place_of(self.camera, self.region)


class RecipeStatus(msgspec.Struct, frozen=True):
    """A recipe, the bank and threshold in force for it, and the images that scoring alone does of it."""

    recipe: str
    bank_sha256: str
    threshold: float
    check_above: float | None
    images_per_second: float | None
    """None: not measured yet."""


class GoldenStatus(msgspec.Struct, frozen=True):
    """A recipe in force that has golden parts, and its check."""

    recipe: str
    state: str
    """A `GoldenState`."""
    is_held: bool
    """Its parts are undecidable because of it."""
    due_utc_ns: Int64 | None
    """When its check is, or was, due; None: not by time."""
    due_parts: int | None
    """So many more parts until it is due; None: not by their number."""
    overdue_utc_ns: Int64 | None
    """When the check that is due becomes, or became, overdue; None: none is due."""
    under_way: str | None = None
    """Name of the check that is under way; None: none is."""
    last_outcome: str | None = None
    """How the last check of this version ended; None: none is known."""
    last_utc_ns: Int64 | None = None
    last_who: str = ""
    """Who began it; empty: a trigger without a key did."""
    problems: list[str] = []
    """Why the last check of this version failed that was not broken off, for people; empty: it passed, or
    that is not known."""
    held_from_utc_ns: Int64 | None = None
    """From when its parts, which are judged now, are undecidable if no check passes; None: none is due, or
    parts are undecidable already, or never because of it."""


class KeysStatus(msgspec.Struct, frozen=True):
    """Who may connect over TCP."""

    allowed: int | None
    """Number of keys on the list; None: clients need none, or the door for TCP does not answer."""
    is_unread: bool
    """The disk of the list does not answer."""
    plain: list[str]
    """TCP endpoints that need no key."""
    insecure: list[str]
    """Those of them that other hosts reach."""


class LineStatus(msgspec.Struct, frozen=True, tag_field="schema", tag="status/1"):
    """All that one screen shows of a line."""

    request: str
    plant: str
    line: str
    epoch: Number
    software: str
    started_utc_ns: Int64
    utc_ns: Int64
    state: LineState
    health: str
    conditions: list[HealthCondition]
    counts: Counts
    cameras: list[CameraStatus]
    recipes: list[RecipeStatus]
    device: str | None
    """What scoring computes on; None: it is not ready."""
    waiting: int
    """Inspections that wait for scoring."""
    with_scoring: int
    journal: str
    journal_bytes: Int64 | None
    """None: not known yet, as the next."""
    disk_free_bytes: Int64 | None
    """On the journal's disk."""
    evidence_bytes: Int64 | None
    """None: none is kept, or not known yet."""
    evidence_quota_bytes: Int64
    connections: dict[str, int]
    """Clients by socket; those over TCP as `tcp NAME`."""
    in_force: str = "file"
    """The recipe that judges parts, `ID@VERSION`; `file` or `file@N`: the configuration file's."""
    prepared: list[str] = []
    """Recipes that can be put in force at once, the one used last first."""
    shadow: ShadowStatus | None = None
    """The recipe that scores the same frames without a vote; None: there is none."""
    golden: list[GoldenStatus] = []
    """Of recipes in force that have golden parts."""
    keys: KeysStatus | None = None
    """None: by an earlier version, which does not say."""
    in_force_number: int | None = None
    """Number of the recipe in force; None: it has none, or an earlier version, which does not say."""
    loading: str | None = None
    """The recipe that is being prepared, `ID@VERSION`; empty: none is. None: an earlier version, which does
    not say."""

    def has_loaded(self, recipe: str) -> bool | None:
        """What became of a recipe that the line answered to load: whether it is loaded; None: not known yet.

        The event that ends loading may be lost on its way. Of a status that was asked for after that answer:
        what is neither loaded nor being loaded any more has failed.

        Args:
            recipe: `RecipeAck.name` of the answer.
        """
        if recipe in {self.in_force, *self.prepared}:
            return True
        return None if self.loading in {None, recipe} else False


class Verdicts(msgspec.Struct, frozen=True, tag_field="schema", tag="verdicts/1"):
    """So many verdicts follow, each as its topic and its header, the very bytes that were published."""

    request: str
    count: int


class Truncated(msgspec.Struct, frozen=True, tag_field="schema", tag="truncated/1"):
    """Part of what was asked for is no longer kept; the answer goes on at `oldest`, with no known loss."""

    request: str
    oldest: Position


class End(msgspec.Struct, frozen=True, tag_field="schema", tag="end/1"):
    """Everything there is up to `through` was sent; when not `complete`, ask again from the one after it."""

    request: str
    through: Position
    complete: bool
    messages: int
    """Number of messages of this answer before this one; if fewer arrived, ask again."""


class ErrorReason(OpenStrEnum):
    """Reason for refusing a request. A line makes no others: it is a metric label."""

    MALFORMED = "malformed"
    BUSY = "busy"
    """Too many requests are waiting already, or the journal cannot be read now; ask again later."""


class Error(msgspec.Struct, frozen=True, tag_field="schema", tag="error/1"):
    """The request was not understood or not taken."""

    request: str | None
    reason: ErrorReason
    detail: str


Request = SnapshotRequest | StatusRequest | ReplayRequest
Answer = Snapshot | LineStatus | Verdicts | Truncated | End | Error

_requests: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Request)
_answers: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(Answer)


def decode_request(parts: list[bytes]) -> Request:
    """Read what a client sent.

    Raises:
        ValueError: it is none of the requests, or too large.
    """
    if len(parts) != 1:
        raise ValueError(f"got {len(parts)} parts, expected one")
    if len(parts[0]) > MAX_REQUEST_BYTES:
        raise ValueError(f"got {len(parts[0])} bytes, expected at most {MAX_REQUEST_BYTES}")
    try:
        request: Request = _requests.decode(parts[0])
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    return request


def decode_answer(envelope: bytes) -> Answer:
    """Read the first part of an answer; fields that this version does not have are ignored.

    Raises:
        ValueError: it is none of the answers.
    """
    try:
        answer: Answer = _answers.decode(envelope)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    return answer
