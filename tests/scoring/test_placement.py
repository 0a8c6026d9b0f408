"""Which recipes each card loads, where not all banks fit on every one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.backends.cuda.memory import Footprint, peak_bytes
from inspectd.errors import BankError
from inspectd.scoring.placement import place_recipes


def bank(recipe: str, kept: int, loading: int = 0) -> Footprint:
    return Footprint(recipe, f"{recipe}.bank", kept, loading)


def test_all_recipes_are_on_every_card_where_they_fit():
    banks = [bank("a", 4), bank("b", 3, 2)]
    assert place_recipes(banks, [9, math.inf], {}) == [["a", "b"], ["a", "b"]]
    assert place_recipes(banks, [9, 8], {"a": 1, "b": 1}) != [["a", "b"], ["a", "b"]]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(10, [["a", "d"], ["b", "c"]]), (15, [["a", "b", "c"], ["b", "c", "d"]])],  # the rest has a second place
)
def test_spread_recipes_share_the_cards_by_their_cameras(limit, expected):
    banks = [bank(name, 5) for name in "abcd"]
    assert place_recipes(banks, [limit, limit], {"a": 6, "b": 2, "c": 2, "d": 2}) == expected


def test_a_card_that_is_not_there_gets_nothing():
    assert place_recipes([bank("a", 4), bank("b", 3)], [9, 0], {}) == [["a", "b"], []]


def test_what_fits_nowhere_is_refused_with_its_size():
    with pytest.raises(BankError, match=r"recipe b: bank b\.bank takes 9\.0 MB .* which have 8\.0, 7\.0 MB"):
        place_recipes([bank("a", 3_000_000), bank("b", 9_000_000)], [8e6, 7e6], {})


@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 20), st.integers(0, 10), st.integers(0, 5)), min_size=1, max_size=5
    ),
    limits=st.lists(st.integers(1, 60), min_size=1, max_size=3),
)
def test_each_is_somewhere_and_no_card_holds_too_much(sizes, limits):
    banks = [bank(str(number), kept, loading) for number, (kept, loading, _) in enumerate(sizes)]
    cameras = {str(number): cameras for number, (_, _, cameras) in enumerate(sizes)}

    def fits(names: list[str], limit: int) -> bool:
        return peak_bytes([each for each in banks if each.recipe in names]) <= limit

    try:
        placed = place_recipes(banks, limits, cameras)
    except BankError:
        assert peak_bytes(banks) > max(limits)
        return
    assert placed == place_recipes(banks, limits, cameras)
    assert {name for there in placed for name in there} == {each.recipe for each in banks}
    for there, limit in zip(placed, limits, strict=True):
        assert fits(there, limit)
        missing = [each.recipe for each in banks if each.recipe not in there]
        assert not any(fits([*there, name], limit) for name in missing), "there was room"
