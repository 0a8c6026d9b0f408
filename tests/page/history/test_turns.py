"""Questions of one login take turns: however often one asks, the others are answered as if it did not."""

from __future__ import annotations

import asyncio

import pytest

from inspectd.page.answers import ApiError
from inspectd.page.history.turns import QuestionTurns


class Bench:
    """Time that passes where a question works or a login rests."""

    def __init__(self) -> None:
        self.seconds, self.rests, self.at_work = 0.0, [], 0

    def clock(self) -> float:
        return self.seconds

    async def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.seconds += seconds

    async def ask(self, turns: QuestionTurns, login: str, took: float = 1.0) -> None:
        async with turns.turn(login):
            self.at_work += 1
            assert self.at_work <= 2
            await asyncio.sleep(0)
            self.seconds += took
            self.at_work -= 1


def test_a_login_asks_one_question_at_a_time_and_rests_as_long_as_it_took() -> None:
    bench = Bench()
    turns = QuestionTurns(clock=bench.clock, rest=bench.rest)

    async def all_at_once() -> None:
        await asyncio.gather(*(bench.ask(turns, "hog") for _ in range(4)))

    asyncio.run(all_at_once())
    assert bench.rests == [1.0, 1.0, 1.0]
    bench.seconds += 10
    asyncio.run(bench.ask(turns, "hog"))
    assert len(bench.rests) == 3  # it had rested long enough


def test_too_many_questions_of_a_login_are_refused_and_those_of_others_are_not() -> None:
    bench, refused = Bench(), []
    turns = QuestionTurns(3, bench.clock, bench.rest, lambda: refused.append(1))

    async def crowd() -> list[object]:
        asked = [bench.ask(turns, "hog") for _ in range(20)] + [bench.ask(turns, "other")]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(crowd())
    assert [isinstance(each, ApiError) for each in found] == [False] * 4 + [True] * 16 + [False]
    assert len(refused) == 16
    assert {each.status for each in found if isinstance(each, ApiError)} == {429}
    assert bench.rests.count(1.0) >= 16  # nor does who is refused keep the page busy


def test_a_question_that_fails_ends_its_turn() -> None:
    turns = QuestionTurns()

    async def fail() -> None:
        async with turns.turn("a"):
            raise ZeroDivisionError

    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            asyncio.run(fail())
