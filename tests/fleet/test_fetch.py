"""What has to be before an archive is fetched."""

from __future__ import annotations

import shutil

import pytest
from support.orders import an_order

from inspectd.errors import UnavailableError
from inspectd.fleet.agent.fetch import need_room


def test_an_archive_needs_room_on_the_lines_disk_too(tmp_path) -> None:
    """Which may be another one than the agent's: a full one is the journal's."""
    recipe = an_order().recipe
    for free_bytes in (None, recipe.archive_bytes + 1_000_000):
        need_room(recipe, tmp_path / "part", 1, free_bytes)
    with pytest.raises(UnavailableError, match="the line's disk: 4 MB are free, and 4 are needed"):
        need_room(recipe, tmp_path / "part", 1, recipe.archive_bytes + 999_999)


def test_what_was_fetched_already_needs_no_more_room(tmp_path) -> None:
    """There is room for all but one of the gigabytes that two copies of the archive take."""
    gigabyte = 1_000_000_000  # far above what other programs write meanwhile
    recipe, place = an_order(archive_bytes=4 * gigabyte).recipe, tmp_path / "part"
    free_bytes = shutil.disk_usage(tmp_path).free
    least_mb = (free_bytes - 7 * gigabyte) / 1e6
    with pytest.raises(UnavailableError, match=r"MB are free, and \d+ are needed"):
        need_room(recipe, place, least_mb, None)
    with place.open("wb") as file:
        file.truncate(2 * gigabyte)  # a hole: takes no room itself
    need_room(recipe, place, least_mb, None)
