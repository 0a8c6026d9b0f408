"""What rows are asked for over lines: reads the parameters of a request. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from inspectd.page.history import filters as of_line
from inspectd.page.history.filters import Filter, FilterError, PagePlace

_MOST_LINES: Final = 200
_NO_FILTERS: Final = frozenset({"score_min", "score_max", "region"})
"""What a line's own page can be asked for, and the hub not."""


class HubRequest(msgspec.Struct, frozen=True):
    """A page of rows that is asked for.

    Attributes:
        filter: what rows have to be.
        lines: names of lines; empty: all.
        limit: rows of the page.
        before: the last row of the page before; None: it is the first.
    """

    filter: Filter
    lines: tuple[str, ...] = ()
    limit: int = of_line.DEFAULT_LIMIT
    before: PagePlace | None = None


def parse(parameters: Iterable[tuple[str, str]]) -> HubRequest:
    """The rows that a request asks for; `line` may come many times, all else once.

    Raises:
        FilterError: a name is unknown, or a value is none of its kind.
    """
    given = [*parameters]
    for name, _ in given:
        if name in _NO_FILTERS:
            raise FilterError(f"{name!r} is no filter of the hub; the line's own page has it")
    lines = tuple(dict.fromkeys(value for name, value in given if name == "line" and value))
    if len(lines) > _MOST_LINES or any(len(line) > 63 for line in lines):
        raise FilterError(
            f"line: got {len(lines)} or a name that is too long, expected at most {_MOST_LINES}"
        )
    wanted = of_line.parse((name, value) for name, value in given if name != "line")
    texts = (wanted.filter.camera, wanted.filter.reason, wanted.filter.part_id, wanted.filter.recipe)
    if any("\x00" in text for text in texts if text):
        raise FilterError("a filter has the character 0, expected none")
    return HubRequest(wanted.filter, lines, wanted.limit, wanted.before)
