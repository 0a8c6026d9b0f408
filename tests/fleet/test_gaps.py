"""Gaps in the numbers of an epoch: found while they are read, and no number is kept."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable

import pytest

from inspectd.fleet.forward.comparison import Gaps


def gaps(numbers: Iterable[int], most: int = 100) -> list[tuple[int, int]]:
    """All of them, as many at a time as are held."""
    read, first, last, found = [*numbers], 0, 10_000, []
    while True:
        some = Gaps(first, last, most)
        for number in read:
            some.read(number)
        found += some
        if some.through == last:
            return found
        assert some.through > first
        first = some.through


def test_gaps_are_what_lies_between() -> None:
    assert [*gaps([1, 2, 5, 6, 8])] == [(3, 4), (7, 7)]
    assert [*gaps([3, 1, 2])] == [*gaps([])] == [*gaps([4])] == []


@pytest.mark.parametrize("most", [1, 3, 100])
def test_in_whatever_order_and_however_often_they_come(most: int) -> None:
    chance = random.Random(5)
    for _ in range(200):
        numbers = chance.choices(range(1, 60), k=chance.randrange(80))
        there = {*numbers}
        missing = {*range(min(there, default=0), max(there, default=0))} - there
        found = gaps(numbers, most)
        assert [n for begin, end in found for n in range(begin, end + 1)] == sorted(missing)
        assert len(found) == sum(n - 1 in there for n in missing), "each run is one"
        read = Gaps(0, 10_000, most)
        for number in numbers:
            read.read(number)
        assert read.count - (read.spanned - len(missing)) == len(numbers) - len(there)


def test_an_epoch_with_one_hole_takes_no_memory_for_what_is_there() -> None:
    tracemalloc.start()
    try:
        found = Gaps(0, 10**9, 100_000)
        for number in range(1, 200_000):
            if number != 1000:
                found.read(number)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()
    assert [*found] == [(1000, 1000)]
