"""Pages of the documentation as texts."""

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_section_stands_twice_in_a_page(page):
    counts = Counter(line for line in page.read_text().splitlines() if line.startswith("## "))
    assert [heading for heading, count in counts.items() if count > 1] == []
