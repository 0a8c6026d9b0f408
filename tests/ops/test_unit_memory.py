"""No unit may take a host's memory from the line beside it, or from who has to log in there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_every_unit_has_a_limit_which_the_manual_names(unit: Path) -> None:
    (limit,) = re.findall(r"^MemoryMax=(.+)$", unit.read_text(), re.MULTILINE)
    assert re.fullmatch(r"\d+[MG]|[1-9]\d%", limit)
    row = f"| `{unit.stem}` | {limit.replace('%', ' %')} |"
    assert row in (ROOT / "docs/operations.md").read_text()
