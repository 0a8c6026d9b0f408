"""What browsers are told by the hub; `tools/page_types.py` writes it as types of TypeScript."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from inspectd.page.told import ToldRow
from inspectd.page.told_pages import Series

LineWord = Literal["running", "silent", "catching_up", "not_read", "nothing"]


class ToldShare(TypedDict):
    """Counts of a time: of parts where the line has triggers, else of frames; golden parts are none."""

    kind: Literal["frame", "part"]
    n: int
    fail: int
    undecidable: int


class ToldReport(TypedDict):
    """What a line says it runs, when, and when the servers got it; `is_now`: its agent still reports."""

    recipe: str | None
    version: str | None
    bank: str | None
    wanted: str | None
    wanted_serial: str | None
    state: str
    why: str
    progress: float | None
    at_ms: int
    received_ms: int
    is_now: bool


class ToldFleetLine(TypedDict):
    """A line in the list: `state` holds since `since_ms`."""

    line: str
    state: LineWord
    since_ms: int | None
    newest_ms: int | None
    behind: int | None
    hour: ToldShare
    day: ToldShare
    recipe: str | None
    version: str | None
    bank: str | None
    report: ToldReport | None
    foreign: int
    passed_over: int


class ToldFleet(TypedDict):
    """All lines, and how the hub's reading goes; from when on `hour` and `day` count, up to now."""

    now_ms: int
    hour_from_ms: int
    day_from_ms: int
    trouble: Literal["servers", "denied", "database"] | None
    trouble_since_ms: int | None
    lines: list[ToldFleetLine]


class ToldHubNames(TypedDict):
    """What can be asked for; `is_all`: no names are left out because there are too many."""

    lines: list[str]
    cameras: list[str]
    recipes: list[str]
    reasons: list[str]
    is_all: bool
    kept_days: float


class ToldHubRow(ToldRow):
    """A verdict, with its line."""

    line: str


class ToldHubRows(TypedDict):
    """Rows over lines, the newest first."""

    rows: list[ToldHubRow]
    next: str | None
    trouble: Literal["servers", "denied", "database"] | None
    trouble_since_ms: int | None


class ToldHubPart(TypedDict):
    """Everything about a verdict; `is_all`: no view is left out because they are too long."""

    row: ToldHubRow
    all: dict[str, Any]
    views: list[ToldHubRow]
    is_all: bool


class ToldLineCurves(TypedDict):
    """How one line went; shares are of all parts or frames of a step, latencies in ms."""

    line: str
    kind: Literal["frame", "part"]
    n: list[int]
    reject: Series
    undecidable: Series
    latency_p50: Series
    latency_p99: Series


class ToldHubTrends(TypedDict):
    """How lines went in a span, a point for each step; `left_out`: lines with fewer verdicts than those."""

    step_ms: int
    from_ms: int
    to_ms: int
    left_out: int
    t: list[int]
    lines: list[ToldLineCurves]
