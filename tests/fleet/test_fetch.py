"""What has to be before an archive is fetched."""

from __future__ import annotations

import pytest
from support.orders import an_order

from inspectd.errors import UnavailableError
from inspectd.fleet.agent.fetch import need_room


def test_an_archive_needs_room_on_the_lines_disk_too(tmp_path) -> None:
    """Which may be another one than the agent's: a full one is the journal's."""
    recipe = an_order().recipe
    for free_bytes in (None, recipe.archive_bytes + 1_000_000):
        need_room(recipe, tmp_path, 1, free_bytes)
    with pytest.raises(UnavailableError, match="the line's disk: 4 MB are free, and 4 are needed"):
        need_room(recipe, tmp_path, 1, recipe.archive_bytes + 999_999)
