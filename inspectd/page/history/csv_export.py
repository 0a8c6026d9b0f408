"""Rows as CSV: times in the plant's zone with their offset, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from inspectd.text import printable

COLUMNS: Final = (
    "decided", "captured", "kind", "epoch", "seq", "camera", "region", "verdict", "reason", "part_id",
    "trigger_id", "recipe", "bank", "score", "threshold", "latency_ms", "late", "golden", "simulated",
    "second_look", "evidence",
)  # fmt: skip
_TIMES: Final = {"decided": "decided_ms", "captured": "captured_ms"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "|", "%")


def local_time(ms: int | None, zone: ZoneInfo) -> str:
    """Milliseconds since 1970 as `2026-11-28T06:00:00.000+09:00`; empty for None.

    The offset makes the hour that comes twice when clocks are set back two hours.
    """
    if ms is None:
        return ""
    seconds, rest = divmod(ms, 1000)
    return (
        datetime.fromtimestamp(seconds, zone)
        .replace(microsecond=rest * 1000)
        .isoformat(timespec="milliseconds")
    )


def heading(columns: Sequence[str] = COLUMNS) -> bytes:
    """The first line."""
    return _encoded([columns])


def lines(rows: Iterable[Mapping[str, Any]], zone: ZoneInfo, columns: Sequence[str] = COLUMNS) -> bytes:
    """Rows as `page.rows.row_of` makes them."""
    return _encoded([_cells(row, zone, columns) for row in rows])


def gap_lines(gaps: Iterable[Mapping[str, Any]], zone: ZoneInfo, columns: Sequence[str] = COLUMNS) -> bytes:
    """Times of which verdicts are missing, each as a row of its own: else the file would look whole.

    Args:
        gaps: `from_ms` and `to_ms` of each, `why`, and what else is known of it by its column.
        zone: the plant's.
        columns: of the file.
    """
    rows = []
    for gap in gaps:
        cells = dict.fromkeys(columns, "") | {
            "decided": local_time(gap["from_ms"], zone), "captured": local_time(gap["to_ms"], zone),
            "kind": "gap", "verdict": "lost", "reason": gap["why"],
        }  # fmt: skip
        rows.append([_cell(gap.get(name, cell)) for name, cell in cells.items()])
    return _encoded(rows)


def broken_line(words: str, columns: Sequence[str] = COLUMNS) -> bytes:
    """The last line of a file that ends early."""
    cells = dict.fromkeys(columns, "") | {"decided": "INCOMPLETE", "kind": "error", "reason": _text(words)}
    return _encoded([list(cells.values())])


def _cells(row: Mapping[str, Any], zone: ZoneInfo, columns: Sequence[str]) -> list[Any]:
    return [local_time(row[_TIMES[name]], zone) if name in _TIMES else _cell(row[name]) for name in columns]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else value


def _text(value: str) -> str:
    """The plant's text on one line, and never a formula: spreadsheets run cells that begin like one.

    A cell may begin behind a semicolon too, where the spreadsheet's country parts cells by it; and in East
    Asia the wide forms of these characters count as well.
    """
    return ";".join(f"'{cell}" if _begins_formula(cell) else cell for cell in printable(value).split(";"))


def _begins_formula(cell: str) -> bool:
    for character in cell:  # behind however many spaces and quotes, which spreadsheets may pass over
        if plain := unicodedata.normalize("NFKD", character).lstrip(" '\""):
            return plain.startswith(_FORMULA)
    return False


def _encoded(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
