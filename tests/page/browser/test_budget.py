"""What the page costs a browser to load, with its processor slowed as a tablet's."""

from __future__ import annotations

import pytest
from page_trials.budget import best, exceeded
from support.glass import Glass

pytestmark = [pytest.mark.system, pytest.mark.timed]


@pytest.mark.parametrize(
    ("path", "seen"), [("/", ".tile.fresh"), ("/history", "tbody tr"), ("/trends", ".chart canvas")]
)
def test_a_page_is_small_and_soon_there(page, chromium, path, seen) -> None:
    with Glass(chromium, page, "viewer") as glass:
        found = best(glass.tab, page.origin + path, seen)
    print(path, found)
    assert exceeded(found) == []
