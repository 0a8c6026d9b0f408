"""What browsers are told: every answer and message. `tools/page_types.py` gives their types to TypeScript.

Text in them comes from the line: data, never markup. Times are milliseconds since 1970, UTC, ages and spans
milliseconds.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from inspectd.wire import Evaluation
from inspectd.wire.verdicts import Rectangle

Level = Literal["ok", "maintenance", "out_of_spec", "check", "failure"]
LoginWord = Literal["password", "proxy", "oidc"]
EvidenceWord = Literal["kept", "none", "unknown"]


class ToldRow(TypedDict):
    """A verdict."""

    epoch: int
    seq: int
    kind: Literal["frame", "part"]
    camera: str | None
    region: str | None
    verdict: Evaluation
    reason: str
    detail: str | None
    part_id: str | None
    trigger_id: str | None
    recipe: str | None
    recipe_version: int | None
    bank: str | None
    score: float | None
    threshold: float | None
    captured_ms: int | None
    decided_ms: int
    latency_ms: float | None
    late: bool
    golden: bool
    simulated: bool
    second_look: bool
    evidence: EvidenceWord


class ToldMe(TypedDict):
    """Who is logged in."""

    name: str
    role: str
    acts: list[str]
    is_idle: bool
    login: LoginWord
    language: str
    session_ends_ms: int
    idle_ends_ms: int


class ToldCameraPlace(TypedDict):
    """A camera and its regions."""

    name: str
    regions: list[str]


class ToldLimit(TypedDict):
    """A recipe and its threshold."""

    name: str
    threshold: float | None


class ToldShift(TypedDict):
    """When a shift began, or will begin."""

    from_ms: int


class ToldLineFacts(TypedDict):
    """What does not change from second to second; `shifts`: the next one, the present one, the one before."""

    plant: str
    line: str
    zone: str
    now_ms: int
    version: str
    cameras: list[ToldCameraPlace]
    line_version: str | None
    recipes: list[ToldLimit]
    in_force: str | None
    in_force_number: int | None
    shifts: list[ToldShift]
    takt_target_ms: int | None
    has_evidence: bool
    has_teaching: bool


ToldCounts = TypedDict(
    "ToldCounts",
    {
        "name": NotRequired[str],
        "from_ms": int,
        "counted_from_ms": int | None,
        "complete": bool,
        "counting": bool,
        "missing": bool,
        "parts": int,
        "pass": int,
        "fail": int,
        "undecidable": int,
        "by_reason": dict[str, int],
        "yield": float | None,
    },
)


class ToldBothCounts(TypedDict):
    """Of the shift, and of the order under way."""

    shift: ToldCounts
    order: ToldCounts | None


class ToldCameraState(TypedDict):
    """A camera as it is now."""

    name: str
    up: bool
    reason: str | None
    detail: str | None
    frame_age_ms: int | None


class ToldWords(TypedDict):
    """A text of the page and what it is about."""

    key: str
    args: dict[str, Any]


class ToldAlarm(TypedDict):
    """A condition that holds."""

    name: str
    camera: str | None
    detail: str
    status: str
    since_ms: int
    is_since_known: bool
    words: ToldWords


class ToldCause(TypedDict):
    """Why the level is what it is."""

    name: str
    camera: str | None
    detail: str


class ToldHealth(TypedDict):
    """NAMUR NE 107."""

    level: Level
    causes: list[ToldCause]


class ToldBus(TypedDict):
    """What is heard of the line."""

    alive: bool
    heartbeat_age_ms: int | None
    epoch: int | None
    seq: int | None


class ToldInForce(TypedDict):
    """What judges now."""

    name: str | None
    number: int | None
    bank: str | None
    names: list[str]


class ToldGoldenDue(TypedDict):
    """A recipe in force that has golden parts."""

    recipe: str
    state: str
    valid: bool
    due_ms: int | None
    due_parts: int | None
    overdue: bool
    overdue_ms: int | None
    is_held: bool
    held_from_ms: int | None
    under_way: str | None
    problems: list[str]
    last: str | None
    last_ms: int | None
    last_who: str | None


class ToldLineNow(TypedDict):
    """The line as it is, but for counts."""

    bus: ToldBus
    state: str
    words: ToldWords
    ne107: ToldHealth
    cameras: list[ToldCameraState]
    alarms: list[ToldAlarm]
    clock_ahead_ms: int | None
    takt_ms: float | None
    recipe: ToldInForce | None
    golden: list[ToldGoldenDue]


_Yield = TypedDict("_Yield", {"yield": float | None})


class ToldLineCounted(ToldLineNow, _Yield):
    """The line as it is."""

    counts: ToldBothCounts
    takt_target_ms: int | None


class ToldLineState(ToldLineCounted):
    """The same, and when it was said. `clock_ahead_ms`: of the line before the page; null: not known."""

    t: Literal["state"]
    server_ms: int


class ToldLineEvent(TypedDict):
    """Something that happened at the line."""

    ms: int
    kind: str
    name: str
    camera: str | None
    text: str
    args: dict[str, Any]


class ToldRows(TypedDict):
    """Verdicts since the last message, and how many had to be left out."""

    t: Literal["v"]
    rows: list[ToldRow]
    skipped: int


class ToldEvents(TypedDict):
    """The same of events."""

    t: Literal["e"]
    rows: list[ToldLineEvent]
    skipped: int


class ToldClock(TypedDict):
    """The server's clock between a tab's question and its answer; `asked` is the tab's own time."""

    t: Literal["clock"]
    asked: float
    server_ms: int


class ToldHeatSize(TypedDict):
    """Of a heatmap; `rectangle`: part of the picture that it lies over, in its pixels; null: all of it."""

    height: int
    width: int
    rectangle: Rectangle | None


class ToldPictureFacts(TypedDict):
    """What a live picture shows."""

    captured_ms: int
    width: int
    height: int
    verdict: Evaluation
    reason: str
    score: float | None
    threshold: float | None
    rectangle: Rectangle | None
    heat: ToldHeatSize | None


class ToldPictureHead(ToldPictureFacts):
    """What stands before a live picture; `age_ms`: since it was taken, when it was sent; null: not known."""

    camera: str
    region: str | None
    epoch: int
    seq: int
    sent_ms: int
    age_ms: int | None
    jpeg: int
