"""Which times show that a clock was behind, and which only that verdicts were read late."""

from __future__ import annotations

import pytest

from inspectd.page.history.time_order import TimeOrder

DAY, NOW = 86_400_000, 1_763_924_400_000
OLD = NOW - 20 * DAY
YEAR_2010 = 1_262_304_000_000


@pytest.mark.parametrize(
    ("newest", "times", "found"),
    [
        pytest.param(None, [NOW - day * DAY for day in range(30, 0, -1)], 0, id="a journal from its start"),
        pytest.param(NOW - 25 * DAY, [NOW - day * DAY for day in (24, 20, 1)], 0, id="after weeks away"),
        pytest.param(NOW, [OLD, OLD + 1, NOW + 1, OLD + 2], 3, id="set back, right, set back"),
        pytest.param(OLD + 60_000, [OLD, OLD + 1], 0, id="one overtook another"),
        pytest.param(NOW, [NOW - 6 * DAY], 0, id="set back within what is kept"),
        pytest.param(None, [YEAR_2010, YEAR_2010 + 1], 2, id="never right"),
    ],
)
def test_only_a_time_before_one_that_came_before_shows_a_clock_that_is_behind(
    newest: int | None, times: list[int], found: int
) -> None:
    assert TimeOrder(7 * DAY, newest).dated_back((each, NOW) for each in times) == found


def test_a_verdict_that_is_dated_ahead_makes_none_after_it_look_old() -> None:
    order = TimeOrder(7 * DAY, OLD)
    assert order.dated_back([(NOW + 365 * DAY, OLD + 1000)]) == 0
    assert order.dated_back((OLD + 2000 + day * DAY, NOW) for day in range(20)) == 0
