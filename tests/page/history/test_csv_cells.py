"""No cell of an export is one that a spreadsheet runs, however far behind its beginning the formula is."""

from __future__ import annotations

import csv
import io
from zoneinfo import ZoneInfo

import pytest

from inspectd.page.history import csv_export


def cell_of(text: str) -> str:
    """The text as it stands in a file."""
    written = csv_export.lines([{"part_id": text}], ZoneInfo("UTC"), ["part_id"]).decode()
    ((cell,),) = csv.reader(io.StringIO(written))
    return cell


@pytest.mark.parametrize("before", ["", " " * 16, " " * 5000, "'" * 16, '"' * 40, "\uff07 '\uff02" * 9])
@pytest.mark.parametrize("formula", ["=1+1", "@SUM(1)", "\uff1d1", "=\u0338", "\u207c1"])
def test_a_formula_is_marked(before: str, formula: str) -> None:
    assert cell_of(f"{before}{formula}") == f"'{before}{formula}"
    assert cell_of(f"P1;{before}{formula}") == f"P1;'{before}{formula}"


@pytest.mark.parametrize("text", ["P=1", " " * 20, "'quoted'", "", "~=1"])
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert cell_of(text) == text
