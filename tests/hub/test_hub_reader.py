"""When the hub connects to the plant's servers again."""

from __future__ import annotations

from inspectd.hub.reader import Pauses


def test_the_hub_is_soon_back_after_each_trouble_of_a_day_and_waits_longer_where_it_stays_away() -> None:
    pauses = Pauses()
    assert [pauses.after(0) for _ in range(7)] == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert [pauses.after(read) for read in (3600, 0, 0, 6, 1)] == [0.25, 0.5, 1, 0.25, 0.5]
