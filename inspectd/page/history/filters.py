"""What rows are asked for: reads the parameters of a request. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from inspectd.page.answers import ApiError
from inspectd.page.history.rows import RowKind
from inspectd.wire import Evaluation

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 100
_MAX_TEXT: Final = 256
_MAX_MS: Final = 253_402_300_800_000  # the year 10000
_PLACE: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,18})\Z")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,15}\Z")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\Z")


class FilterError(ApiError):
    """A request asks for rows in a way that cannot be understood."""

    def __init__(self, sentence: str) -> None:
        """Say this to the person."""
        super().__init__(400, "filter", sentence)


class PagePlace(NamedTuple):
    """The last row that was given: the next page begins beyond it."""

    decided_ms: int
    id: int

    def __str__(self) -> str:
        return f"{self.decided_ms}.{self.id}"


class Filter(msgspec.Struct, frozen=True):
    """Rows that are asked for; None: any.

    Attributes:
        from_ms: the first millisecond.
        to_ms: the first millisecond after the last.
        score_min: rows without a score are none of those with one between two.
    """

    from_ms: int = 0
    to_ms: int = _MAX_MS
    camera: str | None = None
    region: str | None = None
    verdict: str | None = None
    reason: str | None = None
    part_id: str | None = None
    recipe: str | None = None
    score_min: float | None = None
    score_max: float | None = None
    kind: str | None = None

    @property
    def of_group(self) -> dict[str, str]:
        """What its groups must be, by column."""
        wanted = {
            "kind": self.kind, "camera": self.camera, "region": self.region, "recipe": self.recipe,
            "verdict": self.verdict, "reason": self.reason,
        }  # fmt: skip
        return {name: value for name, value in wanted.items() if value is not None}

    @property
    def has_score(self) -> bool:
        """Whether only rows with a score are asked for."""
        return self.score_min is not None or self.score_max is not None


class RowRequest(msgspec.Struct, frozen=True):
    """A page of rows that is asked for.

    Attributes:
        filter: which rows.
        limit: at most so many.
        before: where the page before it said that the next one begins.
        is_oldest_first: in order of time; else the newest come first.
    """

    filter: Filter
    limit: int = DEFAULT_LIMIT
    before: PagePlace | None = None
    is_oldest_first: bool = False


def parse(parameters: Iterable[tuple[str, str]]) -> RowRequest:
    """The rows that a request asks for. An empty value is one that was left out.

    Args:
        parameters: names and values, as they came.

    Raises:
        FilterError: a name is unknown or comes twice, or a value is none of its kind.
    """
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in _NAMES:
            raise FilterError(f"{name[:64]!r} is no filter; expected {', '.join(sorted(_NAMES))}")
        if name in given:
            raise FilterError(f"{name}: is given twice, expected once")
        given[name] = value
    given = {name: value for name, value in given.items() if value != ""}
    from_ms, to_ms = span(given, _MAX_MS, _MAX_MS)
    wanted = Filter(
        from_ms=from_ms,
        to_ms=to_ms,
        score_min=_number(given, "score_min"),
        score_max=_number(given, "score_max"),
        verdict=_word(given, "verdict", [str(word) for word in Evaluation]),
        kind=_word(given, "kind", [str(word) for word in RowKind]),
        **{name: _text(given, name) for name in ("camera", "region", "reason", "part_id", "recipe")},
    )
    if wanted.score_min is not None and wanted.score_max is not None and wanted.score_min > wanted.score_max:
        raise FilterError("score_min: is above score_max; expected at most that")
    order = _word(given, "order", [_OLDEST_FIRST, "newest_first"])
    return RowRequest(wanted, _limit(given), _before(given), order == _OLDEST_FIRST)


def span(given: dict[str, str], to_ms: int, length_ms: int) -> tuple[int, int]:
    """A time from `from_ms` up to `to_ms`, in milliseconds since 1970.

    Args:
        given: the parameters of a request.
        to_ms: its end, where they name none.
        length_ms: from so long before its end on, where they do not say from when.

    Raises:
        FilterError: it is none.
    """
    end_ms = milliseconds(given, "to_ms", to_ms)
    begin_ms = milliseconds(given, "from_ms", max(0, end_ms - length_ms))
    if begin_ms >= end_ms:
        raise FilterError("from_ms: is not before to_ms; expected an earlier time")
    return begin_ms, end_ms


def milliseconds(given: dict[str, str], name: str, default: int) -> int:
    """A time in milliseconds since 1970.

    Raises:
        FilterError: it is none.
    """
    text = given.get(name)
    if text is None:
        return default
    if not _MILLISECONDS.match(text) or int(text) > _MAX_MS:
        raise FilterError(
            f"{name}: got {text[:32]!r}, expected milliseconds since 1970 such as 1763924431031"
        )
    return int(text)


def _number(given: dict[str, str], name: str) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    if not _NUMBER.match(text) or len(text) > 40 or not math.isfinite(float(text)):
        raise FilterError(f"{name}: got {text[:32]!r}, expected a number such as 2.5")
    return float(text)


def _word(given: dict[str, str], name: str, words: list[str]) -> str | None:
    text = given.get(name)
    if text is not None and text not in words:
        raise FilterError(f"{name}: got {text[:32]!r}, expected one of {', '.join(words)}")
    return text


def _text(given: dict[str, str], name: str) -> str | None:
    text = given.get(name)
    if text is not None and len(text) > _MAX_TEXT:
        raise FilterError(f"{name}: has {len(text)} characters, expected at most {_MAX_TEXT}")
    if text is not None and any("\ud800" <= character <= "\udfff" for character in text):
        raise FilterError(f"{name}: holds half a character, expected whole ones")
    return text


def _limit(given: dict[str, str]) -> int:
    text = given.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not _MILLISECONDS.match(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise FilterError(f"limit: got {text[:32]!r}, expected 1 to {MAX_LIMIT}")
    return int(text)


def _before(given: dict[str, str]) -> PagePlace | None:
    text = given.get("before")
    if text is None:
        return None
    found = _PLACE.match(text)
    if found is None:
        raise FilterError(f"before: got {text[:32]!r}, expected `next` of the page before, as it came")
    return PagePlace(int(found[1]), int(found[2]))


_NAMES: Final = frozenset({*Filter.__struct_fields__, "limit", "before", "order"})
_OLDEST_FIRST: Final = "oldest_first"
