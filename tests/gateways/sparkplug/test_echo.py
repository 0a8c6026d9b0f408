"""What comes back of what was sent, and what is missed."""

from __future__ import annotations

import pytest

from inspectd.gateways.sparkplug.echo import Echo


class Waiting(Echo):
    """An echo with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(("NBIRTH", "DBIRTH"), "DDATA", lambda: self.now)


@pytest.fixture
def echo() -> Waiting:
    echo = Waiting()
    echo.sent("NBIRTH", b"birth")
    echo.sent("NDATA", b"not waited for")
    assert echo.came("NBIRTH", b"birth")
    assert echo.is_complete
    return echo


def test_a_part_that_a_later_one_overtakes_was_not_passed_on(echo: Waiting) -> None:
    for payload in (b"1", b"2", b"3"):
        echo.sent("DDATA", payload)
    assert echo.came("DDATA", b"1")
    assert not echo.has_gap
    assert echo.came("DDATA", b"3")
    assert not echo.has_gap
    echo.now = 1.0
    assert echo.has_gap
    assert echo.overtaken == [b"2"]
    assert not echo.is_complete, "all came back that may, and one did not"
    echo.give_up_parts()
    assert echo.is_complete
    assert echo.overtaken == []


def test_neighbours_that_change_places_were_both_passed_on(echo: Waiting) -> None:
    for payload in (b"1", b"2", b"3"):
        echo.sent("DDATA", payload)
    assert echo.came("DDATA", b"2")
    assert not echo.is_complete
    echo.now = 0.9
    assert echo.came("DDATA", b"1")
    assert echo.came("DDATA", b"3")
    echo.now = 5.0
    assert not echo.has_gap
    assert echo.is_complete


def test_a_birth_that_a_later_one_overtakes_is_told_by_it(echo: Waiting) -> None:
    echo.sent("DBIRTH", b"1")
    echo.sent("DBIRTH", b"2")
    assert not echo.births_are_back
    assert echo.came("DBIRTH", b"2")
    assert echo.is_complete


def test_it_is_passed_on_again_when_what_was_missed_comes(echo: Waiting) -> None:
    echo.sent("DDATA", b"1")
    echo.now = 5.0
    assert echo.misses(5) == []
    echo.now = 5.1
    assert echo.misses(5) == ["DDATA"]
    assert not echo.is_passed_on
    echo.give_up_parts()
    assert echo.misses(5) == []
    echo.sent("NBIRTH", b"another")
    assert echo.came("NBIRTH", b"another")
    assert not echo.is_passed_on, "births alone are no parts"
    assert not echo.came("DDATA", b"of somebody else")
    assert echo.came("DDATA", b"1"), "its own, late"
    assert not echo.is_passed_on, "it is told again, and waited for"
    echo.sent("DDATA", b"1 again")
    assert echo.came("DDATA", b"1 again")
    assert echo.is_passed_on
