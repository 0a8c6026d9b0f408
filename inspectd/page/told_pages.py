"""What browsers are told on the pages beside the live one; see `told.py`."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from inspectd.page.told import LoginWord, ToldGoldenDue, ToldRow
from inspectd.wire import Evaluation
from inspectd.wire.golden import GoldenToShow
from inspectd.wire.verdicts import Rectangle

RecipeWord = Literal["prepared", "in_force", "shadow"]
Series = list[float | None]


class ToldGap(TypedDict):
    """A time of which verdicts are missing."""

    from_ms: int
    to_ms: int
    why: str
    count: int | None


class ToldRowPage(TypedDict):
    """Rows of the history, the newest first."""

    rows: list[ToldRow]
    next: str | None
    complete_from_ms: int | None
    gaps: list[ToldGap]
    has_older_gaps: bool


class ToldNames(TypedDict):
    """What rows of the history can be asked for by."""

    cameras: list[str]
    recipes: list[str]


class ToldPicture(TypedDict):
    """The picture of a part, or why there is none."""

    kept: bool
    why: str | None
    detail: str | None
    url: str | None
    width: int | None
    height: int | None
    rectangle: Rectangle | None


class ToldHeatmap(TypedDict):
    """The heatmap of a part, or why there is none."""

    kept: bool
    why: str | None
    url: str | None
    width: int | None
    height: int | None
    threshold: float | None
    rectangle: Rectangle | None


class ToldExplainable(TypedDict):
    """Whether a part can be scored again here."""

    available: bool
    why: str | None


class ToldPartFacts(TypedDict):
    """Everything about a verdict but the pictures themselves."""

    row: ToldRow
    all: dict[str, Any]
    views: list[ToldRow]
    picture: ToldPicture
    heatmap: ToldHeatmap
    measures: dict[str, Any]
    settings: dict[str, Any] | None
    explain: ToldExplainable


class ToldCompared(TypedDict):
    """One thing of a part that was scored again, as its verdict has it and as it is now."""

    what: str
    then: str
    now: str
    differs: bool


class ToldExplained(TypedDict):
    """A part that was scored again."""

    result: str
    rows: list[ToldCompared]
    picture_png_base64: str | None


class ToldGoldenMark(TypedDict):
    """A check with golden parts that ended."""

    ms: int
    recipe: str
    result: str
    check: str | None
    who: str | None


class ToldMark(TypedDict):
    """Something that was changed."""

    ms: int
    kind: str
    camera: str | None
    region: str | None
    text: str


class ToldSpan(TypedDict):
    """From when until when."""

    from_ms: int
    to_ms: int


class ToldCurves(TypedDict):
    """How the line went in a span, a point for each step."""

    step_ms: int
    from_ms: int
    to_ms: int
    kind: Literal["frame", "part"]
    t: list[int]
    parts: list[int]
    late: list[int]
    reject: dict[str, Series]
    undecidable: dict[str, Series]
    score_unit: str
    score_p50: Series
    score_p90: Series
    score_p99: Series
    threshold: Series
    threshold_low: Series
    threshold_high: Series
    latency_p50: Series
    latency_p99: Series
    drift: dict[str, Series]
    golden: list[ToldGoldenMark]
    marks: list[ToldMark]
    marks_left_out: int
    heard: list[ToldSpan]


class ToldTrends(ToldCurves):
    """The same, and how much of it is known."""

    complete_from_ms: int | None
    gaps: list[ToldGap]
    has_older_gaps: bool


class ToldUser(TypedDict):
    """Somebody who may log in."""

    name: str
    role: str
    is_disabled: bool
    language: str | None
    created_ms: int
    login: LoginWord


class ToldSession(TypedDict):
    """A login that is not over."""

    id: str
    name: str
    role: str
    address: str
    began_ms: int
    used_ms: int
    ends_ms: int
    is_own: bool


class ToldAuditRow(TypedDict):
    """A record of the page's audit file."""

    seq: int
    ms: int
    who: str
    door: str
    action: str
    about: str | None
    old: str | None
    new: str | None
    why: str | None
    result: str
    sha256: str


class ToldRecipe(TypedDict):
    """A version of a recipe."""

    name: str
    version: int
    state: RecipeWord | None
    problem: str | None
    number: int | None
    cameras: list[str]
    who: str | None
    why: str | None
    created_ms: int | None


class ToldShadow(TypedDict):
    """What scores the same frames without a vote, and against what."""

    recipe: str
    against: str
    state: str
    detail: str
    since_ms: int
    frames: dict[str, int]
    to_fail: int
    to_pass: int
    unjudged: int


class ToldBack(TypedDict):
    """What a rollback leads to."""

    recipe: str
    version: int


class ToldRecipeList(TypedDict):
    """Every recipe there is to choose."""

    recipes: list[ToldRecipe]
    in_force: str | None
    in_force_number: int | None
    prepared: list[str]
    shadow: str | None
    has_store: bool
    compared: ToldShadow | None
    back_to: ToldBack | None
    went_back: bool
    is_current: bool


class ToldGoldenView(TypedDict):
    """What one camera made of a golden part."""

    camera: str
    verdict: Evaluation
    reason: str
    score: float | None
    threshold: float | None


class ToldGoldenShowing(TypedDict):
    """One showing of a golden part."""

    part: str
    ms: int
    expect: Evaluation
    score_min: float | None
    score_max: float | None
    agreement: str
    problems: list[str]
    views: list[ToldGoldenView]


class ToldGoldenCheck(TypedDict):
    """A check with golden parts."""

    check: str | None
    recipe: str | None
    who: str
    outcome: str | None
    problems: list[str]
    to_show: list[GoldenToShow]
    shown: int
    triggered: list[str]
    last: ToldGoldenShowing | None


class ToldGoldenFacts(TypedDict):
    """Which checks are due, and how the one under way stands."""

    recipes: list[ToldGoldenDue]
    check: ToldGoldenCheck | None
    what: str
    problem: str | None
