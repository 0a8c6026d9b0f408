"""The page of results."""

from __future__ import annotations

from pathlib import Path

from faults import report
from faults.suite import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


def test_what_was_not_run_stays_as_it_was() -> None:
    before = PAGE.read_text()
    assert report.page(FAULTS, [], before) == before
    run = {
        "name": "link-held", "injected": 7, "held": False, "figures": {"held back": "9 times"},
        "violations": ["why"], "utc": "2030-01-01T00:00", "seconds": 3, "seed": 1, "version": "9",
        "machine": "this one",
    }  # fmt: skip
    after = report.page(FAULTS, [run], before)
    assert "| 7 of 2,000 | **no** |" in after
    assert "- held back: 9 times\n- **Did not hold**: why\n- 2030-01-01 00:00 UTC, 3 s, seed 1" in after
    other = [
        line for line in after.splitlines() if line.startswith("| ") and not line.startswith("| link-held")
    ]
    assert set(other) <= set(before.splitlines())
